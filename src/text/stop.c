/* stop.c - see stop.h. */
#include "text/stop.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool is_utf8(const char *s, size_t n)
{
    size_t taken;
    for (size_t i = 0; i < n; i += taken)
        if (utf8_decode(s + i, n - i, &taken) == UTF8_REPLACEMENT && taken < 3)
            return false; /* U+FFFD itself takes three bytes */
    return true;
}

int stop_init(struct stop_filter *f, const char *const *strings, int n, struct err *e)
{
    *f = (struct stop_filter){0};
    buf_init(&f->held, SIZE_MAX);
    if (n < 0 || n > STOP_MAX)
        return err_set(e, ERR_ARG, "%d stop strings: there can be %d", n, STOP_MAX);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(strings[i]);
        if (len == 0 || len > STOP_MAX_LEN || !is_utf8(strings[i], len))
            return err_set(e, ERR_ARG, "stop string %d must be 1 to %d bytes of UTF-8", i + 1,
                           STOP_MAX_LEN);
        f->len[i] = len;
        f->text[f->n++] = mem_strdup(strings[i]);
    }
    return 0;
}

void stop_release(struct stop_filter *f)
{
    for (int i = 0; i < f->n; i++)
        free(f->text[i]);
    buf_release(&f->held);
    *f = (struct stop_filter){0};
}

/* The stop string that ends first in s, of those the one that begins first; where it begins. */
static int find(const struct stop_filter *f, const char *s, size_t n, size_t *at)
{
    size_t best_end = SIZE_MAX;
    int best = -1;
    for (int i = 0; i < f->n; i++) {
        const char *p = memmem(s, n, f->text[i], f->len[i]);
        size_t begin = p ? (size_t)(p - s) : 0, end = begin + f->len[i];
        if (p && (end < best_end || (end == best_end && begin < *at))) {
            best = i;
            best_end = end;
            *at = begin;
        }
    }
    return best;
}

/* Length of the longest end of s that a stop string begins with. */
static size_t doubtful(const struct stop_filter *f, const char *s, size_t n)
{
    size_t most = 0;
    for (int i = 0; i < f->n; i++) {
        size_t m = n < f->len[i] - 1 ? n : f->len[i] - 1;
        while (m > most && memcmp(s + n - m, f->text[i], m) != 0)
            m--;
        most = m > most ? m : most;
    }
    return most;
}

int stop_push(struct stop_filter *f, const char *text, size_t n, struct buf *out)
{
    size_t at = 0;
    if (f->n == 0) {
        buf_append(out, text, n);
        return -1;
    }
    buf_append(&f->held, text, n);
    const char *s = buf_str(&f->held);
    size_t len = f->held.len;
    int found = find(f, s, len, &at);
    size_t sure = found >= 0 ? at : len - doubtful(f, s, len);
    buf_append(out, s, sure);
    if (found >= 0) {
        buf_reset(&f->held);
    } else if (sure > 0) {
        memmove(f->held.data, f->held.data + sure, len - sure);
        f->held.len = len - sure;
        f->held.data[f->held.len] = '\0';
    }
    return found;
}

void stop_flush(struct stop_filter *f, struct buf *out)
{
    buf_append(out, buf_str(&f->held), f->held.len);
    buf_reset(&f->held);
}
