/* cancel.h - runs a tape that somebody may want to stop. */
#ifndef LAR_PIPELINE_CANCEL_H
#define LAR_PIPELINE_CANCEL_H

#include <stdatomic.h>

struct backend;
struct err;
struct tape;

/* tape_run() with `cancel` (or NULL) polled after every op; ERR_CANCELLED once it is true. */
int cancel_run(struct tape *t, struct backend *b, const atomic_bool *cancel, struct err *e);

#endif
