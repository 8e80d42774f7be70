/* unicode.h - what tokenizers ask of Unicode, by utf8proc's data: classes and normal forms. */
#ifndef LAR_TEXT_UNICODE_H
#define LAR_TEXT_UNICODE_H

#include "text/vocab.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;

bool unicode_is_space(uint32_t cp);           /* White_Space */
bool unicode_is_word(uint32_t cp);            /* \w as Rust means it */
bool unicode_is_other(uint32_t cp);           /* category C, without unassigned ones */
bool unicode_is_mark(uint32_t cp);            /* category M */
bool unicode_is_nonspacing_mark(uint32_t cp); /* category Mn */
bool unicode_is_chinese(uint32_t cp);         /* as BERT means it: no kana, no hangul */

/* NFC, NFD, NFKC or NFKD of valid UTF-8, appended (UAX 15). Takes linear time. */
enum unicode_form { UNICODE_NFC, UNICODE_NFD, UNICODE_NFKC, UNICODE_NFKD };
void unicode_normalize(struct span text, enum unicode_form form, struct buf *out);

/* Lower case by code point, as Rust's char::to_lowercase; appended. */
void unicode_lowercase(struct span text, struct buf *out);

/* Sorts a run of combining marks by class, keeping the order within a class. utf8proc's own
 * exchange sort takes quadratic time, minutes for a prompt made of nothing else. */
void unicode_order_marks(int32_t *run, size_t n, struct buf *temp);

/* Is it valid UTF-8? */
bool unicode_is_valid(struct span text);
/* Appends the text with U+FFFD for what is no UTF-8. */
void unicode_repair(struct span text, struct buf *out);

#endif
