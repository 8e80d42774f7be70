/* cpu.h - the CPU backend: every op of ops.def over the kernels of one instruction set. */
#ifndef LAR_CPU_CPU_H
#define LAR_CPU_CPU_H

#include "tensor/backend.h"
#include "tensor/tape.h"

struct err;
struct kernels;
struct pool;

struct cpu {
    struct backend base;
    const struct kernels *k;
    struct pool *pool; /* owned */
    char *scratch;     /* owned; what cpu_scratch() gave last */
    size_t scratch_size;
};

/* n_threads 0: one per processor. `isa` as for kernels_pick(), NULL for LAR_CPU or the best. */
int cpu_backend_new(struct backend **b, int n_threads, const char *isa, struct err *e);

/* Memory for the running op: `shared` bytes, then `per_worker` bytes for each worker; both are
 * rounded up to 64. NULL with an error when there is none. Valid until the next call. */
char *cpu_scratch(struct cpu *c, size_t shared, size_t per_worker, struct err *e);

static inline size_t cpu_round64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

/* n elements from element `first` of a tensor's data as floats: in place for f32, else converted
 * into tmp. */
const float *cpu_floats(const struct cpu *c, const struct tensor *x, int64_t first, long n,
                        float *tmp);
/* Where to write n floats of x from element `first` on: in place for f32, else tmp, which
 * cpu_store() then converts. */
float *cpu_dest(const struct tensor *x, int64_t first, float *tmp);
void cpu_store(const struct cpu *c, const struct tensor *x, int64_t first, long n,
               const float *values);

/* Address of element `first`, which starts a block. */
static inline char *cpu_at(const struct tensor *x, int64_t first)
{
    return (char *)x->data + dtype_row_size(x->type, first);
}

/* One function per row of ops.def. */
#define OP(NAME, function, text) \
    int cpu_##function(struct cpu *c, const struct op *op, struct err *e);
#include "tensor/ops.def"
#undef OP

#endif
