/* token_candidates.h - the tokens that may still come next, and the filters that thin them out.
 * For text/token_sampler.c alone.
 *
 * Candidates stay sorted by id. What a filter has to order, it orders in scratch memory, and only
 * as far as the border between kept and dropped: no vocabulary is ever sorted. Where two are equal
 * the lower id counts as better. Logits are looked at in blocks whose largest values are known, so
 * that finding the best few reads hardly more than those.
 */
#ifndef LAR_TEXT_TOKEN_CANDIDATES_H
#define LAR_TEXT_TOKEN_CANDIDATES_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define CANDIDATES_BLOCK 64 /* logits */

struct token_rank {
    float key; /* larger is better */
    float p;
    int32_t id;
};

struct token_candidates {
    int32_t *id;  /* [n], ascending; owned, as the rest */
    float *logit; /* [n] */
    float *p;     /* [n] after candidates_softmax() */
    size_t n;
    struct token_rank *ranks; /* [n_vocab], scratch */
    float *peaks;             /* the largest logit of each block, by candidates_scan() */
    size_t n_vocab;
};

int candidates_init(struct token_candidates *c, size_t n_vocab, struct err *e);
void candidates_release(struct token_candidates *c);

/* Must come first, and again when the logits change: finds their peaks. Returns the id of the
 * largest, the first of equals, or -1 where one is NaN or infinitely large. */
int32_t candidates_scan(struct token_candidates *c, const float *logits);

/* Those of the scanned logits above -INFINITY; with k > 0 at most the k largest. */
void candidates_gather(struct token_candidates *c, const float *logits, int k);

/* The n largest of the scanned logits into out, best first; returns how many. */
size_t candidates_best(struct token_candidates *c, const float *logits, size_t n,
                       struct token_rank *out);

/* ln of the sum of exp(logit) of the scanned logits; `largest` is the largest of them. */
double candidates_log_sum(struct token_candidates *c, const float *logits, float largest);

/* Fills in the probabilities. */
void candidates_softmax(struct token_candidates *c);

/* Natural, of probabilities that are filled in. */
double candidates_entropy(const struct token_candidates *c);

/* The filters; each keeps at least one. */
void candidates_typical(struct token_candidates *c, float p);
void candidates_top_p(struct token_candidates *c, float p);
void candidates_min_p(struct token_candidates *c, float p);
void candidates_xtc(struct token_candidates *c, float threshold);
void candidates_surprise(struct token_candidates *c, float mu); /* those of at most mu bits */

void candidates_temperature(struct token_candidates *c, float t); /* t > 0 */

/* The index at which the sum of probabilities passes u, 0 <= u < 1. */
size_t candidates_draw(const struct token_candidates *c, double u);

#endif
