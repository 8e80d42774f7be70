/* attend.c - attention over the paged cache of tensor/kv.h.
 *
 *   1. the run's keys and values are added to the cache
 *   2. a task = one sequence x one head of the cache x SPLIT keys, for up to QUERIES queries: those
 *      of all heads that share it and of neighbouring rows; for each KEYS keys: scores, a step of
 *      online softmax, sum of values (k_attend.c), so that each key is loaded once for all of them
 *   3. the results of a query's tasks are merged
 *   4. sequences with more queries: attend_many.c
 *
 * How work is split depends on the batch alone, never on the number of threads.
 */
#include "cpu/attention.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define QUERIES ATTEND_FEW
#define KEYS    256
#define LDS     (KEYS + 16)
#define SPLIT   1024

/* One sequence's share of the tasks: [n_head_kv][n_splits], from first_task on. */
struct share {
    long first_task, n_tasks;
    int n_queries; /* rows x heads that share a head of the cache */
    long n_splits;
    long first_part; /* of results to be merged, where n_splits > 1 */
};

struct attend {
    struct cpu *c;
    const struct op *op;
    const struct kv_layer *cache;
    const float *sinks;   /* or NULL */
    struct share *shares; /* [n_seq] */
    int group;            /* query heads per head of the cache */
    long d_pad;           /* of results: d_v up to a multiple of 32 */
    float *parts;         /* [n_parts][QUERIES][2 + d_pad]: max, sum, unscaled result */
    char *worker;
    size_t worker_size;
};

/* Scratch of a worker. */
struct work {
    struct attend_query queries[QUERIES];
    const float *q[QUERIES];
    float s[QUERIES * LDS];
    float max[QUERIES], sum[QUERIES], rescale[QUERIES];
    long valid[QUERIES];
    float *o; /* [QUERIES][d_pad] */
    float *x; /* [QUERIES][d], queries or a result in f32 */
};

static struct work *work_of(const struct attend *a, int worker)
{
    struct work *w = (struct work *)(a->worker + (size_t)worker * a->worker_size);
    w->o = (float *)((char *)w + cpu_round64(sizeof(*w)));
    w->x = w->o + QUERIES * a->d_pad;
    return w;
}

static bool is_quantised(const struct attend *a)
{
    return dtype_block(a->cache->type) > 1;
}

/* Item i is head i % n_head_kv of row i / n_head_kv. */
static void store(long begin, long end, int worker, void *ctx)
{
    const struct attend *a = ctx;
    const struct kv_layer *l = a->cache;
    const struct kv_batch *b = a->op->batch;
    const struct tensor *k = a->op->src[1], *v = a->op->src[2];
    float *tmp = work_of(a, worker)->x;
    for (int i = 0; i < b->n_seq; i++) {
        const struct kv_seq *s = &b->seq[i];
        long from = (long)s->first_row * l->n_head_kv, to = from + (long)s->n_rows * l->n_head_kv;
        for (long j = begin > from ? begin : from; j < (end < to ? end : to); j++) {
            int position = s->n_past + (int)(j / l->n_head_kv) - s->first_row;
            int head = (int)(j % l->n_head_kv), slot = position % KV_BLOCK;
            int32_t block = s->blocks[position / KV_BLOCK];
            kv_write_k(l, block, slot, head, cpu_floats(a->c, k, j * l->d_k, l->d_k, tmp));
            kv_write_v(l, block, slot, head, cpu_floats(a->c, v, j * l->d_v, l->d_v, tmp));
        }
    }
}

/* What a task is about. */
struct task {
    const struct kv_seq *seq;
    const struct share *share;
    int head;        /* of the cache */
    int n_q;         /* queries: row i / group, head i % group of the group */
    long key0, key1; /* key0 starts a block */
    long part;       /* -1: the whole result */
};

static struct task task_of(const struct attend *a, long i)
{
    const struct share *s = a->shares;
    const struct kv_seq *seq = a->op->batch->seq;
    for (; i >= s->first_task + s->n_tasks; s++)
        seq++;
    i -= s->first_task;
    struct task t = {.seq = seq, .share = s, .part = -1};
    long split = i % s->n_splits;
    t.head = (int)(i / s->n_splits);
    t.n_q = s->n_queries;
    t.key0 = attend_first_key(a->op, seq->n_past) / KV_BLOCK * KV_BLOCK;
    t.key1 = seq->n_past + seq->n_rows;
    if (s->n_splits > 1) {
        t.part = s->first_part + i;
        t.key0 += split * SPLIT;
        t.key1 = t.key1 < t.key0 + SPLIT ? t.key1 : t.key0 + SPLIT;
    }
    return t;
}

/* Where query i's head begins in q and, times d_v / d_k, in the result, counted in heads. */
static int64_t head_of(const struct attend *a, const struct task *t, int i)
{
    return (int64_t)(t->seq->first_row + i / a->group) * a->op->n_head +
           (int64_t)t->head * a->group + i % a->group;
}

static void load_queries(const struct attend *a, const struct task *t, struct work *w)
{
    int d = a->cache->d_k;
    for (int i = 0; i < t->n_q; i++) {
        int64_t head = head_of(a, t, i);
        w->q[i] = cpu_floats(a->c, a->op->src[0], head * d, d, w->x + (ptrdiff_t)i * d);
        if (is_quantised(a))
            a->c->k->attend_query(a->cache->type, w->q[i], d, &w->queries[i]);
        w->max[i] = -FLT_MAX;
        w->sum[i] = 0;
        if (a->sinks && t->part < 0) { /* of parts merge_query() adds it */
            float factor = a->op->softcap > 0 ? 1 : a->op->factor;
            w->max[i] = a->sinks[head % a->op->n_head] / factor;
            w->sum[i] = 1;
        }
    }
    memset(w->o, 0, (size_t)(QUERIES * a->d_pad) * sizeof(*w->o));
}

/* Keys t0 .. t0 + n. */
static void add_keys(const struct attend *a, const struct task *t, struct work *w, long t0, long n)
{
    const struct kernels *k = a->c->k;
    const struct op *op = a->op;
    struct attend_tile tile = {.type = a->cache->type,
                               .d = a->cache->d_k,
                               .n_q = t->n_q,
                               .floats = w->q,
                               .queries = w->queries,
                               .o = w->o,
                               .lds = LDS,
                               .ldo = a->d_pad};
    for (long i = 0; i < n; i += KV_BLOCK) {
        tile.block = attend_block(a->cache, t->seq, t->head, t0 + i, false);
        tile.s = w->s + i;
        k->attend_scores(&tile);
    }
    for (int i = 0; i < t->n_q; i++) {
        int position = t->seq->n_past + i / a->group;
        long seen = position + 1 - t0, hidden = attend_first_key(a->op, position) - t0;
        if (op->softcap > 0)
            k->attend_cap(w->s + (ptrdiff_t)i * LDS, (n + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK,
                          op->factor, op->softcap);
        w->valid[i] = seen < 0 ? 0 : seen < n ? seen : n;
        for (long j = 0; j < hidden && j < n; j++)
            w->s[i * LDS + j] = ATTEND_HIDDEN;
    }
    struct softmax_tile sm = {.s = w->s,
                              .lds = LDS,
                              .n = n,
                              .rows = t->n_q,
                              .scale = op->softcap > 0 ? 1 : op->factor,
                              .valid = w->valid,
                              .max = w->max,
                              .sum = w->sum,
                              .rescale = w->rescale};
    k->softmax(&sm);
    for (int i = 0; i < t->n_q; i++)
        if (w->rescale[i] != 1.0f)
            k->scale(w->o + i * a->d_pad, w->o + i * a->d_pad, w->rescale[i], 0, a->d_pad);
    tile.d = a->cache->d_v;
    for (long i = 0; i < n; i += KV_BLOCK) {
        tile.block = attend_block(a->cache, t->seq, t->head, t0 + i, true);
        tile.s = w->s + i;
        tile.n_token = (int)(n - i < KV_BLOCK ? n - i : KV_BLOCK);
        k->attend_values(&tile);
    }
}

/* Query i's result: o / sum. */
static void finish(const struct attend *a, const struct task *t, int i, float *o, float sum)
{
    int d = a->cache->d_v;
    int64_t first = head_of(a, t, i) * d;
    float *y = cpu_dest(a->op->out, first, o);
    a->c->k->scale(y, o, 1 / sum, 0, d);
    cpu_store(a->c, a->op->out, first, d, y);
}

static void run_tasks(long begin, long end, int worker, void *ctx)
{
    const struct attend *a = ctx;
    struct work *w = work_of(a, worker);
    for (long i = begin; i < end; i++) {
        struct task t = task_of(a, i);
        load_queries(a, &t, w);
        for (long key = t.key0; key < t.key1; key += KEYS)
            add_keys(a, &t, w, key, t.key1 - key < KEYS ? t.key1 - key : KEYS);
        for (int q = 0; q < t.n_q; q++) {
            float *o = w->o + q * a->d_pad;
            if (t.part < 0) {
                finish(a, &t, q, o, w->sum[q]);
                continue;
            }
            float *part = a->parts + (t.part * QUERIES + q) * (a->d_pad + 2);
            part[0] = w->max[q];
            part[1] = w->sum[q];
            memcpy(part + 2, o, (size_t)a->d_pad * sizeof(*o));
        }
    }
}

/* Adds up the splits of one query in their order; `o` is [d_pad]. */
static void merge_query(const struct attend *a, const struct task *t, int q, float *o)
{
    const long stride = QUERIES * (a->d_pad + 2);
    const float *part = a->parts + (t->part * QUERIES + q) * (a->d_pad + 2);
    float factor = a->op->softcap > 0 ? 1 : a->op->factor, max = -FLT_MAX, sum = 0;
    float sink = a->sinks ? a->sinks[head_of(a, t, q) % a->op->n_head] / factor : -FLT_MAX;
    for (long i = 0; i < t->share->n_splits; i++)
        max = part[i * stride] > max ? part[i * stride] : max;
    if (sink > max)
        max = sink;
    if (a->sinks)
        sum = expf((sink - max) * factor);
    memset(o, 0, (size_t)a->d_pad * sizeof(*o));
    for (long i = 0; i < t->share->n_splits; i++, part += stride) {
        float weight = expf((part[0] - max) * factor);
        sum += weight * part[1];
        for (long j = 0; j < a->d_pad; j++)
            o[j] += weight * part[2 + j];
    }
    finish(a, t, q, o, sum);
}

static void merge(struct attend *a, long n_tasks)
{
    struct work *w = work_of(a, 0);
    for (long i = 0; i < n_tasks; i++) {
        struct task t = task_of(a, i);
        if (t.part < 0 || (i - t.share->first_task) % t.share->n_splits != 0)
            continue;
        for (int q = 0; q < t.n_q; q++)
            merge_query(a, &t, q, w->o);
    }
}

/* Shares of all sequences; returns the number of tasks, and of results to be merged. */
static long plan(struct attend *a, long *n_parts)
{
    long n = 0;
    *n_parts = 0;
    for (int i = 0; i < a->op->batch->n_seq; i++) {
        const struct kv_seq *seq = &a->op->batch->seq[i];
        struct share *s = &a->shares[i];
        s->first_task = n;
        s->n_queries = 0;
        s->n_splits = s->n_tasks = 0;
        if (seq->n_rows > 0 && attend_queries(a->op, seq) <= QUERIES) {
            long first = attend_first_key(a->op, seq->n_past) / KV_BLOCK * KV_BLOCK;
            s->n_queries = (int)attend_queries(a->op, seq);
            s->n_splits = (seq->n_past + seq->n_rows - first + SPLIT - 1) / SPLIT;
            s->n_tasks = a->cache->n_head_kv * s->n_splits;
        }
        s->first_part = *n_parts;
        *n_parts += s->n_splits > 1 ? s->n_tasks : 0;
        n += s->n_tasks;
    }
    return n;
}

static int check(const struct op *op, struct err *e)
{
    const struct kv_layer *l = op->cache;
    if (l->d_k > ATTEND_MAX_D || l->d_v > ATTEND_MAX_D)
        return err_set(e, ERR_UNSUPPORTED, "heads of %d and %d dimensions (at most %d)", l->d_k,
                       l->d_v, ATTEND_MAX_D);
    for (int i = 0; i < op->batch->n_seq; i++) {
        const struct kv_seq *s = &op->batch->seq[i];
        if (s->first_row < 0 || s->n_rows < 0 || s->n_past < 0 ||
            s->first_row + (int64_t)s->n_rows > op->out->dim[0])
            return err_set(e, ERR_ARG, "sequence %d has rows beyond the batch", i);
    }
    return 0;
}

int cpu_attend(struct cpu *c, const struct op *op, struct err *e)
{
    const struct kv_layer *l = op->cache;
    struct attend a = {
        .c = c,
        .op = op,
        .cache = l,
        .sinks = op->src[3] ? op->src[3]->data : NULL,
        .group = op->n_head / l->n_head_kv,
        .d_pad = (l->d_v + 31) / 32 * 32,
    };
    long n_parts, d = l->d_k > l->d_v ? l->d_k : l->d_v;
    int rc = check(op, e);
    if (rc)
        return rc;
    memset(op->out->data, 0, tensor_size(op->out));
    size_t shares = cpu_round64((size_t)op->batch->n_seq * sizeof(*a.shares));
    a.worker_size = cpu_round64(sizeof(struct work)) +
                    cpu_round64((size_t)(QUERIES * (a.d_pad + d)) * sizeof(float));
    char *scratch = cpu_scratch(c, shares, a.worker_size, e);
    if (!scratch)
        return ERR_NOMEM;
    a.shares = (struct share *)scratch;
    long n_tasks = plan(&a, &n_parts);
    if (n_parts) {
        size_t parts = (size_t)(n_parts * QUERIES * (a.d_pad + 2)) * sizeof(float);
        scratch = cpu_scratch(c, shares + cpu_round64(parts), a.worker_size, e);
        if (!scratch)
            return ERR_NOMEM;
        a.shares = (struct share *)scratch;
        a.parts = (float *)(scratch + shares);
        plan(&a, &n_parts);
        shares += cpu_round64(parts);
    }
    a.worker = scratch + shares;
    parallel_for(c->pool, (long)op->out->dim[0] * l->n_head_kv, (long)KV_BLOCK * l->n_head_kv,
                 store, &a);
    parallel_for(c->pool, n_tasks, 1, run_tasks, &a);
    merge(&a, n_tasks);
    return cpu_attend_many(c, op, e);
}
