/* attention.c - softmax(q k^T / sqrt d) v without the full matrix (Dao et al., arXiv:2205.14135).
 *
 *   1. pack k of every head as [key panel][d][keys] and v as [column panel][key][columns], both
 *      for k_gemm.c
 *   2. a task = one head x QUERIES queries; for each block of KEYS keys:
 *        s = q k^T          tile products            [queries, keys], stays in L2
 *        p = softmax step   k_softmax.c
 *        o = o * rescale + p v
 *      o / sum, stored in the activations' type
 *
 * With bf16 activations and bf16 instructions, q, k, p and v enter the products in bf16; s, the
 * softmax and o are f32.
 */
#include "cpu/attention.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define QUERIES ATTENTION_ROWS
#define KEYS    512
#define LDS     (KEYS + 16) /* row stride: a power of two would crowd few cache sets */
#define GROUP   16          /* the largest group of rows */

struct attention {
    struct cpu *c;
    const struct tensor *q, *k, *v, *out;
    int n_head;
    bool causal;
    bool bf16; /* products in bf16 */
    const struct product *p;
    enum dtype type;
    size_t elem;       /* bytes of an operand of the products */
    long n, tq, tk, d; /* samples, queries, keys, head size */
    long d_k;          /* d rounded up to k_step */
    long d_pad;        /* d rounded up to the vector width */
    long tk_pad;       /* tk rounded up to the vector width and k_step */
    char *k_packed;    /* [n * n_head][d_k][tk_pad] as panels of nr columns */
    char *v_packed;    /* [n * n_head][tk_pad][d_pad] as panels of nr columns */
    char *worker;
    size_t worker_size;
    long n_blocks; /* query blocks per head */
};

/* Columns of the panel that starts at column j of `total`, a multiple of the vector width. */
static long panel_cols(const struct attention *a, long j, long total)
{
    long nr = a->p->nr;
    return total - j < nr ? total - j : nr;
}

/* Head h's part of token t of sample s of x, as an index of its first element. */
static int64_t head_at(const struct attention *a, const struct tensor *x, long s, long t, long h)
{
    return ((s * (long)x->dim[1] + t) * a->n_head + h) * a->d;
}

/* d elements of x from element `first` on in the products' type, in place if possible. */
static const void *operand(const struct attention *a, const struct tensor *x, int64_t first,
                           char *tmp)
{
    if (x->type == a->type)
        return cpu_at(x, first);
    float *f = (float *)tmp;
    const float *v = cpu_floats(a->c, x, first, a->d, f);
    if (!a->bf16)
        return v;
    a->c->k->from_f32(DTYPE_BF16, v, f + a->d, a->d);
    return f + a->d;
}

/* dst[i] = (even[i], odd[i]): two keys of bf16 values as gemm_bf16 wants them. */
static void interleave(uint16_t *dst, const uint16_t *even, const uint16_t *odd, long n)
{
    for (long i = 0; i < n; i++) {
        dst[2 * i] = even[i];
        dst[2 * i + 1] = odd ? odd[i] : 0;
    }
}

static void pack_v_head(const struct attention *a, long s, long h, char *dst, char *tmp)
{
    long step = a->bf16 ? 2 : 1, end = (a->tk + a->p->k_step - 1) / a->p->k_step * a->p->k_step;
    for (long t = 0; t < end; t += step) {
        size_t row = 2 * (size_t)a->d * sizeof(float);
        const char *v = NULL, *w = NULL;
        if (t < a->tk)
            v = operand(a, a->v, head_at(a, a->v, s, t, h), tmp);
        if (a->bf16 && t + 1 < a->tk)
            w = operand(a, a->v, head_at(a, a->v, s, t + 1, h), tmp + row);
        for (long j = 0; j < a->d_pad; j += a->p->nr) {
            long cols = panel_cols(a, j, a->d_pad), n = a->d - j < cols ? a->d - j : cols;
            char *p = dst + (size_t)(j * a->tk_pad + t * cols) * a->elem;
            size_t from = (size_t)j * a->elem, used = v ? (size_t)(n * step) * a->elem : 0;
            if (!v)
                ; /* keys beyond the last */
            else if (a->bf16)
                interleave((uint16_t *)p, (const uint16_t *)(v + from),
                           w ? (const uint16_t *)(w + from) : NULL, n);
            else
                memcpy(p, v + from, used);
            memset(p + used, 0, (size_t)(cols * step) * a->elem - used);
        }
    }
}

static void pack_k_head(const struct attention *a, long s, long h, char *dst, char *scratch)
{
    const struct kernels *k = a->c->k;
    for (long t = 0; t < a->tk; t += a->p->nr) {
        long cols = panel_cols(a, t, a->tk_pad);
        struct pack_tile p = {
            .type = a->k->type,
            .src = cpu_at(a->k, head_at(a, a->k, s, t, h)),
            .row = a->n_head * a->d,
            .k = a->d,
            .taps = 1,
            .n = (int)(a->tk - t < cols ? a->tk - t : cols),
            .nv = (int)(cols / k->width),
            .dst = dst + (size_t)(t * a->d_k) * a->elem,
            .scratch = (float *)scratch,
        };
        a->p->pack(&p);
    }
}

static void pack_heads(long begin, long end, int worker, void *ctx)
{
    const struct attention *a = ctx;
    char *scratch = a->worker + (size_t)worker * a->worker_size;
    for (long i = begin; i < end; i++) {
        long s = i / a->n_head, h = i % a->n_head;
        pack_k_head(a, s, h, a->k_packed + (size_t)(i * a->tk_pad * a->d_k) * a->elem, scratch);
        pack_v_head(a, s, h, a->v_packed + (size_t)(i * a->tk_pad * a->d_pad) * a->elem, scratch);
    }
}

/* Scratch of one worker while a task runs. */
struct task {
    const void *q[QUERIES]; /* rows of d_k elements, in the tensor or in q_tmp */
    long q_step;            /* bytes from row to row where they lie equally far apart */
    char *q_tmp;            /* [QUERIES][d + 2 d_k] floats */
    float *s;               /* [QUERIES][LDS] */
    uint16_t *p;            /* [QUERIES][LDS], bf16 only */
    float *o;               /* [QUERIES][d_pad] */
    float max[QUERIES], sum[QUERIES], rescale[QUERIES];
    long valid[QUERIES];
};

void attention_product(const struct product *p, struct gemm_tile t, const void *const *rows,
                       long step, int n)
{
    const int mr = p->mr, group = p->group;
    const long steps[QUERIES / GROUP] = {step, step, step, step};
    float *c = t.c;
    t.taps = 1;
    t.part = t.k;
    t.a_step = steps;
    for (int i = 0; i < n; i += mr) {
        const void *first[QUERIES / GROUP];
        t.m = n - i < mr ? n - i : mr;
        t.a = rows + i;
        if (group > 1) {
            for (int j = 0; j * group < t.m; j++)
                first[j] = rows[i + j * group];
            t.a = first;
        }
        t.c = c + i * t.ldc;
        p->gemm(&t);
    }
}

/* One block of keys from key t0 on; `head` indexes the packed k and v. */
static void key_block(const struct attention *a, struct task *k, long head, int rows, long t0)
{
    const struct kernels *kn = a->c->k;
    const void *p[QUERIES];
    long n = a->tk - t0 < KEYS ? a->tk - t0 : KEYS, step = a->p->k_step;
    long even = (n + step - 1) / step * step;
    for (long j = 0; j < n; j += a->p->nr) {
        struct gemm_tile qk = {
            .w = a->k_packed + (size_t)((head * a->tk_pad + t0 + j) * a->d_k) * a->elem,
            .c = k->s + j,
            .ldc = LDS,
            .k = a->d_k,
            .nv = (int)(panel_cols(a, t0 + j, a->tk_pad) / kn->width),
        };
        attention_product(a->p, qk, k->q, k->q_step, rows);
    }
    struct softmax_tile sm = {.s = k->s,
                              .lds = LDS,
                              .n = even,
                              .rows = rows,
                              .scale = (float)(1 / sqrt((double)a->d)),
                              .valid = k->valid,
                              .max = k->max,
                              .sum = k->sum,
                              .rescale = k->rescale,
                              .p = a->bf16 ? k->p : NULL};
    kn->softmax(&sm);
    for (int r = 0; r < rows; r++) {
        if (k->rescale[r] != 1.0f)
            kn->scale(k->o + r * a->d_pad, k->o + r * a->d_pad, k->rescale[r], 0, a->d_pad);
        p[r] = a->bf16 ? (const void *)(k->p + r * LDS) : (const void *)(k->s + r * LDS);
    }
    const char *v = a->v_packed + (size_t)(head * a->tk_pad * a->d_pad) * a->elem;
    for (long j = 0; j < a->d_pad; j += a->p->nr) {
        long cols = panel_cols(a, j, a->d_pad);
        struct gemm_tile pv = {
            .w = v + (size_t)(j * a->tk_pad + t0 * cols) * a->elem,
            .c = k->o + j,
            .ldc = a->d_pad,
            .k = even,
            .nv = (int)(cols / kn->width),
            .accumulate = true,
        };
        attention_product(a->p, pv, p, LDS * (long)a->elem, rows);
    }
}

/* Row r of the queries, with elements up to d_k; those beyond d are 0. Sets with groups of rows
 * get all of them from one place: beyond the last may be anything that is finite. */
static const void *query(const struct attention *a, const struct task *k, int r, int64_t first)
{
    size_t row = (size_t)(a->d + 2 * a->d_k) * sizeof(float);
    char *tmp = k->q_tmp + (size_t)r * row;
    if (a->p->group == 1 && a->d == a->d_k)
        return operand(a, a->q, first, tmp);
    char *q = k->q_tmp + QUERIES * row + (size_t)(r * a->d_k) * a->elem;
    memcpy(q, operand(a, a->q, first, tmp), (size_t)a->d * a->elem);
    memset(q + (size_t)a->d * a->elem, 0, (size_t)(a->d_k - a->d) * a->elem);
    return q;
}

static void run_block(const struct attention *a, long task, struct task *k)
{
    long head = task / a->n_blocks, q0 = task % a->n_blocks * QUERIES;
    long s = head / a->n_head, h = head % a->n_head;
    int rows = (int)(a->tq - q0 < QUERIES ? a->tq - q0 : QUERIES);
    long last = a->causal && q0 + rows < a->tk ? q0 + rows : a->tk;
    for (int r = 0; r < rows; r++) {
        k->q[r] = query(a, k, r, head_at(a, a->q, s, q0 + r, h));
        k->max[r] = -FLT_MAX;
        k->sum[r] = 0;
    }
    memset(k->o, 0, (size_t)(QUERIES * a->d_pad) * sizeof(*k->o));
    for (long t0 = 0; t0 < last; t0 += KEYS) {
        long n = a->tk - t0 < KEYS ? a->tk - t0 : KEYS;
        for (int r = 0; r < rows; r++) {
            long seen = a->causal ? q0 + r + 1 - t0 : n;
            k->valid[r] = seen < 0 ? 0 : seen < n ? seen : n;
        }
        key_block(a, k, head, rows, t0);
    }
    for (int r = 0; r < rows; r++) {
        int64_t first = head_at(a, a->out, s, q0 + r, h);
        float *o = k->o + r * a->d_pad, *y = cpu_dest(a->out, first, o);
        a->c->k->scale(y, o, 1.0f / k->sum[r], 0, a->d);
        cpu_store(a->c, a->out, first, a->d, y);
    }
}

static void run_blocks(long begin, long end, int worker, void *ctx)
{
    const struct attention *a = ctx;
    struct task k;
    k.s = (float *)(a->worker + (size_t)worker * a->worker_size);
    k.o = k.s + QUERIES * LDS;
    k.p = (uint16_t *)(k.o + QUERIES * a->d_pad);
    k.q_tmp = (char *)(k.p + QUERIES * LDS);
    k.q_step = a->d_k * (long)a->elem;
    a->c->k->begin_products();
    for (long task = begin; task < end; task++)
        run_block(a, task, &k);
    a->c->k->end_products();
}

int cpu_attention(struct cpu *c, const struct op *op, struct err *e)
{
    const struct tensor *q = op->src[0], *k = op->src[1];
    struct attention a = {
        .c = c,
        .q = q,
        .k = k,
        .v = op->src[2],
        .out = op->out,
        .n_head = op->n_head,
        .causal = op->causal,
        .n = (long)q->dim[0],
        .tq = (long)q->dim[1],
        .tk = (long)k->dim[1],
        .d = (long)q->dim[2] / op->n_head,
    };
    long width = c->k->width, heads = a.n * a.n_head;
    a.bf16 = c->k->bf16.gemm && a.out->type == DTYPE_BF16;
    a.p = a.bf16 ? &c->k->bf16 : &c->k->f32;
    long step = a.p->k_step;
    a.type = a.bf16 ? DTYPE_BF16 : DTYPE_F32;
    a.elem = dtype_row_size(a.type, 1);
    a.d_pad = (a.d + width - 1) / width * width;
    a.d_k = (a.d + step - 1) / step * step;
    a.tk_pad = (a.tk + width - 1) / width * width;
    a.tk_pad = (a.tk_pad + step - 1) / step * step;
    a.n_blocks = (a.tq + QUERIES - 1) / QUERIES;
    size_t k_size = cpu_round64((size_t)(heads * a.tk_pad * a.d_k) * a.elem);
    size_t v_size = cpu_round64((size_t)(heads * a.tk_pad * a.d_pad) * a.elem);
    size_t run = (size_t)(QUERIES * (LDS + a.d_pad + LDS / 2 + a.d + 3 * a.d_k)) * sizeof(float);
    size_t pack = (size_t)(2 * (a.d + 1) * width + 512) * sizeof(float);
    a.worker_size = cpu_round64(run > pack ? run : pack);
    char *scratch = cpu_scratch(c, k_size + v_size, a.worker_size, e);
    if (!scratch)
        return ERR_NOMEM;
    a.k_packed = scratch;
    a.v_packed = scratch + k_size;
    a.worker = scratch + k_size + v_size;
    parallel_for(c->pool, heads, 1, pack_heads, &a);
    parallel_for(c->pool, heads * a.n_blocks, 1, run_blocks, &a);
    return 0;
}
