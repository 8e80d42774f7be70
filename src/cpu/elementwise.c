/* elementwise.c - ops whose output elements depend on the same elements of their inputs. */
#include "cpu/cpu.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/kernels.h"

#define RUN 2048 /* elements at a time, on the stack */

struct map_job {
    struct cpu *c;
    const struct op *op;
    unary_kernel *fn; /* or NULL */
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void map_runs(long begin, long end, int worker, void *ctx)
{
    const struct map_job *j = ctx;
    const struct tensor *x = j->op->src[0], *out = j->op->out;
    float tmp[RUN];
    (void)worker;
    for (long i = begin; i < end; i++) {
        int64_t at = (int64_t)i * RUN;
        long n = (long)min64(RUN, tensor_n(out) - at);
        const float *in = cpu_floats(j->c, x, at, n, tmp);
        float *y = cpu_dest(out, at, tmp);
        if (j->fn)
            j->fn(y, in, n);
        else if (j->op->kind == OP_SOFT_CAP)
            j->c->k->soft_cap(y, in, j->op->factor, n);
        else
            j->c->k->scale(y, in, j->op->kind == OP_SCALE ? j->op->factor : 1.0f, j->op->offset, n);
        cpu_store(j->c, out, at, n, y);
    }
}

static int map(struct cpu *c, const struct op *op, unary_kernel *fn)
{
    struct map_job j = {c, op, fn};
    parallel_for(c->pool, (long)((tensor_n(op->out) + RUN - 1) / RUN), 8, map_runs, &j);
    return 0;
}

#define UNARY(name)                                                   \
    int cpu_##name(struct cpu *c, const struct op *op, struct err *e) \
    {                                                                 \
        (void)e;                                                      \
        return map(c, op, c->k->name);                                \
    }

UNARY(silu)
UNARY(gelu)
UNARY(quick_gelu)
UNARY(relu)

int cpu_scale(struct cpu *c, const struct op *op, struct err *e)
{
    (void)e;
    return map(c, op, NULL);
}

int cpu_soft_cap(struct cpu *c, const struct op *op, struct err *e)
{
    (void)e;
    return map(c, op, NULL);
}

int cpu_cast(struct cpu *c, const struct op *op, struct err *e)
{
    (void)e;
    return map(c, op, NULL);
}

/* out = a + b, where b repeats. A unit is the run of elements that one step of the loop adds: a row
 * where the shapes are equal, else all of b. */
struct add_job {
    struct cpu *c;
    const struct tensor *a, *b, *out;
    int64_t unit, period; /* period: elements of b, a multiple of unit */
};

static void add_units(long begin, long end, int worker, void *ctx)
{
    const struct add_job *j = ctx;
    float ta[RUN], tb[RUN];
    (void)worker;
    for (long i = begin; i < end; i++)
        for (int64_t done = 0; done < j->unit; done += RUN) {
            int64_t at = (int64_t)i * j->unit + done;
            long n = (long)min64(RUN, j->unit - done);
            const float *a = cpu_floats(j->c, j->a, at, n, ta);
            const float *b = cpu_floats(j->c, j->b, at % j->period, n, tb);
            float *y = cpu_dest(j->out, at, ta);
            j->c->k->add(y, a, b, n);
            cpu_store(j->c, j->out, at, n, y);
        }
}

int cpu_add(struct cpu *c, const struct op *op, struct err *e)
{
    struct add_job j = {.c = c, .a = op->src[0], .b = op->src[1], .out = op->out};
    (void)e;
    j.period = tensor_n(j.b);
    j.unit = j.period == tensor_n(j.a) ? tensor_n_cols(j.a) : j.period;
    parallel_for(c->pool, (long)(tensor_n(j.a) / j.unit), j.unit < RUN ? 16 : 1, add_units, &j);
    return 0;
}

/* A unit is one row of channels, or with a single slope a run of any elements. */
struct slope_job {
    struct cpu *c;
    const struct tensor *x, *out;
    const float *slope; /* [unit] */
    int64_t unit;
};

static void leaky_units(long begin, long end, int worker, void *ctx)
{
    const struct slope_job *j = ctx;
    float tmp[RUN];
    int64_t total = tensor_n(j->out);
    (void)worker;
    for (long i = begin; i < end; i++)
        for (int64_t done = 0; done < j->unit && i * j->unit + done < total; done += RUN) {
            int64_t at = i * j->unit + done;
            long n = (long)min64(min64(RUN, j->unit - done), total - at);
            const float *x = cpu_floats(j->c, j->x, at, n, tmp);
            float *y = cpu_dest(j->out, at, tmp);
            j->c->k->prelu(y, x, j->slope + done, n);
            cpu_store(j->c, j->out, at, n, y);
        }
}

int cpu_leaky_relu(struct cpu *c, const struct op *op, struct err *e)
{
    struct slope_job j = {.c = c, .x = op->src[0], .out = op->out, .unit = RUN};
    float one[RUN];
    (void)e;
    for (int i = 0; i < RUN; i++)
        one[i] = op->factor;
    j.slope = one;
    if (op->src[1]) {
        j.slope = op->src[1]->data;
        j.unit = tensor_n_cols(j.x);
    }
    parallel_for(c->pool, (long)((tensor_n(j.out) + j.unit - 1) / j.unit), j.unit < RUN ? 64 : 8,
                 leaky_units, &j);
    return 0;
}

struct geglu_job {
    struct cpu *c;
    const struct tensor *x, *out;
    long n; /* columns of out */
};

static void geglu_rows(long begin, long end, int worker, void *ctx)
{
    const struct geglu_job *j = ctx;
    float ta[RUN], tb[RUN];
    (void)worker;
    for (long r = begin; r < end; r++)
        for (long i = 0; i < j->n; i += RUN) {
            long n = j->n - i < RUN ? j->n - i : RUN;
            int64_t at = (int64_t)r * 2 * j->n + i, to = (int64_t)r * j->n + i;
            const float *x = cpu_floats(j->c, j->x, at, n, ta);
            const float *gate = cpu_floats(j->c, j->x, at + j->n, n, tb);
            float *y = cpu_dest(j->out, to, ta);
            j->c->k->geglu(y, x, gate, n);
            cpu_store(j->c, j->out, to, n, y);
        }
}

int cpu_geglu(struct cpu *c, const struct op *op, struct err *e)
{
    struct geglu_job j = {c, op->src[0], op->out, (long)tensor_n_cols(op->out)};
    (void)e;
    parallel_for(c->pool, (long)tensor_n_rows(j.out), 8, geglu_rows, &j);
    return 0;
}
