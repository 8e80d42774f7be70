/* experts.c - mixtures of experts (Shazeer et al., arXiv:1701.06538; Jiang et al.,
 * arXiv:2401.04088): choosing, the products of the chosen, their sum.
 *
 * The rows of one expert are gathered and multiplied in one call of cpu_linear(), so that its
 * weights are read once for all of them; a single row, as when one token is generated, is used
 * where it lies.
 */
#include "cpu/cpu.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cpu/kernels.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Is a before b? NaN is before all numbers: a broken model is noticed. */
static bool is_before(float a, float b)
{
    return a > b || (isnan(a) && !isnan(b));
}

int cpu_top_k(struct cpu *c, const struct op *op, struct err *e)
{
    const struct tensor *x = op->src[0];
    long n = (long)x->dim[1], k = (long)op->out->dim[1];
    int32_t *ids = op->out->data;
    float *row = (float *)cpu_scratch(c, (size_t)n * sizeof(float), 0, e);
    if (!row)
        return ERR_NOMEM;
    for (int64_t r = 0; r < x->dim[0]; r++, ids += k) {
        const float *v = cpu_floats(c, x, r * n, n, row);
        long have = 0;
        for (int32_t i = 0; i < n; i++) { /* insertion into the list of the best */
            long at = have < k ? have++ : k;
            while (at > 0 && is_before(v[i], v[ids[at - 1]])) {
                if (at < k)
                    ids[at] = ids[at - 1];
                at--;
            }
            if (at < k)
                ids[at] = i;
        }
    }
    return 0;
}

static int bad_expert(const struct tensor *x, int32_t id, struct err *e)
{
    return err_set(e, ERR_FORMAT, "%s has no expert %d", x->name, id);
}

int cpu_gates(struct cpu *c, const struct op *op, struct err *e)
{
    const struct tensor *x = op->src[0];
    long n = (long)x->dim[1], k = (long)op->out->dim[1];
    const int32_t *ids = op->src[1]->data;
    float *out = op->out->data, *row = (float *)cpu_scratch(c, (size_t)n * sizeof(float), 0, e);
    if (!row)
        return ERR_NOMEM;
    for (int64_t r = 0; r < x->dim[0]; r++, ids += k, out += k) {
        const float *v = cpu_floats(c, x, r * n, n, row);
        float max = v[0];
        double sum = 0, chosen = 0;
        for (long i = 1; i < n; i++)
            max = v[i] > max ? v[i] : max;
        for (long i = 0; i < n; i++)
            sum += exp((double)v[i] - (double)max);
        for (long j = 0; j < k; j++) {
            if (ids[j] < 0 || ids[j] >= n)
                return bad_expert(x, ids[j], e);
            chosen += exp((double)v[ids[j]] - (double)max);
        }
        for (long j = 0; j < k; j++)
            out[j] = (float)(exp((double)v[ids[j]] - (double)max) / (op->norm ? chosen : sum));
    }
    return 0;
}

struct expert_job {
    struct cpu *c;
    const struct op *op;
    long n_used, n_expert;
    int32_t *slots; /* [n, n_used] numbers of pairs (row, choice), those of one expert together */
    long *first;    /* [n_expert + 1]: of each expert in slots */
    char *x, *y;    /* gathered rows of one expert */
    size_t x_row, y_row;
};

/* Where the input row and the output row of a slot lie. */
static char *slot_x(const struct expert_job *j, int32_t slot)
{
    const struct tensor *x = j->op->src[0];
    return (char *)x->data + (size_t)(x->n_dim == 3 ? slot : slot / j->n_used) * j->x_row;
}

static char *slot_y(const struct expert_job *j, int32_t slot)
{
    return (char *)j->op->out->data + (size_t)slot * j->y_row;
}

/* Counting sort; the order of rows within an expert is kept. Tells the longest list. */
static int sort_slots(struct expert_job *j, long *longest, struct err *e)
{
    const int32_t *ids = j->op->src[1]->data;
    long n = (long)tensor_n(j->op->src[1]);
    *longest = 0;
    for (long i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= j->n_expert)
            return bad_expert(j->op->src[2], ids[i], e);
        j->first[ids[i] + 1]++;
    }
    for (long i = 0; i < j->n_expert; i++) {
        *longest = j->first[i + 1] > *longest ? j->first[i + 1] : *longest;
        j->first[i + 1] += j->first[i];
    }
    for (long i = 0; i < n; i++) /* first[e] moves to the end of e, the beginning of e + 1 */
        j->slots[j->first[ids[i]]++] = (int32_t)i;
    memmove(j->first + 1, j->first, (size_t)j->n_expert * sizeof(*j->first));
    j->first[0] = 0;
    return 0;
}

static int run_expert(const struct expert_job *j, long expert, struct err *e)
{
    const struct op *op = j->op;
    const struct tensor *w = op->src[2], *b = op->src[3];
    const int32_t *slots = j->slots + j->first[expert];
    long m = j->first[expert + 1] - j->first[expert], n = (long)w->dim[1], k = (long)w->dim[2];
    struct tensor wt = {.type = w->type, .n_dim = 2, .dim = {n, k, 1, 1}, .name = w->name};
    struct tensor bt = {.type = DTYPE_F32, .n_dim = 1, .dim = {n, 1, 1, 1}, .name = w->name};
    struct tensor x = {.type = op->src[0]->type, .n_dim = 2, .dim = {m, k, 1, 1}, .name = "x"};
    struct tensor y = {.type = op->out->type, .n_dim = 2, .dim = {m, n, 1, 1}, .name = "y"};
    wt.data = op->each ? (void *)(uintptr_t)op->each[expert] : cpu_at(w, expert * n * k);
    if (b)
        bt.data = (float *)b->data + expert * n;
    assert(m == 1 || (j->x && j->y)); /* there is room for the longest list */
    x.data = m == 1 ? slot_x(j, slots[0]) : j->x;
    y.data = m == 1 ? slot_y(j, slots[0]) : j->y;
    for (long i = 0; m > 1 && i < m; i++)
        memcpy(j->x + (size_t)i * j->x_row, slot_x(j, slots[i]), j->x_row);
    struct op linear = *op; /* what else the op says of products holds here too */
    linear.kind = OP_LINEAR;
    linear.each = NULL;
    linear.out = &y;
    linear.src[0] = &x;
    linear.src[1] = &wt;
    linear.src[2] = b ? &bt : NULL;
    linear.src[3] = NULL;
    int rc = cpu_linear(j->c, &linear, e);
    for (long i = 0; !rc && m > 1 && i < m; i++)
        memcpy(slot_y(j, slots[i]), j->y + (size_t)i * j->y_row, j->y_row);
    return rc;
}

int cpu_experts(struct cpu *c, const struct op *op, struct err *e)
{
    const struct tensor *x = op->src[0], *ids = op->src[1], *w = op->src[2];
    struct expert_job j = {.c = c,
                           .op = op,
                           .n_used = (long)ids->dim[1],
                           .n_expert = (long)w->dim[0],
                           .x_row = dtype_row_size(x->type, tensor_n_cols(x)),
                           .y_row = dtype_row_size(op->out->type, w->dim[1])};
    long longest;
    int rc = ERR_NOMEM;
    j.slots = mem_try_array((size_t)tensor_n(ids), sizeof(*j.slots), "the rows of experts", e);
    j.first = mem_try_array((size_t)j.n_expert + 1, sizeof(*j.first), "the rows of experts", e);
    if (!j.slots || !j.first)
        goto done;
    rc = sort_slots(&j, &longest, e);
    if (!rc && longest > 1) {
        j.x = mem_try_aligned((size_t)longest * j.x_row, "the rows of an expert", e);
        j.y = j.x ? mem_try_aligned((size_t)longest * j.y_row, "the rows of an expert", e) : NULL;
        rc = j.y ? 0 : ERR_NOMEM;
    }
    for (long i = 0; !rc && i < j.n_expert; i++)
        if (j.first[i + 1] > j.first[i])
            rc = run_expert(&j, i, e);
done:
    mem_free_aligned(j.x);
    mem_free_aligned(j.y);
    free(j.slots);
    free(j.first);
    return rc;
}

struct mix_job {
    struct cpu *c;
    const struct op *op;
    char *worker; /* two rows each */
    size_t worker_size;
};

static void mix_rows(long begin, long end, int worker, void *ctx)
{
    const struct mix_job *j = ctx;
    const struct tensor *x = j->op->src[0], *residual = j->op->src[2], *out = j->op->out;
    long n = (long)out->dim[1], n_used = (long)x->dim[1];
    float *tmp = (float *)(j->worker + (size_t)worker * j->worker_size), *sum = tmp + n;
    for (long r = begin; r < end; r++) {
        const float *gates = (const float *)j->op->src[1]->data + r * n_used;
        if (residual)
            memcpy(sum, cpu_floats(j->c, residual, r * n, n, tmp), (size_t)n * sizeof(*sum));
        else
            memset(sum, 0, (size_t)n * sizeof(*sum));
        for (long i = 0; i < n_used; i++)
            j->c->k->add_scaled(sum, cpu_floats(j->c, x, (r * n_used + i) * n, n, tmp), gates[i],
                                n);
        if (out->type == DTYPE_F32)
            memcpy((float *)out->data + r * n, sum, (size_t)n * sizeof(*sum));
        else
            cpu_store(j->c, out, r * n, n, sum);
    }
}

int cpu_mix(struct cpu *c, const struct op *op, struct err *e)
{
    struct mix_job j = {.c = c, .op = op};
    j.worker_size = cpu_round64((size_t)(2 * op->out->dim[1]) * sizeof(float));
    j.worker = cpu_scratch(c, 0, j.worker_size, e);
    if (!j.worker)
        return ERR_NOMEM;
    parallel_for(c->pool, (long)op->out->dim[0], 4, mix_rows, &j);
    return 0;
}
