/* attend_many.c - attention over the paged cache where many queries share its keys: prompts.
 *
 *   task = one sequence x one head of the cache x up to ROWS queries, those of all heads that share
 *   it and of neighbouring rows. For each n_keys keys:
 *     keys and values are unpacked as panels for the products, bf16 where the tape is fast
 *     for each 64 queries that see any of them:
 *       scores by matrix products, a step of online softmax, o = o * rescale + p v
 *
 * Queries and sums of a task stay in L2 beside the panels, which 1024 queries pay for.
 */
#include "cpu/attention.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"

#include <float.h>
#include <string.h>

#define BLOCK     ATTENTION_ROWS
#define MOST_ROWS 1024
#define MOST_KEYS 512
#define LDS       (MOST_KEYS + 16)
#define TASKS     32 /* fewer than this are not worth having for a few more queries in each */

struct many {
    struct cpu *c;
    const struct op *op;
    const struct kv_layer *cache;
    const float *sinks; /* or NULL */
    const struct product *p;
    bool bf16;
    size_t elem; /* bytes of an operand of the products */
    int group;   /* query heads per head of the cache */
    long d_k;    /* up to k_step */
    long d_v;    /* up to a multiple of 32 */
    long n_keys; /* at a time */
    struct part {
        const struct kv_seq *seq;
        long n_rows;   /* of a task */
        long n_blocks; /* tasks of one head */
        long first_task;
    } * parts; /* [n_parts] */
    int n_parts;
    char *worker;
    size_t worker_size;
};

/* Scratch of a worker. */
struct work {
    const struct kv_seq *seq;
    int head;    /* of the cache */
    long q0;     /* first query: row q0 / group, head q0 % group of the group */
    long n_q;    /* queries */
    float *o;    /* [n_q][d_v] */
    float *s;    /* [BLOCK][LDS] */
    uint16_t *p; /* [BLOCK][LDS], bf16 only */
    char *q;     /* [n_q up to BLOCK][d_k] */
    char *k, *v; /* panels of [d_k][n_keys] and [n_keys][d_v] */
    float *x;    /* one row in f32 */
    float max[MOST_ROWS], sum[MOST_ROWS], rescale[BLOCK];
    long valid[BLOCK];
};

/* Gives w its memory, or, if NULL, returns how many bytes that takes. */
static size_t lay_out(const struct many *m, char *base, struct work *w)
{
    const long d = m->d_k > m->d_v ? m->d_k : m->d_v;
    const size_t sizes[] = {
        sizeof(*w),
        (size_t)(MOST_ROWS * m->d_v) * sizeof(float),
        BLOCK * LDS * sizeof(float),
        BLOCK * LDS * sizeof(uint16_t),
        (size_t)(MOST_ROWS * m->d_k) * m->elem,
        (size_t)(m->n_keys * m->d_k) * m->elem,
        (size_t)(m->n_keys * m->d_v) * m->elem,
        (size_t)d * sizeof(float),
    };
    char *at[8];
    size_t n = 0;
    for (int i = 0; i < 8; i++) {
        at[i] = base + n;
        n += cpu_round64(sizes[i]);
    }
    if (w) {
        w->o = (float *)at[1];
        w->s = (float *)at[2];
        w->p = (uint16_t *)at[3];
        w->q = at[4];
        w->k = at[5];
        w->v = at[6];
        w->x = (float *)at[7];
    }
    return n;
}

static int position_of(const struct many *m, const struct work *w, long i)
{
    return w->seq->n_past + (int)((w->q0 + i) / m->group);
}

/* Where query i's head begins in q and in the result, counted in heads. */
static int64_t head_of(const struct many *m, const struct work *w, long i)
{
    long q = w->q0 + i;
    return (w->seq->first_row + q / m->group) * (int64_t)m->op->n_head +
           (int64_t)w->head * m->group + q % m->group;
}

static void load_queries(const struct many *m, struct work *w)
{
    const int d = m->cache->d_k;
    const float factor = m->op->softcap > 0 ? 1 : m->op->factor;
    memset(w->q, 0, (size_t)((w->n_q + BLOCK - 1) / BLOCK * BLOCK * m->d_k) * m->elem);
    memset(w->o, 0, (size_t)(w->n_q * m->d_v) * sizeof(*w->o));
    for (long i = 0; i < w->n_q; i++) {
        int64_t head = head_of(m, w, i);
        const float *x = cpu_floats(m->c, m->op->src[0], head * d, d, w->x);
        m->c->k->from_f32(m->bf16 ? DTYPE_BF16 : DTYPE_F32, x,
                          w->q + (size_t)(i * m->d_k) * m->elem, d);
        w->max[i] = m->sinks ? m->sinks[head % m->op->n_head] / factor : -FLT_MAX;
        w->sum[i] = m->sinks ? 1 : 0;
    }
}

/* Unpacks keys t0 .. t0 + n and their values. */
static void load_keys(const struct many *m, const struct work *w, long t0, long n)
{
    const struct kv_layer *l = m->cache;
    struct attend_pack keys = {
        .type = l->type,
        .bf16 = m->bf16,
        .d = l->d_k,
        .n_rows = (int)m->d_k,
        .n_cols = KV_BLOCK,
        .nr = m->p->nr,
        .dst = w->k,
        .panel_rows = m->d_k,
        .total = m->n_keys,
    };
    struct attend_pack values = {
        .type = l->type,
        .values = true,
        .bf16 = m->bf16,
        .d = l->d_v,
        .n_rows = KV_BLOCK,
        .n_cols = (int)m->d_v,
        .nr = m->p->nr,
        .panel_rows = m->n_keys,
        .total = m->d_v,
    };
    for (long i = 0; i < n; i += KV_BLOCK) {
        keys.block = attend_block(l, w->seq, w->head, t0 + i, false);
        keys.column = i;
        m->c->k->attend_pack(&keys);
        values.block = attend_block(l, w->seq, w->head, t0 + i, true);
        values.n_token = (int)(n - i < KV_BLOCK ? n - i : KV_BLOCK);
        values.row = i;
        values.dst = w->v;
        m->c->k->attend_pack(&values);
    }
}

/* Scores of queries b .. b + rows with n keys from t0 on, scaled by what softmax() is told. */
static void score(const struct many *m, struct work *w, long b, int rows, long t0, long n)
{
    const struct op *op = m->op;
    const void *q[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        q[i] = w->q + (size_t)((b + i) * m->d_k) * m->elem;
    for (long j = 0; j < n; j += m->p->nr) {
        struct gemm_tile t = {
            .w = w->k + (size_t)(j * m->d_k) * m->elem,
            .c = w->s + j,
            .ldc = LDS,
            .k = m->d_k,
            .nv = m->p->nr / m->c->k->width,
        };
        attention_product(m->p, t, q, m->d_k * (long)m->elem, rows);
    }
    for (int i = 0; i < rows; i++) {
        float *s = w->s + (ptrdiff_t)i * LDS;
        int position = position_of(m, w, b + i);
        long seen = position + 1 - t0, hidden = attend_first_key(op, position) - t0;
        if (op->softcap > 0)
            m->c->k->attend_cap(s, (n + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK, op->factor,
                                op->softcap);
        w->valid[i] = seen < 0 ? 0 : seen < n ? seen : n;
        for (long j = 0; j < hidden && j < n; j++)
            s[j] = ATTEND_HIDDEN;
    }
}

/* Adds n keys from t0 on to queries b .. b + rows. */
static void add_keys(const struct many *m, struct work *w, long b, int rows, long t0, long n)
{
    const struct kernels *k = m->c->k;
    const void *p[BLOCK];
    const long even = (n + m->p->k_step - 1) / m->p->k_step * m->p->k_step;
    score(m, w, b, rows, t0, n);
    struct softmax_tile sm = {.s = w->s,
                              .lds = LDS,
                              .n = even,
                              .rows = rows,
                              .scale = m->op->softcap > 0 ? 1 : m->op->factor,
                              .valid = w->valid,
                              .max = w->max + b,
                              .sum = w->sum + b,
                              .rescale = w->rescale,
                              .p = m->bf16 ? w->p : NULL};
    k->softmax(&sm);
    for (int i = 0; i < BLOCK; i++)
        p[i] = m->bf16 ? (const void *)(w->p + (ptrdiff_t)i * LDS)
                       : (const void *)(w->s + (ptrdiff_t)i * LDS);
    for (int i = 0; i < rows; i++) {
        float *o = w->o + (b + i) * m->d_v;
        if (w->rescale[i] != 1.0f)
            k->scale(o, o, w->rescale[i], 0, m->d_v);
    }
    for (long j = 0; j < m->d_v; j += m->p->nr) {
        long cols = m->d_v - j < m->p->nr ? m->d_v - j : m->p->nr;
        struct gemm_tile t = {
            .w = w->v + (size_t)(j * m->n_keys) * m->elem,
            .c = w->o + b * m->d_v + j,
            .ldc = m->d_v,
            .k = even,
            .nv = (int)(cols / k->width),
            .accumulate = true,
        };
        attention_product(m->p, t, p, LDS * (long)m->elem, rows);
    }
}

static void run_task(const struct many *m, struct work *w)
{
    const int d = m->cache->d_v;
    long key0 = attend_first_key(m->op, position_of(m, w, 0)) / KV_BLOCK * KV_BLOCK;
    long key1 = position_of(m, w, w->n_q - 1) + 1;
    load_queries(m, w);
    for (long t0 = key0; t0 < key1; t0 += m->n_keys) {
        long n = key1 - t0 < m->n_keys ? key1 - t0 : m->n_keys;
        load_keys(m, w, t0, n);
        for (long b = 0; b < w->n_q; b += BLOCK) {
            int rows = (int)(w->n_q - b < BLOCK ? w->n_q - b : BLOCK);
            long seen = position_of(m, w, b + rows - 1) + 1 - t0;
            if (seen > 0 && attend_first_key(m->op, position_of(m, w, b)) < t0 + n)
                add_keys(m, w, b, rows, t0, seen < n ? seen : n);
        }
    }
    for (long i = 0; i < w->n_q; i++) {
        int64_t first = head_of(m, w, i) * d;
        float *o = w->o + i * m->d_v, *y = cpu_dest(m->op->out, first, o);
        m->c->k->scale(y, o, 1 / w->sum[i], 0, d);
        cpu_store(m->c, m->op->out, first, d, y);
    }
}

/* The last queries of a prompt see the most keys: they come first. */
static void run_tasks(long begin, long end, int worker, void *ctx)
{
    const struct many *m = ctx;
    struct work *w = (struct work *)(m->worker + (size_t)worker * m->worker_size);
    lay_out(m, (char *)w, w);
    m->c->k->begin_products();
    for (long i = begin; i < end; i++) {
        const struct part *p = m->parts;
        while (p - m->parts < m->n_parts - 1 && i >= p[1].first_task)
            p++;
        long task = i - p->first_task, n = attend_queries(m->op, p->seq);
        w->seq = p->seq;
        w->head = (int)(task % m->cache->n_head_kv);
        w->q0 = (p->n_blocks - 1 - task / m->cache->n_head_kv) * p->n_rows;
        w->n_q = n - w->q0 < p->n_rows ? n - w->q0 : p->n_rows;
        run_task(m, w);
    }
    m->c->k->end_products();
}

/* Returns the number of tasks. */
static long plan(struct many *m)
{
    const struct kv_batch *b = m->op->batch;
    long n_tasks = 0;
    for (int i = 0; i < b->n_seq; i++) {
        long n = attend_queries(m->op, &b->seq[i]);
        if (n <= ATTEND_FEW)
            continue;
        long rows = n * m->cache->n_head_kv / TASKS / BLOCK * BLOCK;
        rows = rows < BLOCK ? BLOCK : rows > MOST_ROWS ? MOST_ROWS : rows;
        struct part p = {&b->seq[i], rows, (n + rows - 1) / rows, n_tasks};
        n_tasks += p.n_blocks * m->cache->n_head_kv;
        m->parts[m->n_parts++] = p;
    }
    return n_tasks;
}

int cpu_attend_many(struct cpu *c, const struct op *op, struct err *e)
{
    const struct kv_layer *l = op->cache;
    struct many m = {
        .c = c,
        .op = op,
        .cache = l,
        .sinks = op->src[3] ? op->src[3]->data : NULL,
        .group = op->n_head / l->n_head_kv,
        .d_v = (l->d_v + 31) / 32 * 32,
    };
    bool any = false;
    for (int i = 0; i < op->batch->n_seq; i++)
        any = any || attend_queries(op, &op->batch->seq[i]) > ATTEND_FEW;
    if (!any)
        return 0;
    m.bf16 = c->k->bf16.gemm && op->fast;
    m.p = m.bf16 ? &c->k->bf16 : &c->k->f32;
    m.elem = dtype_row_size(m.bf16 ? DTYPE_BF16 : DTYPE_F32, 1);
    m.d_k = (l->d_k + m.p->k_step - 1) / m.p->k_step * m.p->k_step;
    m.n_keys = m.bf16 ? MOST_KEYS : MOST_KEYS / 2;
    m.worker_size = lay_out(&m, NULL, NULL);
    size_t parts = cpu_round64((size_t)op->batch->n_seq * sizeof(*m.parts));
    char *scratch = cpu_scratch(c, parts, m.worker_size, e);
    if (!scratch)
        return ERR_NOMEM;
    m.parts = (struct part *)scratch;
    m.worker = scratch + parts;
    parallel_for(c->pool, plan(&m), 1, run_tasks, &m);
    return 0;
}
