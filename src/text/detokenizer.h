/* detokenizer.h - ids to text, one at a time, in whole characters only. */
#ifndef LAR_TEXT_DETOKENIZER_H
#define LAR_TEXT_DETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct tokenizer;

struct detokenizer {
    const struct tokenizer *t; /* borrowed */
    bool special;              /* special tokens appear as their text */
    bool begun;                /* the first text is out */
    bool blank;                /* one is held back, since it may be the last */
    char rest[4];              /* the bytes of a character that is not complete */
    size_t n_rest;             /* < 4 */
};

/* `special`: shall special tokens appear as their text? */
void detokenizer_init(struct detokenizer *d, const struct tokenizer *t, bool special);

/* Appends what is complete now; bytes that can become no character are U+FFFD. */
void detokenizer_push(struct detokenizer *d, int32_t id, struct buf *out);

/* The end of the text: an incomplete character becomes U+FFFD. Ready for the next text. */
void detokenizer_flush(struct detokenizer *d, struct buf *out);

#endif
