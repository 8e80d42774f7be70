/* charsmap.c - see charsmap.h. */
#include "text/charsmap.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

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

/* The longest replaced string that the text begins with: the offset of its replacement. */
static size_t longest(const struct charsmap *m, struct span text, uint32_t *replacement)
{
    size_t found = 0, at = offset_of(m->units[0]);
    for (size_t i = 0; i < text.n && text.p[i] != '\0'; i++) {
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
        size_t n = m->n_units ? longest(m, rest, &replacement) : 0;
        if (n > 0) {
            buf_append_str(out, m->texts.p + replacement);
        } else {
            utf8_decode(rest.p, rest.n, &n);
            buf_append(out, rest.p, n);
        }
        i += n;
    }
}
