/* token_penalties.c - see token_penalties.h. */
#include "text/token_penalties.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/token_pieces.h"
#include "text/token_sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool wants_counts(const struct token_sampler_params *p)
{
    return p->repeat_last_n != 0 &&
           (p->repeat_penalty != 1 || p->presence_penalty != 0 || p->frequency_penalty != 0);
}

static bool wants_dry(const struct token_sampler_params *p)
{
    return p->dry_multiplier != 0 && p->dry_last_n != 0;
}

int penalties_init(struct token_penalties *x, const struct token_sampler_params *p, size_t n_vocab,
                   struct err *e)
{
    *x = (struct token_penalties){.params = p, .n_vocab = n_vocab};
    if (wants_counts(p))
        x->count = mem_try_array(n_vocab, sizeof *x->count, "the counts of tokens", e);
    if (wants_dry(p))
        x->repeat = mem_try_array(n_vocab, sizeof *x->repeat, "the repeats of tokens", e);
    if (!x->count == !wants_counts(p) && !x->repeat == !wants_dry(p))
        return 0;
    penalties_release(x);
    return ERR_NOMEM;
}

void penalties_release(struct token_penalties *x)
{
    free(x->text);
    free(x->count);
    free(x->repeat);
    free(x->z);
    *x = (struct token_penalties){0};
}

void penalties_reset(struct token_penalties *x)
{
    x->n_text = x->after_breaker = x->n_tail = 0;
    if (x->count)
        memset(x->count, 0, x->n_vocab * sizeof *x->count);
}

/* True where a breaker ends within the last n_new bytes of text. */
static bool has_breaker(const struct token_sampler_params *p, const char *text, size_t n,
                        size_t n_new)
{
    for (size_t b = 0; b < p->n_dry_breakers; b++) {
        size_t len = strlen(p->dry_breakers[b]);
        size_t from = n - n_new >= len ? n - n_new - len + 1 : 0;
        if (memmem(text + from, n - from, p->dry_breakers[b], len))
            return true;
    }
    return false;
}

/* Appends the token's bytes to the tail and looks for breakers that end in them. */
static bool ends_repeat(struct token_penalties *x, int32_t id)
{
    const struct token_pieces *pieces = x->params->pieces;
    if (!pieces || (size_t)id >= pieces->n || x->params->n_dry_breakers == 0)
        return false;
    const char *piece = pieces->bytes[id];
    size_t n = pieces->n_bytes[id];
    bool found = has_breaker(x->params, piece, n, n);
    /* What spans the border ends within the piece's first bytes. */
    char joined[2 * TOKEN_BREAKER_MAX];
    size_t n_first = n < TOKEN_BREAKER_MAX ? n : TOKEN_BREAKER_MAX;
    memcpy(joined, x->tail, x->n_tail);
    if (n_first)
        memcpy(joined + x->n_tail, piece, n_first);
    found = found || has_breaker(x->params, joined, x->n_tail + n_first, n_first);

    size_t total = x->n_tail + n_first;
    size_t keep = total < TOKEN_BREAKER_MAX ? total : TOKEN_BREAKER_MAX;
    if (n >= TOKEN_BREAKER_MAX) {
        keep = TOKEN_BREAKER_MAX;
        memcpy(x->tail, piece + n - keep, keep);
    } else {
        memcpy(x->tail, joined + total - keep, keep);
    }
    x->n_tail = keep;
    return found;
}

void penalties_accept(struct token_penalties *x, int32_t id)
{
    if (id < 0 || (size_t)id >= x->n_vocab || (!x->count && !x->repeat))
        return;
    if (x->n_text == x->cap) {
        x->cap = x->cap ? 2 * x->cap : 256;
        x->text = mem_realloc(x->text, x->cap * sizeof *x->text);
        if (x->repeat)
            x->z = mem_realloc(x->z, x->cap * sizeof *x->z);
    }
    x->text[x->n_text++] = id;
    if (x->count) {
        int last_n = x->params->repeat_last_n;
        x->count[id]++;
        if (last_n > 0 && x->n_text > (size_t)last_n)
            x->count[x->text[x->n_text - 1 - (size_t)last_n]]--;
    }
    if (x->repeat && ends_repeat(x, id))
        x->after_breaker = x->n_text;
}

static size_t window(const struct token_penalties *x, int last_n)
{
    return last_n < 0 || (size_t)last_n > x->n_text ? x->n_text : (size_t)last_n;
}

static void apply_counts(struct token_penalties *x, float *logits)
{
    const struct token_sampler_params *p = x->params;
    size_t n = window(x, p->repeat_last_n);
    const int32_t *text = x->text + x->n_text - n;
    for (size_t i = 0; i < n; i++) {
        int32_t times = x->count[text[i]];
        float *logit = &logits[text[i]];
        if (times < 0)
            continue; /* done at an earlier place */
        /* Dividing alone would make negative logits more probable. */
        *logit = *logit <= 0 ? *logit * p->repeat_penalty : *logit / p->repeat_penalty;
        *logit -= (float)times * p->frequency_penalty + p->presence_penalty;
        x->count[text[i]] = -times;
    }
    for (size_t i = 0; i < n; i++)
        x->count[text[i]] = abs(x->count[text[i]]);
}

/* z[i] of the reversed text: how many tokens that end i before the last are equal to those at the
 * end (the Z function; Gusfield, "Algorithms on Strings, Trees and Sequences"). Linear time. */
static void match_ends(const int32_t *text, size_t n, uint32_t *z)
{
    const int32_t *last = text + n - 1;
    size_t left = 0, right = 0; /* the match that reaches furthest, [left, right) */
    z[0] = (uint32_t)n;
    for (size_t i = 1; i < n; i++) {
        size_t k = 0;
        if (i < right)
            k = z[i - left] < right - i ? z[i - left] : right - i;
        while (i + k < n && last[-(ptrdiff_t)k] == last[-(ptrdiff_t)(i + k)])
            k++;
        z[i] = (uint32_t)k;
        if (i + k > right) {
            left = i;
            right = i + k;
        }
    }
}

static void apply_dry(struct token_penalties *x, float *logits)
{
    const struct token_sampler_params *p = x->params;
    size_t n = window(x, p->dry_last_n);
    size_t limit = x->n_text - x->after_breaker;
    size_t allowed = (size_t)p->dry_allowed_length;
    if (n <= allowed || limit < allowed)
        return;
    const int32_t *text = x->text + x->n_text - n;
    match_ends(text, n, x->z);
    for (size_t i = 1; i < n; i++) {
        size_t len = x->z[i] < limit ? x->z[i] : limit;
        int32_t *longest = &x->repeat[text[n - i]]; /* what came after that end */
        if (len >= allowed && (int32_t)len + 1 > *longest)
            *longest = (int32_t)len + 1;
    }
    for (size_t i = 1; i < n; i++) {
        int32_t id = text[n - i];
        if (x->repeat[id] == 0)
            continue;
        const struct token_pieces *t = p->pieces;
        bool breaks = t && (size_t)id < t->n &&
                      has_breaker(p, t->bytes[id], t->n_bytes[id], t->n_bytes[id]);
        double over = (double)x->repeat[id] - 1 - (double)allowed;
        if (!breaks) /* beyond f32 any cost is the same */
            logits[id] -= (float)fmin((double)p->dry_multiplier * pow((double)p->dry_base, over),
                                      1e30);
        x->repeat[id] = 0;
    }
}

void penalties_apply(struct token_penalties *x, float *logits)
{
    if (x->n_text == 0)
        return;
    if (x->count)
        apply_counts(x, logits);
    if (x->repeat)
        apply_dry(x, logits);
}
