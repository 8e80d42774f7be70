/* charsmap.h - SentencePiece's precompiled normalization: byte strings and what replaces them.
 *
 *     u32 size of the trie | trie: u32 units of a double array | NUL-terminated replacements
 *
 * The double array is Darts-clone's (https://github.com/s-yata/darts-clone), the format
 * SentencePiece's (https://github.com/google/sentencepiece/blob/master/src/normalizer.cc).
 */
#ifndef LAR_TEXT_CHARSMAP_H
#define LAR_TEXT_CHARSMAP_H

#include "text/vocab.h"

struct arena;
struct buf;

#define CHARSMAP_MAX ((size_t)16 << 20)

/* Read-only once made; a zeroed one changes nothing. */
struct charsmap {
    const uint32_t *units; /* in the arena */
    size_t n_units;
    struct span texts; /* in the arena, ends with NUL */
};

/* Copies `data` into the arena. ERR_FORMAT where the sizes do not fit. */
int charsmap_init(struct charsmap *m, struct arena *a, struct span data, struct err *e);

/* Appends the text with the longest match at every place replaced. */
void charsmap_apply(const struct charsmap *m, struct span text, struct buf *out);

/* The same as Hugging Face's tokenizers do it, whose own comment calls it weird: what a grapheme of
 * less than six bytes begins with replaces all of it, the shortest match first. */
void charsmap_apply_graphemes(const struct charsmap *m, struct span text, struct buf *out);

#endif
