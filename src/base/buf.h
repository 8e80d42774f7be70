/* buf.h - a growable byte buffer with a declared maximum.
 *
 * Growing beyond `max` or beyond memory makes the buffer fail, for good: later appends do
 * nothing, and buf_failed() tells once at the end. The bytes are always followed by a NUL.
 */
#ifndef LAR_BASE_BUF_H
#define LAR_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* owned; NULL until the first append */
    size_t len; /* bytes in use, without the NUL */
    size_t cap;
    size_t max; /* len never exceeds it */
    bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);
void buf_reset(struct buf *b); /* keeps the memory, clears content and failure */
void buf_append(struct buf *b, const void *data, size_t n);
void buf_append_str(struct buf *b, const char *s);
void buf_append_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_failed(const struct buf *b);
const char *buf_str(const struct buf *b); /* borrowed until the next change; "" when empty */
char *buf_take(struct buf *b);            /* the caller owns the bytes; the buffer is empty */

#endif
