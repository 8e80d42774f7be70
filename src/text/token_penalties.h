/* token_penalties.h - the text so far, and what it costs to repeat it. For text/token_sampler.c.
 *
 * Repetition, presence and frequency penalties count how often a token stands in a window at the
 * end of the text (Keskar et al., "CTRL", 2019; OpenAI's API). DRY ("don't repeat yourself", by
 * p-e-w, text-generation-webui PR 5677) costs the tokens that would go on with a repeat: multiplier
 * * base ^ (length - allowed length), where length is that of the longest end of the text that
 * stood before such a token earlier. No repeat reaches across a sequence breaker.
 */
#ifndef LAR_TEXT_TOKEN_PENALTIES_H
#define LAR_TEXT_TOKEN_PENALTIES_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct token_sampler_params;

#define TOKEN_BREAKER_MAX  64 /* bytes of a sequence breaker */
#define TOKEN_BREAKERS_MAX 64 /* breakers */

struct token_penalties {
    const struct token_sampler_params *params; /* borrowed */
    size_t n_vocab;
    int32_t *text; /* ids so far; owned, as the rest; kept only where a penalty wants it */
    size_t n_text, cap;
    size_t after_breaker;         /* text[after_breaker..] has no sequence breaker */
    int32_t *count;               /* [n_vocab] how often in the window; NULL where nobody asks */
    int32_t *repeat;              /* [n_vocab] scratch of DRY, zero between calls; NULL likewise */
    uint32_t *z;                  /* [cap] scratch of DRY */
    char tail[TOKEN_BREAKER_MAX]; /* the last bytes of the text: a breaker may span tokens */
    size_t n_tail;
};

int penalties_init(struct token_penalties *x, const struct token_sampler_params *p, size_t n_vocab,
                   struct err *e);
void penalties_release(struct token_penalties *x);
void penalties_reset(struct token_penalties *x);
void penalties_accept(struct token_penalties *x, int32_t id);
void penalties_apply(struct token_penalties *x, float *logits); /* [n_vocab] */

#endif
