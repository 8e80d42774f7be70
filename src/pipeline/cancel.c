/* cancel.c - see cancel.h. */
#include "pipeline/cancel.h"

#include "base/err.h"
#include "tensor/tape.h"

#include <stddef.h>
#include <stdint.h>

static int poll(const struct op *op, void *ctx)
{
    (void)op;
    return atomic_load((atomic_bool *)ctx) ? ERR_CANCELLED : 0;
}

int cancel_run(struct tape *t, struct backend *b, const atomic_bool *cancel, struct err *e)
{
    tape_observe(t, cancel ? poll : NULL, (void *)(uintptr_t)cancel);
    int rc = tape_run(t, b, e);
    tape_observe(t, NULL, NULL);
    return rc;
}
