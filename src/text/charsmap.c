/* charsmap.c - see charsmap.h. */
#include "text/charsmap.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

#define GRAPHEME_LIMIT 6

static uint32_t read_u32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

int charsmap_init(struct charsmap *m, struct arena *a, struct span data, struct err *e)
{
    *m = (struct charsmap){0};
    if (data.n == 0)
        return 0;
    if (data.n > CHARSMAP_MAX || data.n < 5)
        return err_set(e, ERR_FORMAT, "the precompiled charsmap has %zu bytes", data.n);
    size_t n = read_u32(data.p);
    if (n % 4 || n == 0 || n > data.n - 5 || data.p[data.n - 1] != '\0')
        return err_set(e, ERR_FORMAT,
                       "the precompiled charsmap is damaged: a trie of %zu bytes "
                       "in %zu",
                       n, data.n);
    uint32_t *units = arena_try_array(a, n / 4, sizeof(*units), "the charsmap", e);
    char *texts = arena_try_array(a, data.n - 4 - n, 1, "the charsmap", e);
    if (!units || !texts)
        return ERR_NOMEM;
    for (size_t i = 0; i < n / 4; i++)
        units[i] = read_u32(data.p + 4 + 4 * i);
    memcpy(texts, data.p + 4 + n, data.n - 4 - n);
    *m = (struct charsmap){units, n / 4, {texts, data.n - 4 - n}};
    return 0;
}

/* A unit: 0-7 label, 8 has a value, 9 wide offset, 10-30 offset; 31 marks a value. */
static uint32_t offset_of(uint32_t unit)
{
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* A string that the text begins with and that is replaced, the longest or the shortest: its length
 * and the offset of its replacement. */
static size_t match(const struct charsmap *m, struct span text, bool shortest,
                    uint32_t *replacement)
{
    size_t found = 0, at = offset_of(m->units[0]);
    for (size_t i = 0; i < text.n && text.p[i] != '\0' && !(shortest && found); i++) {
        unsigned char c = (unsigned char)text.p[i];
        at ^= c;
        if (at >= m->n_units || (m->units[at] & 0x800000ffu) != c)
            break;
        bool has_value = m->units[at] >> 8 & 1;
        at ^= offset_of(m->units[at]);
        if (at >= m->n_units)
            break;
        if (has_value) {
            *replacement = m->units[at] & 0x7fffffffu;
            found = i + 1;
        }
    }
    return *replacement < m->texts.n ? found : 0;
}

void charsmap_apply(const struct charsmap *m, struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.n;) {
        uint32_t replacement = 0;
        struct span rest = {text.p + i, text.n - i};
        size_t n = m->n_units ? match(m, rest, false, &replacement) : 0;
        if (n > 0) {
            buf_append_str(out, m->texts.p + replacement);
        } else {
            utf8_decode(rest.p, rest.n, &n);
            buf_append(out, rest.p, n);
        }
        i += n;
    }
}

/* Appends what replaces the text by its shortest match. */
static bool transform(const struct charsmap *m, struct span text, struct buf *out)
{
    uint32_t replacement = 0;
    if (!m->n_units || !match(m, text, true, &replacement))
        return false;
    buf_append_str(out, m->texts.p + replacement);
    return true;
}

/* Bytes of the first grapheme. */
static size_t grapheme(struct span text)
{
    size_t n, taken;
    utf8proc_int32_t state = 0, last = (utf8proc_int32_t)utf8_decode(text.p, text.n, &n);
    while (n < text.n) {
        utf8proc_int32_t cp = (utf8proc_int32_t)utf8_decode(text.p + n, text.n - n, &taken);
        if (utf8proc_grapheme_break_stateful(last, cp, &state))
            break;
        last = cp;
        n += taken;
    }
    return n;
}

void charsmap_apply_graphemes(const struct charsmap *m, struct span text, struct buf *out)
{
    for (size_t i = 0, n; i < text.n; i += n) {
        struct span g = {text.p + i, text.n - i};
        n = g.n = (unsigned char)*g.p >= 0x20 && (unsigned char)*g.p < 0x80 && g.n > 1 &&
                          (unsigned char)g.p[1] < 0x80
                      ? 1
                      : grapheme(g);
        if (n < GRAPHEME_LIMIT && transform(m, g, out))
            continue;
        for (size_t k = 0, taken; k < n; k += taken) {
            utf8_decode(g.p + k, n - k, &taken);
            if (!transform(m, (struct span){g.p + k, taken}, out))
                buf_append(out, g.p + k, taken);
        }
    }
}
