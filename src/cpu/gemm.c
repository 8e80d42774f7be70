/* gemm.c - linear layers and convolutions as one blocked product.
 *
 *   out[m, n] = bias[n] + sum over taps t, channels c of x[pixel(m, t)][c] * w[n][c][t]
 *
 *   a task = a few panels of nr output channels x a chunk of rows
 *     for each block of channels:
 *       unpack the weights of the panels (all taps) into L2          k_pack.c
 *       for each mr rows: add the tile products into the task's sums k_gemm.c
 *         after the last block add bias and residual, store in the activations' type
 *
 * A linear layer is the case of one tap. The order of the sums does not depend on the number of
 * threads.
 */
#include "cpu/cpu.h"
#include "cpu/matmul.h"
#include "cpu/matvec.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/kernels.h"

#include <string.h>

#define CHUNK_ROWS 768 /* whose sums are kept in L2 when the channels take several blocks */
#define MAX_TAPS   64
#define MAX_GROUPS 8  /* of rows in a tile */
#define GROUP      16 /* rows in the largest group */
#define NARROW     64 /* pictures less wide are copied so that all rows lie equally far apart */
#define STREAM     ((size_t)8 << 20) /* larger results do not wait in L2 for their reader */
#define CONVERT    4096

struct gemm {
    struct cpu *c;
    const struct product *p;
    const struct tensor *x, *w, *out;
    const float *bias;             /* or NULL */
    const struct tensor *residual; /* or NULL; shaped like out, or one row per sample */
    long residual_rows;            /* rows of out that one of its rows is added to */
    const int32_t *x_rows;         /* row i of the product is this one of x; NULL: i */
    bool fast;                     /* activations may be rounded to bf16 */
    enum dtype type;               /* of the products; Q8_0: whole numbers, k_int8.c */
    long unit;                     /* channels in the smallest piece of it: 1 or INT8_STEP */
    size_t a_unit, w_unit;         /* its bytes in a pixel and in a column of weights */
    const char *a;                 /* x in that type, [n, h, w, channels] */
    size_t a_row;                  /* bytes of one pixel, channels rounded up to k_step */
    int64_t h, w_in, h_out, w_out;
    int kh, kw, stride, pad_top, pad_left;
    enum wrap wrap;
    bool
        shifted; /* `a` is [kw][n, lines, w_out, channels]: plane kx has the pixels under taps kx */
    int64_t lines;
    long rows, channels, n_out;
    long k_block; /* channels per block */
    long columns; /* per task, a multiple of nr */
    long chunk;   /* rows per task, a multiple of mr */
    long n_chunks, n_strips;
    char *worker; /* scratch of worker 0 */
    size_t worker_size, panel_size, sums_size, pack_size, gather_size, zeros_size;
};

static long round_up(long n, long unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Bytes of n channels of a pixel, of a column of weights; n is a multiple of the unit. */
static size_t a_bytes(const struct gemm *g, long n)
{
    return (size_t)(n / g->unit) * g->a_unit;
}

static size_t w_bytes(const struct gemm *g, long n)
{
    return (size_t)(n / g->unit) * g->w_unit;
}

/* What one task computes, and where. */
struct part {
    long c0, k;  /* the block of channels, up to a multiple of k_step */
    long m0, m1; /* rows */
    long n0, n;  /* columns */
    long ldc;    /* floats from row to row of the sums */
    char *panel; /* the unpacked weights, panel_bytes each */
    size_t panel_bytes;
    float *sums;       /* [m1 - m0, ldc]; [mr, ldc] if all channels are one block */
    float *pack;       /* scratch for unpacking */
    char *gather;      /* rows that do not lie equally far apart, [mr / group][taps][group] */
    const char *zeros; /* the padding */
};

/* Where the rows of a tile lie, as gemm_tile wants it. */
struct rows {
    const void *a[MAX_TAPS * MAX_GROUPS];
    long step[MAX_TAPS * MAX_GROUPS];
};

/* Where output row m looks: the input pixel under tap 0 may lie in the padding. */
struct place {
    int64_t image, y, x;
};

struct tap {
    int y, x;
};

static struct place place_of(const struct gemm *g, long m)
{
    return (struct place){m / g->w_out / g->h_out, m / g->w_out % g->h_out * g->stride - g->pad_top,
                          m % g->w_out * g->stride - g->pad_left};
}

/* A coordinate just outside 0 .. n - 1, where the picture goes on at its other side. */
static int64_t wrapped(int64_t i, int64_t n)
{
    return i < 0 ? i + n : i >= n ? i - n : i;
}

/* The index of the pixel under a tap; -1 if it lies in the padding. */
static int64_t index_of(const struct gemm *g, struct place at, struct tap t)
{
    int64_t y = at.y + t.y, x = at.x + t.x;
    if (g->wrap & WRAP_Y)
        y = wrapped(y, g->h);
    if (g->wrap & WRAP_X)
        x = wrapped(x, g->w_in);
    bool inside = y >= 0 && y < g->h && x >= 0 && x < g->w_in;
    return inside ? (at.image * g->h + y) * g->w_in + x : -1;
}

/* The pixel under a tap, from the block's first channel on; `zeros` if it lies in the padding. */
static const char *pixel(const struct gemm *g, const struct part *p, struct place at, struct tap t)
{
    int64_t i = index_of(g, at, t);
    if (g->shifted) {
        int64_t line = (t.x * g->x->dim[0] + at.image) * g->lines + at.y + g->pad_top + t.y;
        i = line * g->w_out + (at.x + g->pad_left) / g->stride;
    }
    return i < 0 ? p->zeros : g->a + (size_t)i * g->a_row + a_bytes(g, p->c0);
}

/* Pointers to the pixels under every tap of rows m .. m + n. */
static void row_pointers(const struct gemm *g, const struct part *p, long m, int n, struct rows *r)
{
    int mr = g->p->mr;
    for (int i = 0; i < n; i++) {
        struct place at = place_of(g, m + i);
        const void **a = r->a + i;
        for (struct tap t = {0, 0}; t.y < g->kh; t.y++)
            for (t.x = 0; t.x < g->kw; t.x++, a += mr)
                *a = pixel(g, p, at, t);
    }
}

/* Copies the pixels under a tap of a group of rows, of which n are there, to `dst`. */
static void gather(const struct gemm *g, const struct part *p, const struct place *at, int n,
                   struct tap t, char *dst)
{
    size_t bytes = a_bytes(g, p->k);
    for (int i = 0; i < g->p->group; i++)
        memcpy(dst + (size_t)i * bytes, i < n ? pixel(g, p, at[i], t) : p->zeros, bytes);
}

/* True if the pixels under a tap of a group of rows lie equally far apart, or all in the padding:
 * in one line of the picture, with no tap that leaves it. */
static bool is_regular(const struct gemm *g, struct place at, int64_t left, struct tap t)
{
    int64_t x = at.x + t.x, y = at.y + t.y;
    bool outside = !(g->wrap & WRAP_Y) && (y < 0 || y >= g->h);
    return left >= 0 &&
           (g->shifted || outside || (x >= 0 && x + (g->p->group - 1) * g->stride < g->w_in));
}

/* The same as row_pointers() for sets whose rows lie equally far apart in groups. Where they do
 * not, they are copied together. */
static void row_groups(const struct gemm *g, const struct part *p, long m, int n, struct rows *r)
{
    int group = g->p->group, taps = g->kh * g->kw, per_tap = g->p->mr / group;
    size_t bytes = a_bytes(g, p->k);
    int64_t line = g->shifted && g->stride == 1 ? g->h_out * g->w_out : g->w_out;
    for (int j = 0; j * group < n; j++, m += group) {
        int present = n - j * group < group ? n - j * group : group, known = 1, at_tap = j;
        int64_t left = present < group ? -1 : line - m % line - group; /* of the line behind it */
        struct place at[GROUP] = {place_of(g, m)};
        for (struct tap t = {0, 0}; t.y < g->kh; t.y++)
            for (t.x = 0; t.x < g->kw; t.x++, at_tap += per_tap) {
                if (is_regular(g, *at, left, t)) {
                    r->a[at_tap] = pixel(g, p, *at, t);
                    r->step[at_tap] = (g->shifted ? 1 : g->stride) * (long)g->a_row;
                    if (r->a[at_tap] == p->zeros)
                        r->step[at_tap] = 0;
                    continue;
                }
                for (; known < present; known++)
                    at[known] = place_of(g, m + known);
                char *dst = p->gather + (size_t)((j * taps + at_tap / per_tap) * group) * bytes;
                gather(g, p, at, present, t, dst);
                r->a[at_tap] = dst;
                r->step[at_tap] = (long)bytes;
            }
    }
}

/* out = sums + bias + residual for rows m .. m + n. */
static void finish(const struct gemm *g, const struct part *p, const float *sums, long m, long n)
{
    struct finish_tile f = {
        .sums = sums,
        .lds = p->ldc,
        .bias = g->bias ? g->bias + p->n0 : NULL,
        .type = g->out->type,
        .out = cpu_at(g->out, m * g->n_out + p->n0),
        .out_stride = (long)dtype_row_size(g->out->type, g->n_out),
        .rows = n,
        .n = p->n,
        .stream = tensor_size(g->out) > STREAM,
    };
    if (!g->residual || g->residual_rows == 1) {
        if (g->residual) {
            f.residual = cpu_at(g->residual, m * g->n_out + p->n0);
            f.residual_type = g->residual->type;
            f.residual_stride = (long)dtype_row_size(f.residual_type, g->n_out);
        }
        g->c->k->finish(&f);
        return;
    }
    f.residual_type = g->residual->type;
    for (long end = m + n; m < end; m += f.rows) {
        long left = g->residual_rows - m % g->residual_rows;
        f.rows = left < end - m ? left : end - m;
        f.residual = cpu_at(g->residual, m / g->residual_rows * g->n_out + p->n0);
        g->c->k->finish(&f);
        f.sums += f.rows * f.lds;
        f.out += f.rows * f.out_stride;
    }
}

/* Channels that are taken at a time, as gemm_tile says. */
static long part_of(const struct gemm *g, long k)
{
    return g->kh * g->kw > 1 && k > g->p->part ? g->p->part : k;
}

/* Adds a block of channels to the sums of a task, and finishes them after the last. */
static void add_block(const struct gemm *g, const struct part *p)
{
    struct rows rows;
    int mr = g->p->mr, nr = g->p->nr, width = g->c->k->width;
    bool last = p->c0 + p->k >= g->channels, only = p->c0 == 0 && last;
    struct gemm_tile tile = {.a = rows.a,
                             .a_step = rows.step,
                             .type = g->w->type,
                             .ldc = p->ldc,
                             .k = p->k,
                             .part = part_of(g, p->k),
                             .taps = g->kh * g->kw,
                             .accumulate = p->c0 > 0};
    for (long m = p->m0; m < p->m1; m += mr) {
        float *sums = only ? p->sums : p->sums + (m - p->m0) * p->ldc;
        tile.m = p->m1 - m < mr ? (int)(p->m1 - m) : mr;
        if (g->p->group > 1)
            row_groups(g, p, m, tile.m, &rows);
        else
            row_pointers(g, p, m, tile.m, &rows);
        for (long n = 0; n < p->ldc; n += nr) {
            tile.nv = (int)((p->ldc - n < nr ? p->ldc - n : nr) / width);
            tile.w = p->panel + (size_t)(n / nr) * p->panel_bytes;
            tile.c = sums + n;
            g->p->gemm(&tile);
        }
        if (last)
            finish(g, p, sums, m, tile.m);
    }
}

/* Unpacks a block of channels of all columns of a task. */
static void pack_block(const struct gemm *g, const struct part *p)
{
    int nr = g->p->nr, width = g->c->k->width;
    struct pack_tile pack = {
        .type = g->w->type,
        .src = g->w->data,
        .row = g->channels * g->kh * g->kw,
        .taps = g->kh * g->kw,
        .scratch = p->pack,
    };
    long part = part_of(g, p->k), end = p->c0 + p->k < g->channels ? p->c0 + p->k : g->channels;
    for (long n = 0; n < p->n; n += nr) {
        char *dst = p->panel + (size_t)(n / nr) * p->panel_bytes;
        pack.n0 = p->n0 + n;
        pack.n = (int)(p->n - n < nr ? p->n - n : nr);
        pack.nv = (pack.n + width - 1) / width;
        for (pack.c0 = p->c0; pack.c0 < end; pack.c0 += part) {
            pack.k = end - pack.c0 < part ? end - pack.c0 : part;
            pack.dst = dst;
            g->p->pack(&pack);
            dst += w_bytes(g, part) * (size_t)(pack.taps * pack.nv * width);
        }
    }
}

static void run_task(const struct gemm *g, long task, char *scratch)
{
    long n0 = task / g->n_chunks * g->columns, m0 = task % g->n_chunks * g->chunk;
    struct part part = {
        .m0 = m0,
        .m1 = m0 + g->chunk < g->rows ? m0 + g->chunk : g->rows,
        .n0 = n0,
        .n = g->n_out - n0 < g->columns ? g->n_out - n0 : g->columns,
        .panel = scratch,
        .panel_bytes = g->panel_size / (size_t)(g->columns / g->p->nr),
    };
    part.ldc = round_up(part.n, g->c->k->width);
    part.sums = (float *)(scratch += g->panel_size);
    part.pack = (float *)(scratch += g->sums_size);
    part.gather = scratch += g->pack_size;
    part.zeros = scratch + g->gather_size;
    for (part.c0 = 0; part.c0 < g->channels; part.c0 += g->k_block) {
        long left = g->channels - part.c0;
        part.k = round_up(left < g->k_block ? left : g->k_block, g->p->k_step);
        pack_block(g, &part);
        add_block(g, &part);
    }
}

static void run_tasks(long begin, long end, int worker, void *ctx)
{
    const struct gemm *g = ctx;
    g->c->k->begin_products();
    for (long task = begin; task < end; task++)
        run_task(g, task, g->worker + (size_t)worker * g->worker_size);
    g->c->k->end_products();
}

struct convert_job {
    const struct gemm *g;
    char *dst;
};

/* Pixel i of the products in their type, with channels up to a multiple of k_step; 0 if i < 0. */
static void convert_pixel(const struct gemm *g, int64_t i, char *dst)
{
    float tmp[CONVERT];
    size_t used = i < 0 ? 0 : a_bytes(g, g->channels);
    if (g->x_rows)
        i = g->x_rows[i];
    if (i >= 0 && g->x->type == g->type)
        memcpy(dst, cpu_at(g->x, i * g->channels), used);
    for (long c0 = 0; i >= 0 && g->x->type != g->type && c0 < g->channels; c0 += CONVERT) {
        long n = g->channels - c0 < CONVERT ? g->channels - c0 : CONVERT;
        const float *x = cpu_floats(g->c, g->x, i * g->channels + c0, n, tmp);
        if (g->type == DTYPE_Q8_0)
            g->c->k->to_int8(x, dst + a_bytes(g, c0), n);
        else if (g->type == DTYPE_BF16)
            g->c->k->from_f32(DTYPE_BF16, x, dst + a_bytes(g, c0), n);
        else
            memcpy(dst + a_bytes(g, c0), x, a_bytes(g, n));
    }
    memset(dst + used, 0, g->a_row - used);
}

static void convert_pixels(long begin, long end, int worker, void *ctx)
{
    const struct convert_job *j = ctx;
    (void)worker;
    for (long i = begin; i < end; i++)
        convert_pixel(j->g, i, j->dst + (size_t)i * j->g->a_row);
}

/* Item i is one line of a plane. */
static void shift_lines(long begin, long end, int worker, void *ctx)
{
    const struct convert_job *j = ctx;
    const struct gemm *g = j->g;
    long per_plane = (long)(g->x->dim[0] * g->lines);
    (void)worker;
    for (long i = begin; i < end; i++) {
        struct place at = {i % per_plane / g->lines, i % g->lines - g->pad_top, 0};
        char *dst = j->dst + (size_t)(i * g->w_out) * g->a_row;
        for (int64_t x = 0; x < g->w_out; x++) {
            at.x = x * g->stride - g->pad_left;
            convert_pixel(g, index_of(g, at, (struct tap){0, (int)(i / per_plane)}),
                          dst + (size_t)x * g->a_row);
        }
    }
}

/* Lets g->a be x as the products want it, in `scratch` if x itself will not do. */
static void prepare(struct gemm *g, char *scratch, size_t copy_size)
{
    struct convert_job job = {g, scratch};
    struct pool *pool = g->c->pool;
    g->a = copy_size ? scratch : g->x->data;
    if (g->shifted)
        parallel_for(pool, (long)(g->kw * g->x->dim[0] * g->lines), 4, shift_lines, &job);
    else if (copy_size)
        parallel_for(pool, (long)(copy_size / g->a_row), 64, convert_pixels, &job);
}

/* Block and task sizes. With few columns the rows are cut finer so that every worker has work. */
static void choose_blocks(struct gemm *g)
{
    const struct kernels *k = g->c->k;
    const struct product *p = g->p;
    long taps = g->kh * g->kw;
    int block = taps == 1 ? dtype_block(g->w->type) : 1;
    long unit = p->k_step > 2 ? p->k_step : 2;
    if (block > unit)
        unit = block; /* so that none is unpacked twice; a multiple of k_step */
    long channels = round_up(g->channels, p->k_step), want = 4L * pool_size(g->c->pool);
    g->columns = p->n;
    long row_tasks = (g->rows + 63) / 64; /* in smaller ones unpacking would take longest */
    while (g->columns > p->nr && (g->n_out + g->columns - 1) / g->columns * row_tasks < want)
        g->columns -= p->nr;
    while (g->columns > 2L * p->nr && (long)w_bytes(g, channels) * taps * g->columns > p->cache)
        g->columns -= p->nr;
    if (g->columns > round_up(g->n_out, p->nr))
        g->columns = round_up(g->n_out, p->nr);
    long width = g->n_out < g->columns ? round_up(g->n_out, k->width) : g->columns;
    g->k_block = p->cache * g->unit / (long)g->w_unit / width / taps / unit * unit;
    if (g->k_block < unit)
        g->k_block = unit;
    if (g->k_block > g->channels)
        g->k_block = round_up(g->channels, 2);
    g->n_strips = (g->n_out + g->columns - 1) / g->columns;
    want = (want + g->n_strips - 1) / g->n_strips;
    g->chunk = (g->rows + want - 1) / want;
    bool blocks = g->k_block < g->channels;
    if (g->chunk > CHUNK_ROWS && (blocks || p->group == 1))
        g->chunk = CHUNK_ROWS;
    if (g->chunk < 64)
        g->chunk = 64;
    g->chunk = round_up(g->chunk, p->mr);
    g->n_chunks = (g->rows + g->chunk - 1) / g->chunk;
    long k_max = round_up(g->k_block < channels ? g->k_block : channels, p->k_step);
    g->panel_size = cpu_round64(w_bytes(g, k_max) * (size_t)(taps * p->nr)) *
                    (size_t)(g->columns / p->nr);
    g->sums_size = cpu_round64((size_t)((blocks ? g->chunk : p->mr) * g->columns) * sizeof(float));
    g->pack_size = cpu_round64((size_t)(2 * (k_max + 1) * taps * k->width + 512) * sizeof(float));
    g->gather_size = p->group > 1 ? cpu_round64(a_bytes(g, k_max) * (size_t)(p->mr * taps)) : 0;
    g->zeros_size = cpu_round64((size_t)channels * sizeof(float));
    g->worker_size = g->panel_size + g->sums_size + g->pack_size + g->gather_size + g->zeros_size;
}

/* In which type to multiply. */
static void choose_product(struct gemm *g)
{
    const struct kernels *k = g->c->k;
    const struct int8_form f = int8_form(g->w->type);
    bool bf16 = k->bf16.gemm && (g->fast || g->out->type == DTYPE_BF16);
    if (g->fast && k->int8.gemm && f.parts > 0 && f.most <= k->int8_most &&
        g->channels % dtype_block(g->w->type) == 0) {
        g->p = &k->int8;
        g->type = DTYPE_Q8_0;
        g->unit = INT8_STEP;
        g->a_unit = sizeof(struct int8_row);
        g->w_unit = (size_t)int8_tile_bytes(g->w->type);
        return;
    }
    g->p = bf16 ? &k->bf16 : &k->f32;
    g->type = bf16 ? DTYPE_BF16 : DTYPE_F32;
    g->unit = 1;
    g->a_unit = g->w_unit = dtype_row_size(g->type, 1);
}

static int run_gemm(struct gemm *g, struct err *e)
{
    struct cpu *c = g->c;
    if (g->kh * g->kw > MAX_TAPS)
        return err_set(e, ERR_UNSUPPORTED, "a %d x %d convolution kernel", g->kh, g->kw);
    if (!dtype_is_float(g->w->type))
        return err_set(e, ERR_UNSUPPORTED, "%s: weights of type %s in this place", g->w->name,
                       dtype_name(g->w->type));
    if (g->residual)
        g->residual_rows = g->rows / (long)tensor_n_rows(g->residual);
    choose_product(g);
    g->a_row = a_bytes(g, round_up(g->channels, g->p->k_step));
    choose_blocks(g);
    size_t pixels = (size_t)(g->x_rows ? g->rows : tensor_n_rows(g->x)), copy_size = 0;
    g->shifted = g->p->group > 1 && g->kw > 1 && g->w_out < NARROW;
    if (g->shifted) {
        g->lines = (g->h_out - 1) * g->stride + g->kh;
        pixels = (size_t)(g->kw * g->x->dim[0] * g->lines * g->w_out);
    }
    if (g->shifted || g->x_rows || g->x->type != g->type || g->channels % g->p->k_step)
        copy_size = pixels * g->a_row;
    char *scratch = cpu_scratch(c, copy_size, g->worker_size, e);
    if (!scratch)
        return ERR_NOMEM;
    g->worker = scratch + cpu_round64(copy_size);
    prepare(g, scratch, copy_size);
    for (int i = 0; i < pool_size(c->pool); i++)
        memset(g->worker + ((size_t)i + 1) * g->worker_size - g->zeros_size, 0, g->zeros_size);
    parallel_for(c->pool, g->n_strips * g->n_chunks, 1, run_tasks, g);
    return 0;
}

int cpu_matmul(struct cpu *c, const struct matmul *m, struct err *e)
{
    long rows = (long)tensor_n_rows(m->out);
    if (cpu_matvec_fits(c, m))
        return cpu_matvec(c, m, e);
    struct gemm g = {
        .c = c,
        .x = m->x,
        .w = m->w,
        .out = m->out,
        .bias = m->bias,
        .residual = m->residual,
        .x_rows = m->rows,
        .fast = m->fast,
        .rows = rows,
        .channels = (long)tensor_n_cols(m->x),
        .n_out = (long)tensor_n_cols(m->out),
        .kh = 1,
        .kw = 1,
        .stride = 1,
        .h = 1,
        .h_out = 1,
        .w_in = rows,
        .w_out = rows,
    };
    return run_gemm(&g, e);
}

int cpu_linear(struct cpu *c, const struct op *op, struct err *e)
{
    const struct matmul m = {
        .x = op->src[0],
        .w = op->src[1],
        .out = op->out,
        .bias = op->src[2] ? op->src[2]->data : NULL,
        .residual = op->src[3],
        .fast = op->fast,
    };
    return cpu_matmul(c, &m, e);
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
        .wrap = op->wrap,
    };
    if (g.kh == 1 && g.kw == 1 && g.stride == 1 && tensor_n_rows(x) == g.rows) {
        g.h = g.h_out = 1; /* one long line of pixels */
        g.w_in = g.w_out = g.rows;
    }
    return run_gemm(&g, e);
}
