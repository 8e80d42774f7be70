/* token_candidates.c - see token_candidates.h. */
#include "text/token_candidates.h"

#include "base/err.h"
#include "base/mem.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Softmax, so to speak, of a block: e^(x - most) for x <= most, within 1e-11 of it, and their sum.
 * 2^k times a polynomial, without the C library, whose versions round differently; without
 * branches, so that compilers can make vectors of it. Below f32's range it is 0. */
static double exp_block(const float *x, float most, float *out)
{
    const double shift =
        0x1.8p52; /* adding it rounds to an integer, which stands in the low bits */
    double sum[4] = {0};
    for (size_t i = 0; i < CANDIDATES_BLOCK; i++) {
        double d = (double)x[i] - (double)most, in = d > -87 ? d : -87;
        double t = in * 1.4426950408889634 + shift;
        double r = in - (t - shift) * 0.69314718055994531; /* |r| <= ln 2 / 2 */
        double y = 1.0 / 40320;
        y = y * r + 1.0 / 5040;
        y = y * r + 1.0 / 720;
        y = y * r + 1.0 / 120;
        y = y * r + 1.0 / 24;
        y = y * r + 1.0 / 6;
        y = y * r + 1.0 / 2;
        y = y * r + 1;
        y = y * r + 1;
        uint64_t bits;
        double scale;
        memcpy(&bits, &t, sizeof bits);
        bits = (bits + 1023) << 52;
        memcpy(&scale, &bits, sizeof scale);
        out[i] = d > -87 ? (float)(y * scale) : 0;
    }
    for (size_t i = 0; i < CANDIDATES_BLOCK; i += 4)
        for (size_t k = 0; k < 4; k++)
            sum[k] += (double)out[i + k];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* The same for any number, into `out` or, where that is NULL, for the sum alone. */
static double exp_all(const float *x, size_t n, float most, float *out)
{
    float in[CANDIDATES_BLOCK], result[CANDIDATES_BLOCK];
    double sum = 0;
    for (size_t i = 0; i < n; i += CANDIDATES_BLOCK) {
        size_t m = n - i < CANDIDATES_BLOCK ? n - i : CANDIDATES_BLOCK;
        const float *from = x + i;
        if (m < CANDIDATES_BLOCK) {
            memcpy(in, from, m * sizeof *in);
            for (size_t k = m; k < CANDIDATES_BLOCK; k++)
                in[k] = -INFINITY;
            from = in;
        }
        sum += exp_block(from, most, result);
        if (out)
            memcpy(out + i, result, m * sizeof *out);
    }
    return sum;
}

int candidates_init(struct token_candidates *c, size_t n_vocab, struct err *e)
{
    const char *what = "the candidates of the sampler";
    *c = (struct token_candidates){.n_vocab = n_vocab};
    c->id = mem_try_array(n_vocab, sizeof *c->id, what, e);
    c->logit = mem_try_array(n_vocab, sizeof *c->logit, what, e);
    c->p = mem_try_array(n_vocab, sizeof *c->p, what, e);
    c->ranks = mem_try_array(n_vocab, sizeof *c->ranks, what, e);
    c->peaks = mem_try_array(n_vocab / CANDIDATES_BLOCK + 1, sizeof *c->peaks, what, e);
    if (c->id && c->logit && c->p && c->ranks && c->peaks)
        return 0;
    candidates_release(c);
    return ERR_NOMEM;
}

void candidates_release(struct token_candidates *c)
{
    free(c->id);
    free(c->logit);
    free(c->p);
    free(c->ranks);
    free(c->peaks);
    *c = (struct token_candidates){0};
}

static size_t block_size(const struct token_candidates *c, size_t begin)
{
    size_t left = c->n_vocab - begin;
    return left < CANDIDATES_BLOCK ? left : CANDIDATES_BLOCK;
}

/* The largest of a whole block; *good stays only where all are numbers below infinity. Eight at a
 * time, which do not wait for each other. */
static float peak(const float *x, bool *good)
{
    float most[8];
    int bad = 0;
    for (size_t k = 0; k < 8; k++)
        most[k] = -INFINITY;
    for (size_t i = 0; i < CANDIDATES_BLOCK; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            most[k] = x[i + k] > most[k] ? x[i + k] : most[k];
            bad |= !(x[i + k] <= FLT_MAX);
        }
    }
    for (size_t k = 1; k < 8; k++)
        most[0] = most[k] > most[0] ? most[k] : most[0];
    *good = *good && !bad;
    return most[0];
}

int32_t candidates_scan(struct token_candidates *c, const float *logits)
{
    size_t best = 0; /* block */
    bool good = true;
    for (size_t i = 0, b = 0; i < c->n_vocab; i += CANDIDATES_BLOCK, b++) {
        float rest[CANDIDATES_BLOCK];
        size_t m = block_size(c, i);
        if (m < CANDIDATES_BLOCK) {
            for (size_t k = 0; k < CANDIDATES_BLOCK; k++)
                rest[k] = k < m ? logits[i + k] : -INFINITY;
            c->peaks[b] = peak(rest, &good);
        } else {
            c->peaks[b] = peak(logits + i, &good);
        }
        best = c->peaks[b] > c->peaks[best] ? b : best;
    }
    size_t id = best * CANDIDATES_BLOCK;
    while (good && id + 1 < c->n_vocab && logits[id] != c->peaks[best])
        id++;
    return good ? (int32_t)id : -1;
}

double candidates_log_sum(struct token_candidates *c, const float *logits, float largest)
{
    return (double)largest + log(exp_all(logits, c->n_vocab, largest, NULL));
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

/* The k best of the logits as a heap in c->ranks; returns how many. A block whose peak is no better
 * than the worst of the best so far costs one comparison. */
static size_t gather_best(struct token_candidates *c, const float *logits, size_t k)
{
    struct token_rank *heap = c->ranks;
    size_t n = 0, i = 0;
    for (; i < c->n_vocab && n < k; i++)
        if (logits[i] > -INFINITY)
            heap[n++] = (struct token_rank){.key = logits[i], .id = (int32_t)i};
    for (size_t j = n / 2; j-- > 0;)
        sift_down(heap, n, j);
    while (i < c->n_vocab) {
        size_t end = i / CANDIDATES_BLOCK * CANDIDATES_BLOCK + CANDIDATES_BLOCK;
        end = end < c->n_vocab ? end : c->n_vocab;
        if (!(c->peaks[i / CANDIDATES_BLOCK] > heap[0].key))
            i = end;
        for (; i < end; i++) {
            if (logits[i] > heap[0].key) { /* on a tie the one before has the lower id */
                heap[0] = (struct token_rank){.key = logits[i], .id = (int32_t)i};
                sift_down(heap, n, 0);
            }
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
        for (; c->n < n; c->n++) {
            c->id[c->n] = c->ranks[c->n].id;
            c->logit[c->n] = c->ranks[c->n].key;
        }
        return;
    }
    for (size_t i = 0; i < c->n_vocab; i += CANDIDATES_BLOCK) {
        size_t end = i + block_size(c, i);
        if (c->peaks[i / CANDIDATES_BLOCK] == -INFINITY)
            continue;
        for (size_t j = i; j < end; j++) {
            c->id[c->n] = (int32_t)j;
            c->logit[c->n] = logits[j];
            c->n += logits[j] > -INFINITY;
        }
    }
}

static float largest_logit(const struct token_candidates *c)
{
    float most[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    for (size_t i = 0; i < c->n; i++)
        most[i % 4] = c->logit[i] > most[i % 4] ? c->logit[i] : most[i % 4];
    return fmaxf(fmaxf(most[0], most[1]), fmaxf(most[2], most[3]));
}

void candidates_softmax(struct token_candidates *c)
{
    double scale = 1 / exp_all(c->logit, c->n, largest_logit(c), c->p);
    for (size_t i = 0; i < c->n; i++)
        c->p[i] = (float)((double)c->p[i] * scale);
}

double candidates_entropy(const struct token_candidates *c)
{
    double sum = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i] > 0)
            sum -= (double)c->p[i] * log((double)c->p[i]);
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

static void keep(struct token_candidates *c, size_t *n, size_t i)
{
    c->id[*n] = c->id[i];
    c->logit[*n] = c->logit[i];
    c->p[*n] = c->p[i];
    ++*n;
}

void candidates_typical(struct token_candidates *c, float p)
{
    candidates_softmax(c);
    double entropy = candidates_entropy(c);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        float key = c->p[i] > 0 ? (float)-fabs(-log((double)c->p[i]) - entropy) : -INFINITY;
        c->ranks[i] = (struct token_rank){key, c->p[i], c->id[i]};
    }
    struct token_rank last = border(c->ranks, c->n, (double)p);
    for (size_t i = 0; i < c->n; i++) {
        float key = c->p[i] > 0 ? (float)-fabs(-log((double)c->p[i]) - entropy) : -INFINITY;
        struct token_rank r = {key, c->p[i], c->id[i]};
        if (!better(&last, &r))
            keep(c, &n, i);
    }
    c->n = n;
}

void candidates_top_p(struct token_candidates *c, float p)
{
    candidates_softmax(c);
    /* All those below this together are less than what is dropped. */
    float least = (1 - p) / (float)c->n * 0.999F;
    size_t n = 0, n_ranks = 0;
    for (size_t i = 0; i < c->n; i++) {
        c->ranks[n_ranks] = (struct token_rank){c->logit[i], c->p[i], c->id[i]};
        n_ranks += c->p[i] >= least;
    }
    struct token_rank last = border(c->ranks, n_ranks, (double)p);
    for (size_t i = 0; i < c->n; i++) {
        struct token_rank r = {c->logit[i], c->p[i], c->id[i]};
        if (!better(&last, &r))
            keep(c, &n, i);
    }
    c->n = n;
}

void candidates_min_p(struct token_candidates *c, float p)
{
    double least = (double)largest_logit(c) + log((double)p);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if ((double)c->logit[i] >= least)
            keep(c, &n, i);
    c->n = n;
}

void candidates_xtc(struct token_candidates *c, float threshold)
{
    candidates_softmax(c);
    size_t n = 0, least = c->n; /* of those at or above the threshold */
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i] >= threshold && (least == c->n || c->p[i] <= c->p[least]))
            least = i;
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i] < threshold || i == least)
            keep(c, &n, i);
    c->n = n;
}

void candidates_surprise(struct token_candidates *c, float mu)
{
    candidates_softmax(c);
    float most = largest_logit(c);
    double least = exp2(-(double)mu);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if ((double)c->p[i] >= least || (n == 0 && c->logit[i] == most))
            keep(c, &n, i);
    c->n = n;
}

void candidates_temperature(struct token_candidates *c, float t)
{
    for (size_t i = 0; i < c->n; i++)
        c->logit[i] /= t;
}

size_t candidates_draw(const struct token_candidates *c, double u)
{
    double sum = 0;
    for (size_t i = 0; i < c->n; i++)
        sum += (double)c->p[i];
    double rest = u * sum;
    size_t last = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (!(c->p[i] > 0))
            continue;
        last = i;
        rest -= (double)c->p[i];
        if (rest < 0)
            break;
    }
    return last;
}
