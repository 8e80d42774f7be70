/* memory.h - refusing in time what this machine cannot hold. */
#ifndef LAR_PIPELINE_MEMORY_H
#define LAR_PIPELINE_MEMORY_H

struct err;
struct tape;

/* ERR_NOMEM with a sentence about `what` ("decoding") and the gigabytes it would take when the
 * tape's activations and the backend's working memory exceed what is available. Also reports a
 * tape's recording error. */
int memory_check(struct tape *t, const char *what, struct err *e);

#endif
