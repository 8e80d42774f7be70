/* attend.c - attention over the paged cache of tensor/kv.h.
 *
 *   1. the run's keys and values are added to the cache
 *   2. a task = one row x one head of the cache: scores of the row's query heads against all keys
 *      it sees, softmax, sum of the values
 */
#include "cpu/cpu.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/kernels.h"
#include "tensor/kv.h"

#include <math.h>
#include <string.h>

struct attend {
    struct cpu *c;
    const struct op *op;
    const struct kv_layer *cache;
    const struct kv_seq *seq; /* the sequence at work */
    const float *sinks;       /* or NULL */
    int group;                /* query heads per head of the cache */
    int n_keys;               /* most keys a row sees */
    char *worker;
    size_t worker_size;
};

static int32_t block_of(const struct kv_seq *s, int position)
{
    return s->blocks[position / KV_BLOCK];
}

/* Item i is head i % n_head_kv of row i / n_head_kv. */
static void store(long begin, long end, int worker, void *ctx)
{
    const struct attend *a = ctx;
    const struct kv_layer *l = a->cache;
    const struct tensor *k = a->op->src[1], *v = a->op->src[2];
    float *tmp = (float *)(a->worker + (size_t)worker * a->worker_size);
    for (long i = begin; i < end; i++) {
        long row = i / l->n_head_kv;
        int head = (int)(i % l->n_head_kv), position = a->seq->n_past + (int)row;
        int64_t at = (a->seq->first_row + row) * l->n_head_kv + head;
        int32_t block = block_of(a->seq, position);
        kv_write_k(l, block, position % KV_BLOCK, head,
                   cpu_floats(a->c, k, at * l->d_k, l->d_k, tmp));
        kv_write_v(l, block, position % KV_BLOCK, head,
                   cpu_floats(a->c, v, at * l->d_v, l->d_v, tmp));
    }
}

static float score(const struct attend *a, const float *q, const float *k)
{
    float s = 0, cap = a->op->softcap;
    for (int i = 0; i < a->cache->d_k; i++)
        s += q[i] * k[i];
    s *= a->op->factor;
    return cap > 0 ? cap * tanhf(s / cap) : s;
}

/* Scores to weights that add up to 1 together with the sink's. */
static void softmax(float *s, int n, const float *sink)
{
    float max = sink ? *sink : -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        max = s[i] > max ? s[i] : max;
    for (int i = 0; i < n; i++)
        sum += s[i] = expf(s[i] - max);
    sum += sink ? expf(*sink - max) : 0;
    for (int i = 0; i < n; i++)
        s[i] /= sum;
}

static void run_head(const struct attend *a, long row, int head, float *tmp)
{
    const struct kv_layer *l = a->cache;
    const struct op *op = a->op;
    int last = a->seq->n_past + (int)row, first = 0;
    if (op->window > 0 && last >= op->window)
        first = last - op->window + 1;
    float *s = tmp, *q_tmp = s + a->n_keys, *k = q_tmp + l->d_k, *o = k + l->d_k + l->d_v;
    for (int h = head * a->group; h < (head + 1) * a->group; h++) {
        int64_t at = (a->seq->first_row + row) * op->n_head + h;
        const float *q = cpu_floats(a->c, op->src[0], at * l->d_k, l->d_k, q_tmp);
        for (int t = first; t <= last; t++) {
            kv_read_k(l, block_of(a->seq, t), t % KV_BLOCK, head, k);
            s[t - first] = score(a, q, k);
        }
        softmax(s, last - first + 1, a->sinks ? a->sinks + h : NULL);
        memset(o, 0, (size_t)l->d_v * sizeof(*o));
        for (int t = first; t <= last; t++) {
            kv_read_v(l, block_of(a->seq, t), t % KV_BLOCK, head, k);
            for (int i = 0; i < l->d_v; i++)
                o[i] += s[t - first] * k[i];
        }
        float *y = cpu_dest(op->out, at * l->d_v, o);
        memmove(y, o, (size_t)l->d_v * sizeof(*o));
        cpu_store(a->c, op->out, at * l->d_v, l->d_v, y);
    }
}

static void run_heads(long begin, long end, int worker, void *ctx)
{
    const struct attend *a = ctx;
    float *tmp = (float *)(a->worker + (size_t)worker * a->worker_size);
    for (long i = begin; i < end; i++)
        run_head(a, i / a->cache->n_head_kv, (int)(i % a->cache->n_head_kv), tmp);
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
    };
    memset(op->out->data, 0, tensor_size(op->out));
    for (int i = 0; i < op->batch->n_seq; i++) {
        const struct kv_seq *s = &op->batch->seq[i];
        if (s->first_row < 0 || s->n_rows < 0 || s->n_past < 0 ||
            s->first_row + (int64_t)s->n_rows > op->out->dim[0])
            return err_set(e, ERR_ARG, "sequence %d has rows beyond the batch", i);
        if (s->n_past + s->n_rows > a.n_keys)
            a.n_keys = s->n_past + s->n_rows;
    }
    a.worker_size = cpu_round64((size_t)(a.n_keys + 2 * l->d_k + 2 * l->d_v) * sizeof(float));
    a.worker = cpu_scratch(c, 0, a.worker_size, e);
    if (!a.worker)
        return ERR_NOMEM;
    for (int i = 0; i < op->batch->n_seq; i++) {
        a.seq = &op->batch->seq[i];
        long items = (long)a.seq->n_rows * l->n_head_kv;
        parallel_for(c->pool, items, KV_BLOCK * l->n_head_kv, store, &a);
        parallel_for(c->pool, items, 1, run_heads, &a);
    }
    return 0;
}
