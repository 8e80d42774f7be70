/* token_candidates.c - see token_candidates.h. */
#include "text/token_candidates.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int candidates_init(struct token_candidates *c, size_t n_vocab, struct err *e)
{
    *c = (struct token_candidates){.n_vocab = n_vocab};
    c->at = mem_try_array(n_vocab, sizeof *c->at, "the candidates of the sampler", e);
    if (c->at)
        c->ranks = mem_try_array(n_vocab, sizeof *c->ranks, "the candidates of the sampler", e);
    if (c->ranks)
        return 0;
    candidates_release(c);
    return ERR_NOMEM;
}

void candidates_release(struct token_candidates *c)
{
    free(c->at);
    free(c->ranks);
    *c = (struct token_candidates){0};
}

/* e^x for x <= 0, within 1e-11 of it: 2^k times a polynomial, without the C library, whose versions
 * round differently. Below f32's range it is 0. */
static inline double exp_down(double x)
{
    if (!(x > -87))
        return 0;
    const double shift = 0x1.8p52; /* adding it rounds to the nearest integer */
    double t = x * 1.4426950408889634 + shift;
    double k = t - shift;
    double r = x - k * 0.69314718055994531; /* |r| <= ln 2 / 2 */
    double sum = 1.0 / 40320;
    sum = sum * r + 1.0 / 5040;
    sum = sum * r + 1.0 / 720;
    sum = sum * r + 1.0 / 120;
    sum = sum * r + 1.0 / 24;
    sum = sum * r + 1.0 / 6;
    sum = sum * r + 1.0 / 2;
    sum = sum * r + 1;
    sum = sum * r + 1;
    uint64_t bits = (uint64_t)((int64_t)k + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

double candidates_log_sum(const float *logits, size_t n, float largest)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp_down((double)logits[i] - (double)largest);
    return (double)largest + log(sum);
}

static inline bool better(const struct token_rank *a, const struct token_rank *b)
{
    return a->key > b->key || (a->key == b->key && a->id < b->id);
}

/* Restores the heap, whose root is the worst, below i. */
static void sift_down(struct token_rank *heap, size_t n, size_t i)
{
    struct token_rank x = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && better(&heap[child], &heap[child + 1]))
            child++;
        if (!better(&x, &heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

/* The k best of the logits as a heap in c->ranks; returns how many. Most logits cost one
 * comparison with the worst of the best so far. */
static size_t gather_best(struct token_candidates *c, const float *logits, size_t k)
{
    struct token_rank *heap = c->ranks;
    size_t n = 0, i = 0;
    for (; i < c->n_vocab && n < k; i++)
        if (logits[i] > -INFINITY)
            heap[n++] = (struct token_rank){.key = logits[i], .id = (int32_t)i};
    for (size_t j = n / 2; j-- > 0;)
        sift_down(heap, n, j);
    for (; i < c->n_vocab; i++) {
        if (logits[i] > heap[0].key) { /* on a tie the one before has the lower id */
            heap[0] = (struct token_rank){.key = logits[i], .id = (int32_t)i};
            sift_down(heap, n, 0);
        }
    }
    return n;
}

static int by_rank(const void *a, const void *b)
{
    return better(a, b) ? -1 : 1;
}

static int by_id(const void *a, const void *b)
{
    int32_t x = ((const struct token_rank *)a)->id, y = ((const struct token_rank *)b)->id;
    return (x > y) - (x < y);
}

size_t candidates_best(struct token_candidates *c, const float *logits, size_t n,
                       struct token_rank *out)
{
    if (n == 0)
        return 0;
    n = gather_best(c, logits, n < c->n_vocab ? n : c->n_vocab);
    qsort(c->ranks, n, sizeof *c->ranks, by_rank);
    memcpy(out, c->ranks, n * sizeof *out);
    return n;
}

void candidates_gather(struct token_candidates *c, const float *logits, int k)
{
    c->n = 0;
    if (k > 0 && (size_t)k < c->n_vocab) {
        size_t n = gather_best(c, logits, (size_t)k);
        qsort(c->ranks, n, sizeof *c->ranks, by_id);
        for (; c->n < n; c->n++)
            c->at[c->n] = (struct token_candidate){c->ranks[c->n].id, c->ranks[c->n].key, 0};
        return;
    }
    for (size_t i = 0; i < c->n_vocab; i++)
        if (logits[i] > -INFINITY)
            c->at[c->n++] = (struct token_candidate){(int32_t)i, logits[i], 0};
}

static float largest_logit(const struct token_candidates *c)
{
    float most = -INFINITY;
    for (size_t i = 0; i < c->n; i++)
        most = c->at[i].logit > most ? c->at[i].logit : most;
    return most;
}

void candidates_softmax(struct token_candidates *c)
{
    float most = largest_logit(c);
    double sum = 0;
    for (size_t i = 0; i < c->n; i++) {
        c->at[i].p = (float)exp_down((double)c->at[i].logit - (double)most);
        sum += (double)c->at[i].p;
    }
    double scale = 1 / sum;
    for (size_t i = 0; i < c->n; i++)
        c->at[i].p = (float)((double)c->at[i].p * scale);
}

double candidates_entropy(const struct token_candidates *c)
{
    double sum = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->at[i].p > 0)
            sum -= (double)c->at[i].p * log((double)c->at[i].p);
    return sum;
}

static void swap(struct token_rank *a, struct token_rank *b)
{
    struct token_rank t = *a;
    *a = *b;
    *b = t;
}

/* Sorts r[begin..end) into better than the pivot, the pivot, and the rest; returns its index. */
static size_t partition(struct token_rank *r, size_t begin, size_t end)
{
    size_t last = end - 1, mid = begin + (last - begin) / 2;
    if (better(&r[mid], &r[begin]))
        swap(&r[mid], &r[begin]);
    if (better(&r[last], &r[begin]))
        swap(&r[last], &r[begin]);
    if (better(&r[last], &r[mid]))
        swap(&r[last], &r[mid]);
    swap(&r[mid], &r[last]); /* the median of three, out of the way */
    size_t at = begin;
    for (size_t i = begin; i < last; i++)
        if (better(&r[i], &r[last]))
            swap(&r[i], &r[at++]);
    swap(&r[at], &r[last]);
    return at;
}

/* The worst that is kept of the shortest run of best ranks whose probabilities reach `mass`: a
 * quickselect by sums. */
static struct token_rank border(struct token_rank *r, size_t n, double mass)
{
    size_t begin = 0, end = n;
    double done = 0; /* of all before `begin`, which are kept */
    while (begin < end) {
        size_t at = partition(r, begin, end);
        double before = 0;
        for (size_t i = begin; i < at; i++)
            before += (double)r[i].p;
        if (done + before >= mass && at > begin) {
            end = at;
        } else if (done + before + (double)r[at].p >= mass) {
            return r[at];
        } else {
            done += before + (double)r[at].p;
            begin = at + 1;
        }
    }
    /* Either the sums of another order were larger by a rounding, or all together do not reach it.
     */
    struct token_rank worst = r[0];
    for (size_t i = 1; i < begin; i++)
        if (better(&worst, &r[i]))
            worst = r[i];
    return worst;
}

/* The rank by logit, or by how near to the entropy the surprise of a token is. */
static struct token_rank rank(const struct token_candidate *x, bool typical, double entropy)
{
    float key = x->logit;
    if (typical)
        key = x->p > 0 ? (float)-fabs(-log((double)x->p) - entropy) : -INFINITY;
    return (struct token_rank){key, x->p, x->id};
}

static void keep_mass(struct token_candidates *c, double mass, bool typical)
{
    double entropy = typical ? candidates_entropy(c) : 0;
    for (size_t i = 0; i < c->n; i++)
        c->ranks[i] = rank(&c->at[i], typical, entropy);
    struct token_rank last = border(c->ranks, c->n, mass);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct token_rank r = rank(&c->at[i], typical, entropy);
        if (!better(&last, &r))
            c->at[n++] = c->at[i];
    }
    c->n = n;
}

void candidates_typical(struct token_candidates *c, float p)
{
    candidates_softmax(c);
    keep_mass(c, (double)p, true);
}

void candidates_top_p(struct token_candidates *c, float p)
{
    candidates_softmax(c);
    keep_mass(c, (double)p, false);
}

void candidates_min_p(struct token_candidates *c, float p)
{
    double least = (double)largest_logit(c) + log((double)p);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if ((double)c->at[i].logit >= least)
            c->at[n++] = c->at[i];
    c->n = n;
}

void candidates_xtc(struct token_candidates *c, float threshold)
{
    candidates_softmax(c);
    const struct token_candidate *least = NULL; /* of those at or above the threshold */
    for (size_t i = 0; i < c->n; i++)
        if (c->at[i].p >= threshold && (!least || c->at[i].p <= least->p))
            least = &c->at[i];
    if (!least)
        return;
    int32_t id = least->id;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->at[i].p < threshold || c->at[i].id == id)
            c->at[n++] = c->at[i];
    c->n = n;
}

void candidates_surprise(struct token_candidates *c, float mu)
{
    candidates_softmax(c);
    float most = largest_logit(c);
    double least = exp2(-(double)mu);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if ((double)c->at[i].p >= least || (n == 0 && c->at[i].logit == most))
            c->at[n++] = c->at[i];
    c->n = n;
}

void candidates_temperature(struct token_candidates *c, float t)
{
    for (size_t i = 0; i < c->n; i++)
        c->at[i].logit /= t;
}

size_t candidates_draw(const struct token_candidates *c, double u)
{
    double sum = 0;
    for (size_t i = 0; i < c->n; i++)
        sum += (double)c->at[i].p;
    double rest = u * sum;
    size_t last = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (!(c->at[i].p > 0))
            continue;
        last = i;
        rest -= (double)c->at[i].p;
        if (rest < 0)
            break;
    }
    return last;
}
