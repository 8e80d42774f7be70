/* detokenizer.c - see detokenizer.h. */
#include "text/detokenizer.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

void detokenizer_init(struct detokenizer *d, const struct tokenizer *t, bool special)
{
    *d = (struct detokenizer){.t = t, .special = special};
}

/* Bytes of the character that begins with this byte; 0 where none does. */
static size_t sequence_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Are these n > 0 bytes the beginning of a character, but not all of it? */
static bool is_incomplete(const char *p, size_t n)
{
    size_t taken;
    return utf8_decode(p, n, &taken) == UTF8_REPLACEMENT && taken == n &&
           n < sequence_length((unsigned char)p[0]);
}

/* Appends the characters at p but for an incomplete last one; returns the bytes it took. */
static size_t append_whole(const char *p, size_t n, struct buf *out)
{
    size_t i = 0;
    while (i < n && !is_incomplete(p + i, n - i)) {
        size_t taken;
        uint32_t cp = utf8_decode(p + i, n - i, &taken);
        bool broken = cp == UTF8_REPLACEMENT && !(taken == 3 && !memcmp(p + i, REPLACEMENT, 3));
        buf_append(out, broken ? REPLACEMENT : p + i, broken ? 3 : taken);
        i += taken;
    }
    return i;
}

static void push_bytes(struct detokenizer *d, const char *p, size_t n, struct buf *out)
{
    while (d->n_rest > 0 && n > 0) { /* the byte after the rest decides about it */
        char joined[sizeof(d->rest) + 1];
        memcpy(joined, d->rest, d->n_rest);
        joined[d->n_rest] = *p;
        size_t taken = append_whole(joined, d->n_rest + 1, out);
        d->n_rest = d->n_rest + 1 - taken;
        memcpy(d->rest, joined + taken, d->n_rest);
        p++;
        n--;
    }
    size_t taken = append_whole(p, n, out);
    if (n > taken) {
        d->n_rest = n - taken;
        memcpy(d->rest, p + taken, d->n_rest);
    }
}

void detokenizer_push(struct detokenizer *d, int32_t id, struct buf *out)
{
    struct span piece = tokenizer_piece(d->t, id);
    if (tokenizer_is_special(d->t, id)) {
        if (d->special) {
            bool begun = d->begun;
            detokenizer_flush(d, out);
            d->begun = begun;
            buf_append(out, piece.p, piece.n);
        }
        return;
    }
    if (!d->begun && piece.n > 0) {
        d->begun = true;
        if (tokenizer_strips_first_space(d->t) && piece.p[0] == ' ') {
            piece.p++;
            piece.n--;
        }
    }
    if (d->blank)
        push_bytes(d, " ", 1, out);
    d->blank = tokenizer_strips_last_space(d->t) && piece.n > 0 && piece.p[piece.n - 1] == ' ';
    push_bytes(d, piece.p, piece.n - d->blank, out);
}

void detokenizer_flush(struct detokenizer *d, struct buf *out)
{
    if (d->n_rest > 0)
        buf_append_str(out, REPLACEMENT);
    d->n_rest = 0;
    d->begun = d->blank = false;
}
