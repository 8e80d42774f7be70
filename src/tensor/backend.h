/* backend.h - what runs a tape: the CPU now, Vulkan later. */
#ifndef LAR_TENSOR_BACKEND_H
#define LAR_TENSOR_BACKEND_H

#include <stdbool.h>

struct err;
struct op;

struct backend {
    const char *name; /* "cpu/avx512" */
    bool bf16;        /* activations in bf16 are its fast ones */
    /* Runs one op whose tensors all have memory. Returns 0 or ERR_*. */
    int (*run)(struct backend *b, const struct op *op, struct err *e);
    void (*free)(struct backend *b);
};

static inline void backend_free(struct backend *b)
{
    if (b)
        b->free(b);
}

#endif
