/* clip_text.h - what CLIP's tokenizer does to text before byte-pair encoding.
 *
 * The normalizer and pre-tokenizer of CLIPTokenizer: decode UTF-8 (broken sequences become U+FFFD
 * as with Python's errors="replace"), NFC, runs of white space become one space, lower-case each
 * code point; then cut into words:
 *
 *     <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd
 *     | letters | one digit | anything else that is not a space
 *
 * of which the first two fall apart again into "<|", the name and "|>", because the reference runs
 * GPT-2's expression over the words.
 */
#ifndef LAR_TEXT_CLIP_TEXT_H
#define LAR_TEXT_CLIP_TEXT_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

struct err;

/* Normalized text, reused from call to call. */
struct clip_text {
    const uint32_t *cps; /* borrowed from `out` */
    size_t n;
    struct buf work, out;
};

void clip_text_init(struct clip_text *t);
void clip_text_release(struct clip_text *t);

/* Sets cps and n from `len` bytes. ERR_NOMEM. */
int clip_text_normalize(struct clip_text *t, const char *text, size_t len, struct err *e);

/* Finds the next word at or after *begin among n code points: [*begin, returned end), or
 * *begin == n when only spaces are left. `limit` (0 at first) belongs to the function: the end of
 * a literal being cut. */
size_t clip_text_word(const uint32_t *cps, size_t n, size_t *begin, size_t *limit);

#endif
