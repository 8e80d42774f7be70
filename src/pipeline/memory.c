/* memory.c - see memory.h. */
#include "pipeline/memory.h"

#include "base/err.h"
#include "base/mem.h"
#include "tensor/tape.h"

/* Attention packs keys and values as floats beside the tape: the largest such op counts. */
static size_t working_memory(const struct tape *t)
{
    size_t most = 0;
    for (size_t i = 0; i < tape_n_ops(t); i++) {
        const struct op *op = tape_op(t, i);
        size_t n = op->kind == OP_ATTENTION ? 2 * sizeof(float) * (size_t)tensor_n(op->src[1]) : 0;
        most = n > most ? n : most;
    }
    return most;
}

int memory_need(struct tape *t, size_t *bytes, struct err *e)
{
    int rc = tape_measure(t, bytes, e);
    if (!rc)
        *bytes += working_memory(t);
    return rc;
}

int memory_allow(size_t bytes, const char *what, struct err *e)
{
    size_t available = mem_available();
    if (available && bytes > available)
        return err_set(
            e, ERR_NOMEM,
            "%s at this size takes %.1f GiB of memory beside the model, and %.1f GiB are "
            "available; choose a smaller size",
            what, (double)bytes / (1 << 30), (double)available / (1 << 30));
    return 0;
}

int memory_check(struct tape *t, const char *what, struct err *e)
{
    size_t bytes = 0;
    int rc = memory_need(t, &bytes, e);
    return rc ? rc : memory_allow(bytes, what, e);
}
