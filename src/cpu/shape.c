/* shape.c - ops that move rows of channels: lookup, concatenation, upsampling, shuffling. */
#include "cpu/cpu.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/kernels.h"

#include <stdlib.h>
#include <string.h>

/* Copies n elements between tensors of f32 or bf16 type, converting where they differ. */
static void copy_run(const struct cpu *c, const struct tensor *dst, int64_t to,
                     const struct tensor *src, int64_t from, long n)
{
    float tmp[1024];
    if (dst->type == src->type) {
        memcpy(cpu_at(dst, to), cpu_at(src, from), dtype_row_size(dst->type, n));
        return;
    }
    for (long i = 0; i < n; i += 1024) {
        long run = n - i < 1024 ? n - i : 1024;
        const float *x = cpu_floats(c, src, from + i, run, tmp);
        if (dst->type == DTYPE_F32)
            memcpy(cpu_at(dst, to + i), x, (size_t)run * sizeof(*x));
        else
            cpu_store(c, dst, to + i, run, x);
    }
}

int cpu_rows(struct cpu *c, const struct op *op, struct err *e)
{
    const struct tensor *table = op->src[0], *ids = op->src[1], *out = op->out;
    const int32_t *id = ids->data;
    long n = (long)tensor_n_cols(table);
    float *tmp = (float *)cpu_scratch(c, (size_t)n * sizeof(float), 0, e);
    if (!tmp)
        return ERR_NOMEM;
    for (int64_t i = 0; i < tensor_n(ids); i++) {
        if (id[i] < 0 || id[i] >= table->dim[0])
            return err_set(e, ERR_FORMAT,
                           "%s has no row %d: the tokenizer belongs to another model", table->name,
                           id[i]);
        const float *row = cpu_floats(c, table, id[i] * n, n, tmp);
        if (out->type == DTYPE_F32)
            memcpy((float *)out->data + i * n, row, (size_t)n * sizeof(*row));
        else
            cpu_store(c, out, i * n, n, row);
    }
    return 0;
}

struct rows_job {
    struct cpu *c;
    const struct op *op;
};

static void concat_rows(long begin, long end, int worker, void *ctx)
{
    const struct rows_job *j = ctx;
    const struct tensor *a = j->op->src[0], *b = j->op->src[1], *out = j->op->out;
    long na = (long)tensor_n_cols(a), nb = (long)tensor_n_cols(b);
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        copy_run(j->c, out, r * (na + nb), a, r * na, na);
        copy_run(j->c, out, r * (na + nb) + na, b, r * nb, nb);
    }
}

int cpu_concat(struct cpu *c, const struct op *op, struct err *e)
{
    struct rows_job j = {c, op};
    (void)e;
    parallel_for(c->pool, (long)tensor_n_rows(op->out), 64, concat_rows, &j);
    return 0;
}

/* Item r is one row of pixels of the output. */
static void upsample_rows(long begin, long end, int worker, void *ctx)
{
    const struct rows_job *j = ctx;
    const struct tensor *x = j->op->src[0], *out = j->op->out;
    int64_t h = x->dim[1], w = x->dim[2], c = x->dim[3], h_out = out->dim[1], w_out = out->dim[2];
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        int64_t from = (r / h_out * h + r % h_out * h / h_out) * w;
        for (int64_t i = 0; i < w_out; i++)
            copy_run(j->c, out, (r * w_out + i) * c, x, (from + i * w / w_out) * c, (long)c);
    }
}

/* Item p is one pixel of the smaller picture, which has r x r times the channels. */
static void shuffle_pixels(long begin, long end, int worker, void *ctx)
{
    const struct rows_job *j = ctx;
    const struct tensor *x = j->op->src[0], *out = j->op->out;
    bool grow = j->op->kind == OP_PIXEL_SHUFFLE;
    const struct tensor *small = grow ? x : out, *large = grow ? out : x;
    int64_t r = j->op->stride, w = small->dim[2], c = large->dim[3];
    size_t size = dtype_row_size(x->type, 1);
    (void)worker;
    for (int64_t p = begin; p < end; p++)
        for (int64_t i = 0; i < r * r; i++) {
            int64_t row = p / w * r + i / r, col = p % w * r + i % r;
            char *s = cpu_at(small, p * c * r * r + i), *l = cpu_at(large, (row * w * r + col) * c);
            for (int64_t k = 0; k < c; k++, s += (size_t)(r * r) * size, l += size)
                memcpy(grow ? l : s, grow ? s : l, size);
        }
}

int cpu_pixel_shuffle(struct cpu *c, const struct op *op, struct err *e)
{
    struct rows_job j = {c, op};
    const struct tensor *small = op->kind == OP_PIXEL_SHUFFLE ? op->src[0] : op->out;
    (void)e;
    parallel_for(c->pool, (long)tensor_n_rows(small), 256, shuffle_pixels, &j);
    return 0;
}

int cpu_pixel_unshuffle(struct cpu *c, const struct op *op, struct err *e)
{
    return cpu_pixel_shuffle(c, op, e);
}

int cpu_upsample(struct cpu *c, const struct op *op, struct err *e)
{
    struct rows_job j = {c, op};
    (void)e;
    parallel_for(c->pool, (long)(op->out->dim[0] * op->out->dim[1]), 4, upsample_rows, &j);
    return 0;
}
