/* memory.h - refusing in time what this machine cannot hold. */
#ifndef LAR_PIPELINE_MEMORY_H
#define LAR_PIPELINE_MEMORY_H

#include <stddef.h>

struct err;
struct tape;

/* What the tape's activations and the backend's working memory will take. Reports a tape's
 * recording error. */
int memory_need(struct tape *t, size_t *bytes, struct err *e);

/* ERR_NOMEM with a sentence about `what` ("decoding") and the gigabytes it would take when that is
 * more than is available. */
int memory_allow(size_t bytes, const char *what, struct err *e);

/* Both for one tape. */
int memory_check(struct tape *t, const char *what, struct err *e);

#endif
