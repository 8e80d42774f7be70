/* token_sampler.c - see token_sampler.h. */
#include "text/token_sampler.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "text/token_candidates.h"
#include "text/token_penalties.h"
#include "text/token_pieces.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct token_sampler {
    struct token_sampler_params p; /* with copies of its arrays, owned */
    struct token_penalties penalties;
    struct token_candidates candidates;
    struct rng_philox rng;
    float mu;   /* mirostat: the surprise that is allowed, in bits */
    float *raw; /* [n_vocab] the logits before anything changes them; NULL without logprobs */
    struct token_rank best[TOKEN_LOGPROBS_MAX];
    struct token_logprob top[TOKEN_LOGPROBS_MAX];
};

struct range {
    const char *name;
    double value, least, most;
};

static int check_params(const struct token_sampler_params *p, struct err *e)
{
    const double big = 1e6;
    const struct range ranges[] = {
        {"temperature", (double)p->temperature, 0, big},
        {"temperature range", (double)p->temperature_range, 0, big},
        {"temperature exponent", (double)p->temperature_exponent, 0, big},
        {"top_k", p->top_k, 0, INT32_MAX},
        {"top_p", (double)p->top_p, 0, 1},
        {"min_p", (double)p->min_p, 0, 1},
        {"typical_p", (double)p->typical_p, 0, 1},
        {"xtc_probability", (double)p->xtc_probability, 0, 1},
        {"xtc_threshold", (double)p->xtc_threshold, 0, 1},
        {"repeat_last_n", p->repeat_last_n, -1, INT32_MAX},
        {"repeat_penalty", (double)p->repeat_penalty, 1e-6, big},
        {"presence_penalty", (double)p->presence_penalty, -big, big},
        {"frequency_penalty", (double)p->frequency_penalty, -big, big},
        {"dry_multiplier", (double)p->dry_multiplier, 0, big},
        {"dry_base", (double)p->dry_base, 1, big},
        {"dry_allowed_length", p->dry_allowed_length, 1, INT32_MAX},
        {"dry_last_n", p->dry_last_n, -1, INT32_MAX},
        {"mirostat_tau", (double)p->mirostat_tau, 0, big},
        {"mirostat_eta", (double)p->mirostat_eta, 0, big},
        {"logprobs", p->n_logprobs, -1, TOKEN_LOGPROBS_MAX},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const struct range *r = &ranges[i];
        if (!(r->value >= r->least && r->value <= r->most))
            return err_set(e, ERR_ARG, "%s is %g; it must be from %g to %g", r->name, r->value,
                           r->least, r->most);
    }
    if (p->mirostat != 0 && p->mirostat != 2)
        return err_set(e, ERR_ARG, "mirostat is %d; it must be 0 (off) or 2", p->mirostat);
    return 0;
}

static int check_lists(const struct token_sampler_params *p, size_t n_vocab, struct err *e)
{
    for (size_t i = 0; i < p->n_bias; i++) {
        const struct token_bias *b = &p->bias[i];
        if (b->id < 0 || (size_t)b->id >= n_vocab)
            return err_set(e, ERR_ARG, "logit bias: there is no token %d, the vocabulary has %zu",
                           (int)b->id, n_vocab);
        if (isnan(b->bias) || b->bias == INFINITY)
            return err_set(e, ERR_ARG, "logit bias of token %d: not a finite number", (int)b->id);
    }
    if (p->n_dry_breakers > TOKEN_BREAKERS_MAX)
        return err_set(e, ERR_ARG, "%zu DRY sequence breakers; at most %d are possible",
                       p->n_dry_breakers, TOKEN_BREAKERS_MAX);
    for (size_t i = 0; i < p->n_dry_breakers; i++) {
        size_t n = strlen(p->dry_breakers[i]);
        if (n == 0 || n > TOKEN_BREAKER_MAX)
            return err_set(e, ERR_ARG,
                           "DRY sequence breaker %zu has %zu bytes; it must have 1 to %d", i + 1, n,
                           TOKEN_BREAKER_MAX);
    }
    return 0;
}

/* Replaces the caller's arrays by copies. */
static void own_lists(struct token_sampler_params *p)
{
    struct token_bias *bias = mem_alloc((p->n_bias + 1) * sizeof *bias);
    if (p->n_bias)
        memcpy(bias, p->bias, p->n_bias * sizeof *bias);
    p->bias = bias;
    const char **breakers = mem_alloc((p->n_dry_breakers + 1) * sizeof *breakers);
    for (size_t i = 0; i < p->n_dry_breakers; i++)
        breakers[i] = mem_strdup(p->dry_breakers[i]);
    p->dry_breakers = breakers;
}

int token_sampler_new(struct token_sampler **s, const struct token_sampler_params *p,
                      size_t n_vocab, struct err *e)
{
    *s = NULL;
    int rc = check_params(p, e);
    if (!rc)
        rc = check_lists(p, n_vocab, e);
    if (rc)
        return rc;
    struct token_sampler *x = mem_alloc(sizeof *x);
    x->p = *p;
    own_lists(&x->p);
    rc = candidates_init(&x->candidates, n_vocab, e);
    if (!rc)
        rc = penalties_init(&x->penalties, &x->p, n_vocab, e);
    if (!rc && p->n_logprobs >= 0) {
        x->raw = mem_try_array(n_vocab, sizeof *x->raw, "the logits for logprobs", e);
        rc = x->raw ? 0 : ERR_NOMEM;
    }
    if (rc) {
        token_sampler_free(x);
        return rc;
    }
    token_sampler_reset(x, p->seed);
    *s = x;
    return 0;
}

void token_sampler_free(struct token_sampler *s)
{
    if (!s)
        return;
    penalties_release(&s->penalties);
    candidates_release(&s->candidates);
    for (size_t i = 0; i < s->p.n_dry_breakers; i++)
        free((char *)s->p.dry_breakers[i]);
    free((void *)s->p.dry_breakers);
    free((void *)s->p.bias);
    free(s->raw);
    free(s);
}

void token_sampler_accept(struct token_sampler *s, int32_t id)
{
    penalties_accept(&s->penalties, id);
}

void token_sampler_reset(struct token_sampler *s, uint64_t seed)
{
    penalties_reset(&s->penalties);
    rng_philox_init(&s->rng, seed);
    s->mu = 2 * s->p.mirostat_tau;
}

/* The id of the largest logit. */
static int scan(struct token_sampler *s, const float *logits, int32_t *best, struct err *e)
{
    *best = candidates_scan(&s->candidates, logits);
    if (*best < 0)
        return err_set(e, ERR_NUMERIC,
                       "the model's logits are not finite: its weights are damaged "
                       "or their type is too narrow");
    if (logits[*best] == -INFINITY)
        return err_set(e, ERR_ARG,
                       "no token may come next: the grammar or the logit bias forbids "
                       "all of them");
    return 0;
}

/* Log probabilities of the model's own distribution: neither mask nor penalties change them. */
static int report(struct token_sampler *s, struct token_choice *out, struct err *e)
{
    int32_t best;
    int rc = scan(s, s->raw, &best, e);
    if (rc)
        return rc;
    double sum = candidates_log_sum(&s->candidates, s->raw, s->raw[best]);
    out->logprob = (float)((double)s->raw[out->id] - sum);
    out->n_top = candidates_best(&s->candidates, s->raw, (size_t)s->p.n_logprobs, s->best);
    for (size_t i = 0; i < out->n_top; i++) {
        double logit = (double)s->best[i].key;
        s->top[i] = (struct token_logprob){s->best[i].id, (float)(logit - sum)};
    }
    out->top = s->top;
    return 0;
}

static void apply_mask(float *logits, size_t n, const uint32_t *allowed)
{
    for (size_t i = 0; i < n; i += 32) {
        uint32_t word = allowed[i / 32];
        size_t m = n - i < 32 ? n - i : 32;
        if (word == UINT32_MAX)
            continue;
        for (size_t j = 0; j < m; j++)
            if (!(word >> j & 1))
                logits[i + j] = -INFINITY;
    }
}

/* The temperature goes up with the entropy: sure choices stay sure. */
static float temperature(struct token_sampler *s)
{
    const struct token_sampler_params *p = &s->p;
    struct token_candidates *c = &s->candidates;
    if (!(p->temperature_range > 0) || c->n < 2)
        return p->temperature;
    candidates_softmax(c);
    double low = fmax(0, (double)p->temperature - (double)p->temperature_range);
    double high = (double)p->temperature + (double)p->temperature_range;
    double share = candidates_entropy(c) / log((double)c->n);
    return (float)(low +
                   (high - low) * pow(fmin(fmax(share, 0), 1), (double)p->temperature_exponent));
}

/* Near 0 the division would leave f32's range, and only the best is left anyway. */
static void heat(struct token_sampler *s)
{
    candidates_temperature(&s->candidates, fmaxf(temperature(s), 1e-5F));
    candidates_softmax(&s->candidates);
}

static void filter(struct token_sampler *s, double u)
{
    const struct token_sampler_params *p = &s->p;
    struct token_candidates *c = &s->candidates;
    if (p->typical_p < 1)
        candidates_typical(c, p->typical_p);
    if (p->top_p < 1)
        candidates_top_p(c, p->top_p);
    if (p->min_p > 0)
        candidates_min_p(c, p->min_p);
    if (u < (double)p->xtc_probability && p->xtc_threshold <= 0.5F)
        candidates_xtc(c, p->xtc_threshold);
}

static int32_t draw(struct token_sampler *s, const float *logits)
{
    struct token_candidates *c = &s->candidates;
    const struct token_sampler_params *p = &s->p;
    /* Always two numbers for each token, so that a token's chance depends on its place alone. */
    double u_xtc = rng_philox_uniform(&s->rng), u = rng_philox_uniform(&s->rng);
    if (p->mirostat == 0) {
        candidates_gather(c, logits, p->top_k);
        filter(s, u_xtc);
        heat(s);
        return c->id[candidates_draw(c, u)];
    }
    candidates_gather(c, logits, 0);
    heat(s);
    candidates_surprise(c, s->mu);
    candidates_softmax(c);
    size_t i = candidates_draw(c, u);
    s->mu -= p->mirostat_eta * ((float)-log2((double)c->p[i]) - p->mirostat_tau);
    return c->id[i];
}

int token_sampler_pick(struct token_sampler *s, float *logits, const uint32_t *allowed,
                       struct token_choice *out, struct err *e)
{
    const struct token_sampler_params *p = &s->p;
    size_t n = s->candidates.n_vocab;
    int32_t best;
    int rc;
    *out = (struct token_choice){0};
    if (s->raw)
        memcpy(s->raw, logits, n * sizeof *logits);
    if (allowed)
        apply_mask(logits, n, allowed);
    for (size_t i = 0; i < p->n_bias; i++)
        logits[p->bias[i].id] += p->bias[i].bias;
    penalties_apply(&s->penalties, logits);
    rc = scan(s, logits, &best, e);
    if (rc)
        return rc;
    out->id = p->temperature > 0 ? draw(s, logits) : best;
    return s->raw ? report(s, out, e) : 0;
}
