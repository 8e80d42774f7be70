/* cpu.c - dispatch, scratch memory and type conversion of the CPU backend. */
#include "cpu/cpu.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cpu/kernels.h"

#include <stdlib.h>

typedef int cpu_fn(struct cpu *c, const struct op *op, struct err *e);

static cpu_fn *const functions[N_OP] = {
#define OP(NAME, function, text) [OP_##NAME] = cpu_##function,
#include "tensor/ops.def"
#undef OP
};

static int run(struct backend *b, const struct op *op, struct err *e)
{
    return functions[op->kind]((struct cpu *)b, op, e);
}

static void cpu_free(struct backend *b)
{
    struct cpu *c = (struct cpu *)b;
    pool_free(c->pool);
    mem_free_aligned(c->scratch);
    free((char *)(uintptr_t)c->base.name);
    free(c);
}

int cpu_backend_new(struct backend **b, int n_threads, const char *isa, struct err *e)
{
    *b = NULL;
    const struct kernels *k = kernels_pick(isa ? isa : getenv("LAR_CPU"), e);
    if (!k)
        return ERR_ARG;
    struct cpu *c = mem_alloc(sizeof(*c));
    c->base = (struct backend){mem_printf("cpu/%s", k->name), k->bf16.gemm != NULL, run, cpu_free};
    c->k = k;
    c->pool = pool_new(n_threads);
    *b = &c->base;
    return 0;
}

char *cpu_scratch(struct cpu *c, size_t shared, size_t per_worker, struct err *e)
{
    size_t workers = (size_t)pool_size(c->pool), size;
    if (__builtin_mul_overflow(cpu_round64(per_worker), workers, &size) ||
        __builtin_add_overflow(size, cpu_round64(shared), &size)) {
        err_set(e, ERR_NOMEM, "scratch memory overflows");
        return NULL;
    }
    if (size > c->scratch_size) {
        mem_free_aligned(c->scratch);
        c->scratch_size = 0;
        c->scratch = mem_try_aligned(size, "scratch memory", e);
        if (!c->scratch)
            return NULL;
        c->scratch_size = size;
    }
    return c->scratch;
}

const float *cpu_floats(const struct cpu *c, const struct tensor *x, int64_t first, long n,
                        float *tmp)
{
    if (x->type == DTYPE_F32)
        return (const float *)x->data + first;
    c->k->to_f32(x->type, cpu_at(x, first), tmp, n);
    return tmp;
}

float *cpu_dest(const struct tensor *x, int64_t first, float *tmp)
{
    return x->type == DTYPE_F32 ? (float *)x->data + first : tmp;
}

void cpu_store(const struct cpu *c, const struct tensor *x, int64_t first, long n,
               const float *values)
{
    if (x->type != DTYPE_F32)
        c->k->from_f32(x->type, values, cpu_at(x, first), n);
}
