/* norm.c - LayerNorm (Ba et al., arXiv:1607.06450) and GroupNorm (Wu and He, arXiv:1803.08494).
 *
 * GroupNorm becomes y = x * mul + add with mul and add per channel; its sums run over fixed
 * chunks of pixels that are added up in order, so that they do not depend on the threads.
 */
#include "cpu/cpu.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define PIXELS 256 /* per chunk */

struct norm {
    struct cpu *c;
    const struct tensor *x, *out;
    const float *w, *b; /* [channels] */
    float eps;
    bool silu;
    int n_group;
    long channels, pixels, n_chunks; /* pixels and chunks per sample */
    long skipped, stride;            /* pixels left out before these, and pixels in memory */
    float *pivot;                    /* [n][channels]: the first pixel of each sample */
    float *moments;                  /* [n][n_chunks][2][channels], of x - pivot */
    float *mul, *add;                /* [n][channels] */
    char *worker;                    /* a row of channels floats each */
    size_t worker_size;
};

/* The elements of an optional operand, or dst filled with the value it stands for. */
static const float *vector_or(const struct tensor *x, float value, float *dst, long n)
{
    if (x)
        return x->data;
    for (long i = 0; i < n; i++)
        dst[i] = value;
    return dst;
}

static void layernorm_rows(long begin, long end, int worker, void *ctx)
{
    const struct norm *n = ctx;
    const struct kernels *k = n->c->k;
    float *tmp = (float *)(n->worker + (size_t)worker * n->worker_size);
    for (long r = begin; r < end; r++) {
        const float *x = cpu_floats(n->c, n->x, r * n->channels, n->channels, tmp);
        float *y = cpu_dest(n->out, r * n->channels, tmp);
        float mean = k->sum(x, n->channels) / (float)n->channels;
        float var = k->sum_squared_diff(x, mean, n->channels) / (float)n->channels;
        k->scale(y, x, 1, -mean, n->channels); /* exact near the mean: no cancellation later */
        k->scale(y, y, 1.0f / sqrtf(var + n->eps), 0, n->channels);
        k->affine(y, y, n->w, n->b, n->channels);
        cpu_store(n->c, n->out, r * n->channels, n->channels, y);
    }
}

int cpu_layernorm(struct cpu *c, const struct op *op, struct err *e)
{
    struct norm n = {.c = c,
                     .x = op->src[0],
                     .out = op->out,
                     .eps = op->eps,
                     .channels = (long)tensor_n_cols(op->src[0])};
    n.worker_size = cpu_round64((size_t)n.channels * sizeof(float));
    char *scratch = cpu_scratch(c, 2 * n.worker_size, n.worker_size, e);
    if (!scratch)
        return ERR_NOMEM;
    n.w = vector_or(op->src[1], 1, (float *)scratch, n.channels);
    n.b = vector_or(op->src[2], 0, (float *)(scratch + n.worker_size), n.channels);
    n.worker = scratch + 2 * n.worker_size;
    parallel_for(c->pool, (long)tensor_n_rows(n.x), 16, layernorm_rows, &n);
    return 0;
}

/* Sums of the chunks of pixels of all samples. */
static void add_chunks(long begin, long end, int worker, void *ctx)
{
    const struct norm *n = ctx;
    (void)worker;
    for (long i = begin; i < end; i++) {
        long first = i % n->n_chunks * PIXELS, sample = i / n->n_chunks;
        struct norm_rows r = {
            .x = cpu_at(n->x, (sample * n->stride + n->skipped + first) * n->channels),
            .x_type = n->x->type,
            .rows = n->pixels - first < PIXELS ? n->pixels - first : PIXELS,
            .n = n->channels,
            .pivot = n->pivot + sample * n->channels,
            .sum = n->moments + i * 2 * n->channels,
        };
        r.sum2 = r.sum + n->channels;
        n->c->k->moments(&r);
    }
}

/* The sum over the chunks of a sample of one moment of one channel. */
static double over_chunks(const struct norm *n, const float *moment)
{
    double sum = 0;
    for (long i = 0; i < n->n_chunks; i++)
        sum += (double)moment[i * 2 * n->channels];
    return sum;
}

struct moments {
    double mean, var;
};

/* Of one group of one sample. The squares are of distances from a pixel: where the mean is far
 * from 0, E[x^2] - mean^2 would be all rounding. */
static struct moments group_moments(const struct norm *n, long sample, long group)
{
    long size = n->channels / n->n_group, c0 = group * size;
    const float *sum = n->moments + sample * n->n_chunks * 2 * n->channels;
    const float *sum2 = sum + n->channels, *pivot = n->pivot + sample * n->channels;
    double pixels = (double)n->pixels;
    struct moments m = {0, 0};
    for (long c = c0; c < c0 + size; c++)
        m.mean += (over_chunks(n, sum + c) / pixels + (double)pivot[c]) / (double)size;
    for (long c = c0; c < c0 + size; c++) {
        double d = m.mean - (double)pivot[c];
        double squares = over_chunks(n, sum2 + c) - 2 * d * over_chunks(n, sum + c);
        m.var += (squares / pixels + d * d) / (double)size;
    }
    m.var = m.var > 0 || isnan(m.var) ? m.var : 0;
    return m;
}

/* mul and add of one group of one sample. */
static void group_affine(const struct norm *n, long sample, long group, struct moments m)
{
    long size = n->channels / n->n_group, c0 = group * size;
    double inv = 1 / sqrt(m.var + (double)n->eps);
    for (long c = c0; c < c0 + size; c++) {
        double w = (double)n->w[c] * inv;
        n->mul[sample * n->channels + c] = (float)w;
        n->add[sample * n->channels + c] = (float)((double)n->b[c] - m.mean * w);
    }
}

static void apply_chunks(long begin, long end, int worker, void *ctx)
{
    const struct norm *n = ctx;
    (void)worker;
    for (long i = begin; i < end; i++) {
        long first = i % n->n_chunks * PIXELS, sample = i / n->n_chunks;
        int64_t at = (sample * n->pixels + first) * n->channels;
        struct norm_rows r = {
            .x = cpu_at(n->x, at),
            .y = cpu_at(n->out, at),
            .x_type = n->x->type,
            .y_type = n->out->type,
            .rows = n->pixels - first < PIXELS ? n->pixels - first : PIXELS,
            .n = n->channels,
            .mul = n->mul + sample * n->channels,
            .add = n->add + sample * n->channels,
            .silu = n->silu,
        };
        n->c->k->normalize(&r);
    }
}

/* Memory for all of struct norm's arrays. */
static int alloc(struct norm *n, long samples, struct err *e)
{
    n->n_chunks = (n->pixels + PIXELS - 1) / PIXELS;
    n->worker_size = cpu_round64((size_t)n->channels * sizeof(float));
    size_t moments = cpu_round64((size_t)(samples * n->n_chunks * 2 * n->channels) * sizeof(float));
    size_t each = cpu_round64((size_t)(samples * n->channels) * sizeof(float));
    char *scratch = cpu_scratch(n->c, moments + 3 * each + 2 * n->worker_size, n->worker_size, e);
    if (!scratch)
        return ERR_NOMEM;
    char *vectors = scratch + moments + 3 * each;
    n->moments = (float *)scratch;
    n->mul = (float *)(scratch + moments);
    n->add = (float *)(scratch + moments + each);
    n->pivot = (float *)(scratch + moments + 2 * each);
    n->w = (float *)vectors;
    n->b = (float *)(vectors + n->worker_size);
    n->worker = vectors + 2 * n->worker_size;
    return 0;
}

static void sum_up(const struct norm *n, long samples)
{
    for (long i = 0; i < samples; i++) {
        int64_t at = (i * n->stride + n->skipped) * n->channels;
        const float *first = cpu_floats(n->c, n->x, at, n->channels, (float *)n->worker);
        n->c->k->scale(n->pivot + i * n->channels, first, 1, 0, n->channels);
    }
    parallel_for(n->c->pool, samples * n->n_chunks, 1, add_chunks, (void *)(uintptr_t)n);
}

int cpu_groupnorm(struct cpu *c, const struct op *op, struct err *e)
{
    const struct tensor *x = op->src[0];
    const float *given = op->src[3] ? op->src[3]->data : NULL; /* [n, n_group, 2] */
    struct norm n = {.c = c,
                     .x = x,
                     .out = op->out,
                     .eps = op->eps,
                     .silu = op->silu,
                     .n_group = op->n_group,
                     .channels = (long)tensor_n_cols(x)};
    long samples = (long)x->dim[0];
    n.pixels = n.stride = (long)tensor_n_rows(x) / samples;
    if (alloc(&n, samples, e))
        return ERR_NOMEM;
    n.w = vector_or(op->src[1], 1, (float *)(uintptr_t)n.w, n.channels);
    n.b = vector_or(op->src[2], 0, (float *)(uintptr_t)n.b, n.channels);
    if (!given)
        sum_up(&n, samples);
    for (long i = 0; i < samples * n.n_group; i++) {
        long sample = i / n.n_group, group = i % n.n_group;
        struct moments m = given ? (struct moments){(double)given[2 * i], (double)given[2 * i + 1]}
                                 : group_moments(&n, sample, group);
        group_affine(&n, sample, group, m);
    }
    parallel_for(c->pool, samples * n.n_chunks, 1, apply_chunks, &n);
    return 0;
}

int cpu_moments(struct cpu *c, const struct op *op, struct err *e)
{
    const struct tensor *x = op->src[0];
    struct norm n = {.c = c, .x = x, .n_group = op->n_group, .channels = (long)tensor_n_cols(x)};
    long samples = (long)x->dim[0], width = (long)x->dim[2];
    n.stride = (long)x->dim[1] * width;
    n.skipped = op->pad[0] * width;
    n.pixels = n.stride - n.skipped - op->pad[2] * width;
    if (alloc(&n, samples, e))
        return ERR_NOMEM;
    sum_up(&n, samples);
    float *out = op->out->data;
    for (long i = 0; i < samples * n.n_group; i++) {
        struct moments m = group_moments(&n, i / n.n_group, i % n.n_group);
        out[2 * i] = (float)m.mean;
        out[2 * i + 1] = (float)m.var;
    }
    return 0;
}
