/* unicode.c - see unicode.h. */
#include "text/unicode.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <string.h>
#include <utf8proc.h>

#define MAX_DECOMPOSED 32 /* code points of one; the longest has 18 */

static utf8proc_category_t category(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp);
}

bool unicode_is_space(uint32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || (cp >= '\t' && cp <= '\r');
    utf8proc_category_t c = category(cp);
    return cp == 0x85 || (c >= UTF8PROC_CATEGORY_ZS && c <= UTF8PROC_CATEGORY_ZP);
}

bool unicode_is_word(uint32_t cp)
{
    utf8proc_category_t c = category(cp);
    bool joiner = cp == 0x200c || cp == 0x200d, circled = cp >= 0x24b6 && cp <= 0x24e9;
    return joiner || circled ||
           (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_PC && c != UTF8PROC_CATEGORY_NO);
}

bool unicode_is_other(uint32_t cp)
{
    return category(cp) >= UTF8PROC_CATEGORY_CC;
}

bool unicode_is_mark(uint32_t cp)
{
    utf8proc_category_t c = cp < 0x300 ? UTF8PROC_CATEGORY_CN : category(cp);
    return c >= UTF8PROC_CATEGORY_MN && c <= UTF8PROC_CATEGORY_ME;
}

bool unicode_is_nonspacing_mark(uint32_t cp)
{
    return cp >= 0x300 && category(cp) == UTF8PROC_CATEGORY_MN;
}

bool unicode_is_chinese(uint32_t cp)
{
    /* BERT's ranges with the slip of Hugging Face's tokenizers: U+2B820 to U+2B91F are missing. */
    return (cp >= 0x4e00 && cp <= 0x9fff) || (cp >= 0x3400 && cp <= 0x4dbf) ||
           (cp >= 0x20000 && cp <= 0x2a6df) || (cp >= 0x2a700 && cp <= 0x2b73f) ||
           (cp >= 0x2b740 && cp <= 0x2b81f) || (cp >= 0x2b920 && cp <= 0x2ceaf) ||
           (cp >= 0xf900 && cp <= 0xfaff) || (cp >= 0x2f800 && cp <= 0x2fa1f);
}

void unicode_order_marks(int32_t *run, size_t n, struct buf *temp)
{
    size_t start[257] = {0};
    if (n < 2)
        return;
    buf_reset(temp);
    buf_append(temp, run, n * sizeof(*run));
    if (buf_failed(temp))
        return;
    const int32_t *from = (const int32_t *)(const void *)temp->data;
    for (size_t i = 0; i < n; i++)
        start[(utf8proc_get_property(from[i])->combining_class & 0xff) + 1]++;
    for (int c = 0; c < 256; c++)
        start[c + 1] += start[c];
    for (size_t i = 0; i < n; i++)
        run[start[utf8proc_get_property(from[i])->combining_class & 0xff]++] = from[i];
}

static void put(struct buf *out, uint32_t cp)
{
    char bytes[4];
    buf_append(out, bytes, utf8_encode(cp, bytes));
}

/* Appends the decomposed code points to `cps`, marks not yet in order. */
static void decompose(struct span text, utf8proc_option_t options, struct buf *cps)
{
    for (size_t i = 0, taken; i < text.n; i += taken) {
        utf8proc_int32_t some[MAX_DECOMPOSED];
        int boundary = 0;
        uint32_t cp = utf8_decode(text.p + i, text.n - i, &taken);
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, some, MAX_DECOMPOSED,
                                                     options, &boundary);
        if (n < 1 || n > MAX_DECOMPOSED) {
            some[0] = (utf8proc_int32_t)cp;
            n = 1;
        }
        buf_append(cps, some, (size_t)n * sizeof(*some));
    }
}

static void order_all_marks(int32_t *cps, size_t n)
{
    struct buf temp;
    buf_init(&temp, SIZE_MAX / 2);
    for (size_t i = 0, begin = 0; i <= n; i++) {
        if (i < n && utf8proc_get_property(cps[i])->combining_class != 0)
            continue;
        unicode_order_marks(cps + begin, i - begin, &temp);
        begin = i + 1;
    }
    buf_release(&temp);
}

/* Below U+00A0 every text is its own normal form; below U+0300 it is its own NFC. */
static bool is_normal(struct span text, enum unicode_form form)
{
    unsigned char least = form == UNICODE_NFC ? 0xcc : 0x80;
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] >= least)
            return false;
    return true;
}

void unicode_normalize(struct span text, enum unicode_form form, struct buf *out)
{
    bool compat = form == UNICODE_NFKC || form == UNICODE_NFKD;
    bool composed = form == UNICODE_NFC || form == UNICODE_NFKC;
    utf8proc_option_t options = (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                                    (compat ? UTF8PROC_COMPAT : 0));
    struct buf cps;
    if (is_normal(text, form)) {
        buf_append(out, text.p, text.n);
        return;
    }
    buf_init(&cps, SIZE_MAX / 2);
    decompose(text, options, &cps);
    size_t n = cps.len / sizeof(int32_t);
    int32_t *list = (int32_t *)(void *)cps.data;
    order_all_marks(list, n);
    if (composed && n > 0) {
        options = (utf8proc_option_t)((options & ~UTF8PROC_DECOMPOSE) | UTF8PROC_COMPOSE);
        utf8proc_ssize_t left = utf8proc_normalize_utf32(list, (utf8proc_ssize_t)n, options);
        n = left < 0 ? n : (size_t)left;
    }
    for (size_t i = 0; i < n; i++)
        put(out, (uint32_t)list[i]);
    if (buf_failed(&cps))
        out->failed = true;
    buf_release(&cps);
}

void unicode_lowercase(struct span text, struct buf *out)
{
    for (size_t i = 0, taken; i < text.n; i += taken) {
        unsigned char c = (unsigned char)text.p[i];
        taken = 1;
        if (c < 0x80) {
            buf_append_char(out, (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c));
            continue;
        }
        uint32_t cp = utf8_decode(text.p + i, text.n - i, &taken);
        put(out, cp == 0x130 ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
        if (cp == 0x130) /* the one letter whose lower case has two code points */
            put(out, 0x307);
    }
}

bool unicode_is_valid(struct span text)
{
    for (size_t i = 0, taken; i < text.n; i += taken) {
        if ((unsigned char)text.p[i] < 0x80) {
            taken = 1;
            continue;
        }
        uint32_t cp = utf8_decode(text.p + i, text.n - i, &taken);
        if (cp == UTF8_REPLACEMENT && !(taken == 3 && memcmp(text.p + i, "\xef\xbf\xbd", 3) == 0))
            return false;
    }
    return true;
}

void unicode_repair(struct span text, struct buf *out)
{
    for (size_t i = 0, taken; i < text.n; i += taken)
        put(out, utf8_decode(text.p + i, text.n - i, &taken));
}
