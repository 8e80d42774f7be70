/* decoder.c - the ops of language models that work on single rows: RMSNorm (Zhang and Sennrich,
 * arXiv:1910.07467), rotary positions (Su et al., arXiv:2104.09864), gated linear units (Shazeer,
 * arXiv:2002.05202).
 */
#include "cpu/cpu.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/kernels.h"

#include <math.h>
#include <string.h>

#define RUN 2048 /* elements at a time, on the stack */

/* Rows per chunk so that a chunk is worth another thread's while. */
static long rows_per_chunk(long cols)
{
    return cols < 16384 ? 16384 / cols : 1;
}

struct rms_job {
    struct cpu *c;
    const struct tensor *x, *out;
    const float *w; /* [n] */
    float eps;
    long n;
    char *worker; /* a row each */
    size_t worker_size;
};

static void rmsnorm_rows(long begin, long end, int worker, void *ctx)
{
    const struct rms_job *j = ctx;
    const struct kernels *k = j->c->k;
    float *tmp = (float *)(j->worker + (size_t)worker * j->worker_size);
    for (long r = begin; r < end; r++) {
        const float *x = cpu_floats(j->c, j->x, r * j->n, j->n, tmp);
        float *y = cpu_dest(j->out, r * j->n, tmp);
        float mean = k->sum_squared_diff(x, 0, j->n) / (float)j->n;
        k->scale_by(y, x, j->w, 1.0f / sqrtf(mean + j->eps), j->n);
        cpu_store(j->c, j->out, r * j->n, j->n, y);
    }
}

int cpu_rmsnorm(struct cpu *c, const struct op *op, struct err *e)
{
    struct rms_job j = {
        .c = c, .x = op->src[0], .out = op->out, .eps = op->eps, .n = (long)tensor_n_cols(op->out)};
    j.worker_size = cpu_round64((size_t)j.n * sizeof(float));
    char *scratch = cpu_scratch(c, j.worker_size, j.worker_size, e);
    if (!scratch)
        return ERR_NOMEM;
    float *ones = (float *)scratch;
    for (long i = 0; !op->src[1] && i < j.n; i++)
        ones[i] = 1;
    j.w = op->src[1] ? op->src[1]->data : ones;
    j.worker = scratch + j.worker_size;
    parallel_for(c->pool, (long)tensor_n_rows(j.x), rows_per_chunk(j.n), rmsnorm_rows, &j);
    return 0;
}

struct row_job {
    struct cpu *c;
    const struct op *op;
};

/* In float64: at position 100000 an angle in float32 would be off by a hundredth. */
static void angle_rows(long begin, long end, int worker, void *ctx)
{
    const struct op *op = ((const struct row_job *)ctx)->op;
    const int32_t *positions = op->src[0]->data;
    const float *freq = op->src[1]->data;
    long pairs = (long)tensor_n(op->src[1]);
    (void)worker;
    for (long r = begin; r < end; r++) {
        float *out = (float *)op->out->data + r * 2 * pairs;
        for (long i = 0; i < pairs; i++) {
            double angle = (double)positions[r] * (double)freq[i];
            out[i] = (float)(cos(angle) * (double)op->factor);
            out[pairs + i] = (float)(sin(angle) * (double)op->factor);
        }
    }
}

int cpu_rope_angles(struct cpu *c, const struct op *op, struct err *e)
{
    struct row_job j = {c, op};
    (void)e;
    parallel_for(c->pool, (long)op->out->dim[0], rows_per_chunk(32 * (long)op->out->dim[1]),
                 angle_rows, &j);
    return 0;
}

struct rope_job {
    struct cpu *c;
    const struct op *op;
    long d;       /* elements of a head */
    char *worker; /* two heads each */
    size_t worker_size;
};

static void rope_rows(long begin, long end, int worker, void *ctx)
{
    const struct rope_job *j = ctx;
    const struct tensor *x = j->op->src[0], *angles = j->op->src[1], *out = j->op->out;
    long n_rot = (long)angles->dim[1], cols = (long)x->dim[1];
    float *in = (float *)(j->worker + (size_t)worker * j->worker_size), *tmp = in + j->d;
    for (long r = begin; r < end; r++)
        for (long at = r * cols; at < (r + 1) * cols; at += j->d) {
            const float *head = cpu_floats(j->c, x, at, j->d, in);
            float *y = cpu_dest(out, at, tmp);
            j->c->k->rope(y, head, (const float *)angles->data + r * n_rot, n_rot / 2,
                          j->op->interleaved);
            if (n_rot < j->d)
                memcpy(y + n_rot, head + n_rot, (size_t)(j->d - n_rot) * sizeof(*y));
            cpu_store(j->c, out, at, j->d, y);
        }
}

int cpu_rope(struct cpu *c, const struct op *op, struct err *e)
{
    struct rope_job j = {.c = c, .op = op, .d = (long)op->src[0]->dim[1] / op->n_head};
    j.worker_size = cpu_round64((size_t)(2 * j.d) * sizeof(float));
    j.worker = cpu_scratch(c, 0, j.worker_size, e);
    if (!j.worker)
        return ERR_NOMEM;
    parallel_for(c->pool, (long)op->out->dim[0], rows_per_chunk((long)op->out->dim[1]), rope_rows,
                 &j);
    return 0;
}

/* Item i is a run of RUN columns of one row. */
static void glu_runs(long begin, long end, int worker, void *ctx)
{
    const struct row_job *j = ctx;
    const struct tensor *gate = j->op->src[0], *up = j->op->src[1], *out = j->op->out;
    int64_t n = tensor_n_cols(out), runs = (n + RUN - 1) / RUN;
    float ta[RUN], tb[RUN];
    (void)worker;
    for (long i = begin; i < end; i++) {
        int64_t row = i / runs, col = i % runs * RUN, at = row * n + col;
        long m = (long)(n - col < RUN ? n - col : RUN);
        int64_t both = row * 2 * n + col; /* of gate and up in one tensor */
        const float *g = cpu_floats(j->c, gate, up ? at : both, m, ta);
        const float *u = cpu_floats(j->c, up ? up : gate, up ? at : both + n, m, tb);
        float *y = cpu_dest(out, at, ta);
        j->c->k->glu(j->op->glu, y, g, u, m);
        cpu_store(j->c, out, at, m, y);
    }
}

int cpu_glu(struct cpu *c, const struct op *op, struct err *e)
{
    struct row_job j = {c, op};
    long runs = (long)((tensor_n_cols(op->out) + RUN - 1) / RUN);
    (void)e;
    parallel_for(c->pool, (long)tensor_n_rows(op->out) * runs, 4, glu_runs, &j);
    return 0;
}
