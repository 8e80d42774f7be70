/* constraint.h - which tokens may come next, so that the text fits a grammar.
 *
 *     constraint_mask(c, bits) ─► token_sampler_pick(s, logits, bits, ...) ─► constraint_accept(c,
 * id)
 *
 * For each place in the grammar the vocabulary's trie is walked once. What does not depend on where
 * the rule was called from (nearly all of it) is remembered for all such places; the few tokens
 * that reach beyond the rule are tried each time. That is the idea of XGrammar (Dong et al., 2024).
 */
#ifndef LAR_TEXT_CONSTRAINT_H
#define LAR_TEXT_CONSTRAINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct constraint;
struct err;
struct grammar;
struct token_trie;

/* For one sequence, one thread at a time; a reset one keeps what it has remembered. `ends` are the
 * tokens that end a text, allowed only where the grammar may end. Grammar and trie are borrowed.
 * ERR_ARG when the grammar names a token that the vocabulary lacks. */
int constraint_new(struct constraint **c, const struct grammar *g, const struct token_trie *t,
                   const int32_t *ends, size_t n_ends, struct err *e);
void constraint_free(struct constraint *c);
void constraint_reset(struct constraint *c);

/* Sets bit id % 32 of word id / 32 for each token that may come next, of (vocabulary + 31) / 32
 * words. ERR_UNSUPPORTED when there is none: the vocabulary cannot write what the grammar wants.
 * ERR_FORMAT when the grammar is too ambiguous to be followed. */
int constraint_mask(struct constraint *c, uint32_t *bits, struct err *e);

/* The token was chosen. ERR_ARG when it was not allowed; nothing changes then. */
int constraint_accept(struct constraint *c, int32_t id, struct err *e);

/* The same for text; ERR_ARG says which byte does not fit. */
int constraint_accept_text(struct constraint *c, const void *text, size_t n, struct err *e);

bool constraint_may_end(const struct constraint *c); /* the text fits the grammar as it is */
bool constraint_done(const struct constraint *c);    /* and nothing more may follow */

#endif
