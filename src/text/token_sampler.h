/* token_sampler.h - which token comes next: from logits to one id. (pipeline/sampler.h, by
 * contrast, steps through the noise of pictures.)
 *
 *     logits ─► logprobs wanted? ─► mask, bias, penalties, DRY ─► top-k ─► typical ─► top-p ─►
 * min-p ─► XTC ─► temperature ─► one id, by chance
 *
 * That is llama.cpp's default order. Temperature 0 takes the largest logit after the penalties.
 * Mirostat replaces everything from top-k to XTC, after the temperature.
 * Filters only drop candidates, never reorder them: chance runs through them by id, so that the
 * last bits of logits, which differ between instruction sets, hardly ever move a choice. Random
 * numbers count from the seed (base/rng.h) and no function of the C library rounds its own way
 * here: the same logits and seed give the same token on any machine.
 *
 * Sources: llama.cpp, src/llama-sampling.cpp (order, penalties, XTC, DRY, mirostat, dynamic
 * temperature); Meister et al., "Locally Typical Sampling" (2022); Basu et al., "Mirostat" (2020).
 */
#ifndef LAR_TEXT_TOKEN_SAMPLER_H
#define LAR_TEXT_TOKEN_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct token_pieces;
struct token_sampler;

struct token_bias {
    int32_t id;
    float bias; /* added to the logit; -INFINITY forbids the token */
};

struct token_sampler_params {
    uint64_t seed;

    float temperature;          /* >= 0; 0: greedy */
    float temperature_range;    /* 0: off; else temperature - range .. + range, by the entropy */
    float temperature_exponent; /* bends the way from entropy to temperature */

    int top_k;       /* 0: all */
    float top_p;     /* 0..1; 1: all */
    float min_p;     /* 0..1, of the largest probability; 0: all */
    float typical_p; /* 0..1; 1: all */

    float xtc_probability; /* 0..1, how often; 0: never */
    float xtc_threshold;   /* of the tokens above it all but the least probable go; > 0.5: none */

    int repeat_last_n;       /* tokens that the three penalties look at; -1: all, 0: none */
    float repeat_penalty;    /* > 0; 1: off */
    float presence_penalty;  /* 0: off */
    float frequency_penalty; /* 0: off */

    float dry_multiplier;            /* 0: off */
    float dry_base;                  /* >= 1 */
    int dry_allowed_length;          /* repeats up to below this length cost nothing */
    int dry_last_n;                  /* tokens that it looks at; -1: all */
    const char *const *dry_breakers; /* texts that end a repeat; need `pieces` */
    size_t n_dry_breakers;
    const struct token_pieces *pieces; /* borrowed as long as the sampler lives; may be NULL */

    int mirostat; /* 0, or 2 */
    float mirostat_tau, mirostat_eta;

    const struct token_bias *bias;
    size_t n_bias;

    int n_logprobs; /* -1: none, else the choice's and those of that many most probable tokens */
};

#define TOKEN_LOGPROBS_MAX 128

/* What Ollama does unless told otherwise. llama.cpp's own: top_p 0.95, min_p 0.05. */
#define TOKEN_SAMPLER_DEFAULTS                                                           \
    (struct token_sampler_params)                                                        \
    {                                                                                    \
        .temperature = 0.8F, .temperature_exponent = 1, .top_k = 40, .top_p = 0.9F,      \
        .typical_p = 1, .xtc_threshold = 0.1F, .repeat_last_n = 64, .repeat_penalty = 1, \
        .dry_base = 1.75F, .dry_allowed_length = 2, .dry_last_n = -1, .mirostat_tau = 5, \
        .mirostat_eta = 0.1F, .n_logprobs = -1                                           \
    }

struct token_logprob {
    int32_t id;
    float logprob;
};

struct token_choice {
    int32_t id;
    float logprob;                   /* natural, of the model's own distribution; 0 unless asked */
    const struct token_logprob *top; /* [n_top], best first; borrowed until the next pick */
    size_t n_top;
};

/* ERR_ARG names the parameter that is out of its range; ERR_NOMEM. Everything but `pieces` is
 * copied. */
int token_sampler_new(struct token_sampler **s, const struct token_sampler_params *p,
                      size_t n_vocab, struct err *e);
void token_sampler_free(struct token_sampler *s);

/* The token has become part of the text, as prompt or as answer: the penalties see it. */
void token_sampler_accept(struct token_sampler *s, int32_t id);

/* Forgets the text and begins the random numbers anew. */
void token_sampler_reset(struct token_sampler *s, uint64_t seed);

/* Chooses from logits [n_vocab], which it overwrites. `allowed` is NULL or a bit for each token
 * (bit id % 32 of word id / 32), as text/constraint.h makes it. ERR_NUMERIC when a logit is NaN or
 * infinitely large; ERR_ARG when nothing is allowed. */
int token_sampler_pick(struct token_sampler *s, float *logits, const uint32_t *allowed,
                       struct token_choice *out, struct err *e);

#endif
