/* gemm.c - linear layers and convolutions as one blocked product.
 *
 *   out[m, n] = bias[n] + sum over taps t, channels c of x[pixel(m, t)][c] * w[n][c][t]
 *
 *   a task = one panel of nr output channels x a chunk of rows
 *     for each block of channels:
 *       unpack the weights of the panel (all taps) into L2           k_pack.c
 *       for each mr rows: add the tile product into the task's sums  k_gemm.c
 *     add the bias, store in the activations' type
 *
 * A linear layer is the case of one tap. The order of the sums does not depend on the number of
 * threads.
 */
#include "cpu/cpu.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/kernels.h"

#include <string.h>

#define PANEL_BYTES (192 * 1024) /* unpacked weights of a task, for L2 */
#define CHUNK_ROWS  768
#define MAX_MR      8
#define MAX_TAPS    64
#define CONVERT     4096
#define MAX_NR      128

struct gemm {
    struct cpu *c;
    const struct tensor *x, *w, *out;
    const float *bias;             /* or NULL */
    const struct tensor *residual; /* or NULL; shaped like out, or one row per sample */
    long residual_rows;            /* rows of out that one of its rows is added to */
    bool bf16;                     /* products in bf16 */
    const char *a;                 /* x in the type of the products, [n, h, w, channels] */
    size_t a_row;                  /* bytes of one pixel */
    int64_t h, w_in, h_out, w_out;
    int kh, kw, stride, pad_top, pad_left;
    long rows, channels, n_out;
    long k_block; /* channels per block */
    long chunk;   /* rows per task, a multiple of mr */
    long n_chunks, n_panels;
    char *worker; /* scratch of worker 0 */
    size_t worker_size, panel_size, sums_size, pack_size;
};

/* Pointers to the pixels under every tap of rows m .. m + n. Pixels in the padding are `zeros`. */
static void row_pointers(const struct gemm *g, long m, int n, long c0, const char *zeros,
                         const void **a)
{
    int mr = g->c->k->mr;
    size_t elem = g->bf16 ? sizeof(uint16_t) : sizeof(float);
    for (int i = 0; i < n; i++, m++) {
        int64_t x0 = m % g->w_out * g->stride - g->pad_left;
        int64_t y0 = m / g->w_out % g->h_out * g->stride - g->pad_top;
        int64_t image = m / g->w_out / g->h_out * g->h;
        for (int t = 0, ky = 0; ky < g->kh; ky++)
            for (int kx = 0; kx < g->kw; kx++, t++) {
                int64_t y = y0 + ky, x = x0 + kx;
                bool inside = y >= 0 && y < g->h && x >= 0 && x < g->w_in;
                size_t pixel = (size_t)((image + y) * g->w_in + x);
                a[t * mr + i] = inside ? g->a + pixel * g->a_row + (size_t)c0 * elem : zeros;
            }
    }
}

/* What one task computes, and where. */
struct part {
    long m0, m1;       /* rows */
    long n0, n;        /* columns */
    long ldc;          /* floats from row to row of the sums */
    const char *panel; /* the unpacked weights */
    float *sums;       /* [m1 - m0, ldc] */
    const char *zeros; /* the padding */
};

/* Adds one block of channels, from c0 on, to the sums of a task. */
static void add_block(const struct gemm *g, const struct part *p, const struct gemm_tile *shape,
                      long c0)
{
    const void *a[MAX_TAPS * MAX_MR];
    struct gemm_tile tile = *shape;
    int mr = g->c->k->mr;
    tile.a = a;
    tile.w = p->panel;
    tile.ldc = p->ldc;
    tile.accumulate = c0 > 0;
    for (long m = p->m0; m < p->m1; m += mr) {
        tile.m = p->m1 - m < mr ? (int)(p->m1 - m) : mr;
        row_pointers(g, m, tile.m, c0, p->zeros, a);
        tile.c = p->sums + (m - p->m0) * p->ldc;
        if (g->bf16)
            g->c->k->gemm_bf16(&tile);
        else
            g->c->k->gemm_f32(&tile);
    }
}

/* The columns of a task in what is added to row m. */
static const float *residual(const struct gemm *g, const struct part *p, long m, float *tmp)
{
    return cpu_floats(g->c, g->residual, m / g->residual_rows * g->n_out + p->n0, p->n, tmp);
}

/* out = sums + bias + residual. */
static void finish(const struct gemm *g, const struct part *p)
{
    float tmp[MAX_NR];
    for (long m = p->m0; m < p->m1; m++) {
        float *row = p->sums + (m - p->m0) * p->ldc;
        int64_t first = m * g->n_out + p->n0;
        if (g->bias)
            g->c->k->add(row, row, g->bias + p->n0, p->n);
        if (g->residual)
            g->c->k->add(row, row, residual(g, p, m, tmp), p->n);
        if (g->out->type == DTYPE_F32)
            memcpy((float *)g->out->data + first, row, (size_t)p->n * sizeof(*row));
        else
            cpu_store(g->c, g->out, first, p->n, row);
    }
}

static void run_task(const struct gemm *g, long task, char *scratch)
{
    const struct kernels *k = g->c->k;
    long n0 = task / g->n_chunks * k->nr, m0 = task % g->n_chunks * g->chunk;
    long n = g->n_out - n0 < k->nr ? g->n_out - n0 : k->nr;
    int taps = g->kh * g->kw, nv = (int)((n + k->width - 1) / k->width);
    struct part part = {
        .m0 = m0,
        .m1 = m0 + g->chunk < g->rows ? m0 + g->chunk : g->rows,
        .n0 = n0,
        .n = n,
        .ldc = nv * k->width,
        .panel = scratch,
        .sums = (float *)(scratch + g->panel_size),
        .zeros = scratch + g->panel_size + g->sums_size + g->pack_size,
    };
    struct gemm_tile tile = {.taps = taps, .nv = nv};
    struct pack_tile pack = {
        .type = g->w->type,
        .src = g->w->data,
        .row = g->channels * taps,
        .n0 = n0,
        .taps = taps,
        .n = (int)n,
        .nv = nv,
        .dst = scratch,
        .scratch = (float *)(scratch + g->panel_size + g->sums_size),
    };
    for (long c0 = 0; c0 < g->channels; c0 += g->k_block) {
        pack.c0 = c0;
        pack.k = g->channels - c0 < g->k_block ? g->channels - c0 : g->k_block;
        tile.k = pack.k;
        if (g->bf16)
            k->pack_bf16(&pack);
        else
            k->pack_f32(&pack);
        add_block(g, &part, &tile, c0);
    }
    finish(g, &part);
}

static void run_tasks(long begin, long end, int worker, void *ctx)
{
    const struct gemm *g = ctx;
    for (long task = begin; task < end; task++)
        run_task(g, task, g->worker + (size_t)worker * g->worker_size);
}

struct convert_job {
    const struct gemm *g;
    char *dst;
};

static void convert_range(long begin, long end, int worker, void *ctx)
{
    const struct convert_job *j = ctx;
    const struct gemm *g = j->g;
    float tmp[CONVERT];
    long total = (long)tensor_n(g->x);
    (void)worker;
    for (long i = begin; i < end; i++) {
        long first = i * CONVERT, n = total - first < CONVERT ? total - first : CONVERT;
        const float *x = cpu_floats(g->c, g->x, first, n, tmp);
        if (g->bf16)
            g->c->k->from_f32(DTYPE_BF16, x, j->dst + 2 * first, n);
        else
            memcpy(j->dst + sizeof(float) * (size_t)first, x, (size_t)n * sizeof(float));
    }
}

/* Block and task sizes. With few panels the rows are cut finer so that every worker has work. */
static void choose_blocks(struct gemm *g)
{
    const struct kernels *k = g->c->k;
    int taps = g->kh * g->kw;
    int block = dtype_block(g->w->type);
    long unit = block > 2 && taps == 1 ? block : 2; /* no block is unpacked twice */
    long width = g->n_out < k->nr ? (g->n_out + k->width - 1) / k->width * k->width : k->nr;
    long elem = g->bf16 ? 2 : 4;
    g->k_block = PANEL_BYTES / elem / width / taps / unit * unit;
    if (g->k_block < unit)
        g->k_block = unit;
    if (g->k_block > g->channels)
        g->k_block = (g->channels + 1) / 2 * 2;
    g->n_panels = (g->n_out + k->nr - 1) / k->nr;
    long want = (4L * pool_size(g->c->pool) + g->n_panels - 1) / g->n_panels;
    g->chunk = (g->rows + want - 1) / want;
    if (g->chunk > CHUNK_ROWS)
        g->chunk = CHUNK_ROWS;
    if (g->chunk < 64)
        g->chunk = 64; /* below, unpacking the weights again would cost more than it gains */
    g->chunk = (g->chunk + k->mr - 1) / k->mr * k->mr;
    g->n_chunks = (g->rows + g->chunk - 1) / g->chunk;
    g->panel_size = cpu_round64((size_t)((g->k_block + 1) * taps * k->nr) * sizeof(float));
    g->sums_size = cpu_round64((size_t)(g->chunk * k->nr) * sizeof(float));
    g->pack_size = cpu_round64((size_t)(2 * (g->k_block + 1) * taps * k->width) * sizeof(float));
    g->worker_size = g->panel_size + g->sums_size + g->pack_size +
                     cpu_round64((size_t)g->channels * sizeof(float));
}

static int run_gemm(struct gemm *g, struct err *e)
{
    struct cpu *c = g->c;
    if (c->k->mr > MAX_MR || c->k->nr > MAX_NR || g->kh * g->kw > MAX_TAPS)
        return err_set(e, ERR_UNSUPPORTED, "a %d x %d convolution kernel", g->kh, g->kw);
    if (!dtype_is_float(g->w->type))
        return err_set(e, ERR_UNSUPPORTED, "%s: weights of type %s in this place", g->w->name,
                       dtype_name(g->w->type));
    g->bf16 = c->k->gemm_bf16 && g->out->type == DTYPE_BF16 && g->channels % 2 == 0;
    if (g->residual)
        g->residual_rows = g->rows / (long)tensor_n_rows(g->residual);
    enum dtype type = g->bf16 ? DTYPE_BF16 : DTYPE_F32;
    g->a_row = dtype_row_size(type, g->channels);
    choose_blocks(g);
    size_t copy = g->x->type == type ? 0 : dtype_row_size(type, tensor_n(g->x));
    char *scratch = cpu_scratch(c, copy, g->worker_size, e);
    if (!scratch)
        return ERR_NOMEM;
    g->worker = scratch + cpu_round64(copy);
    g->a = g->x->data;
    if (copy) {
        struct convert_job job = {g, scratch};
        parallel_for(c->pool, (long)((tensor_n(g->x) + CONVERT - 1) / CONVERT), 1, convert_range,
                     &job);
        g->a = scratch;
    }
    for (int i = 0; i < pool_size(c->pool); i++)
        memset(g->worker + ((size_t)i + 1) * g->worker_size -
                   cpu_round64((size_t)g->channels * sizeof(float)),
               0, (size_t)g->channels * sizeof(float));
    parallel_for(c->pool, g->n_panels * g->n_chunks, 1, run_tasks, g);
    return 0;
}

int cpu_linear(struct cpu *c, const struct op *op, struct err *e)
{
    const struct tensor *x = op->src[0];
    struct gemm g = {
        .c = c,
        .x = x,
        .w = op->src[1],
        .out = op->out,
        .bias = op->src[2] ? op->src[2]->data : NULL,
        .residual = op->src[3],
        .rows = (long)tensor_n_rows(x),
        .channels = (long)tensor_n_cols(x),
        .n_out = (long)tensor_n_cols(op->out),
        .kh = 1,
        .kw = 1,
        .stride = 1,
        .h = 1,
        .h_out = 1,
        .w_in = tensor_n_rows(x),
        .w_out = tensor_n_rows(x),
    };
    return run_gemm(&g, e);
}

int cpu_conv2d(struct cpu *c, const struct op *op, struct err *e)
{
    const struct tensor *x = op->src[0], *w = op->src[1], *out = op->out;
    struct gemm g = {
        .c = c,
        .x = x,
        .w = w,
        .out = out,
        .bias = op->src[2] ? op->src[2]->data : NULL,
        .residual = op->src[3],
        .rows = (long)tensor_n_rows(out),
        .channels = (long)x->dim[3],
        .n_out = (long)out->dim[3],
        .kh = (int)w->dim[2],
        .kw = (int)w->dim[3],
        .stride = op->stride,
        .pad_top = op->pad[0],
        .pad_left = op->pad[1],
        .h = x->dim[1],
        .w_in = x->dim[2],
        .h_out = out->dim[1],
        .w_out = out->dim[2],
    };
    return run_gemm(&g, e);
}
