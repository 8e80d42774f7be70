/* bpe.h - byte-pair encoding of one word: neighbouring tokens are merged, best rank first.
 *
 * Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016).
 * Order and tie-breaking are those of Hugging Face tokenizers' BPE model: the applicable merge
 * with the lowest rank is done first, among equal ranks the leftmost. Time is O(n log n) in the
 * length of the word.
 */
#ifndef LAR_TEXT_BPE_H
#define LAR_TEXT_BPE_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct vocab;

struct bpe_merge {
    uint32_t left, right; /* the two neighbours */
    uint32_t result;      /* the token that takes their place */
};

/* The merges, sorted by left, then right, so that a pair is found without hashing: no choice of
 * merges makes look-ups slow. Read-only after bpe_init(); any thread may use it. */
struct bpe {
    size_t n_vocab;
    uint32_t *first;  /* [n_vocab + 1] where a left token's entries begin; owned, as the rest */
    uint32_t *right;  /* [n_merges] */
    uint32_t *rank;   /* [n_merges] */
    uint32_t *result; /* [n_merges], by rank */
};

/* Working memory of bpe_apply(), one per thread; a zeroed struct is empty. */
struct bpe_scratch {
    struct bpe_node *nodes;
    uint64_t *heap;
    size_t cap; /* longest word that fits */
};

/* `merges` by rank, all ids < n_vocab (asserted), n < 2^31. Where a pair occurs twice the later
 * one counts, as in the reference. ERR_NOMEM leaves *b zeroed. */
int bpe_init(struct bpe *b, size_t n_vocab, const struct bpe_merge *merges, size_t n,
             struct err *e);
void bpe_release(struct bpe *b);

/* Merges the n tokens at `ids` in place; *n becomes the number that remains. n < 2^31. Fails only
 * with ERR_NOMEM. */
int bpe_apply(const struct bpe *b, struct bpe_scratch *s, int32_t *ids, size_t *n, struct err *e);

/* Merging without a list of merges, as SentencePiece and tiktoken do it: two neighbours merge where
 * their texts together are a token, the lowest rank[token] first. */
struct bpe_texts {
    const struct vocab *vocab;
    const uint32_t *rank; /* [n_vocab]; UINT32_MAX: never made by merging */
};

/* The n pieces of a word: piece i has the token ids[i], or -1, and the bytes from begin[i] to
 * begin[i + 1]. Merges them in place. */
struct bpe_pieces {
    const char *text;
    int32_t *ids;    /* [n] */
    uint32_t *begin; /* [n + 1] */
    size_t n;
};
int bpe_apply_texts(const struct bpe_texts *b, struct bpe_scratch *s, struct bpe_pieces *word,
                    struct err *e);
void bpe_scratch_release(struct bpe_scratch *s);

#endif
