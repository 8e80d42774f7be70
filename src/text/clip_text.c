/* clip_text.c - see clip_text.h. */
#include "text/clip_text.h"

#include "base/err.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

#define NFC_OPTIONS (UTF8PROC_STABLE | UTF8PROC_COMPOSE)

void clip_text_init(struct clip_text *t)
{
    *t = (struct clip_text){0};
    buf_init(&t->work, SIZE_MAX / 2);
    buf_init(&t->out, SIZE_MAX / 2);
}

void clip_text_release(struct clip_text *t)
{
    buf_release(&t->work);
    buf_release(&t->out);
    t->cps = NULL;
    t->n = 0;
}

static void put(struct buf *b, uint32_t cp)
{
    buf_append(b, &cp, sizeof(cp));
}

/* Canonical ordering and composition of the decomposed code points in t->work (UAX 15). */
static void compose(struct clip_text *t)
{
    utf8proc_int32_t *cps = (utf8proc_int32_t *)(void *)t->work.data;
    size_t n = t->work.len / sizeof(*cps), begin = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && utf8proc_get_property(cps[i])->combining_class != 0)
            continue;
        unicode_order_marks(cps + begin, i - begin, &t->out);
        begin = i + 1;
    }
    utf8proc_ssize_t left = utf8proc_normalize_utf32(cps, (utf8proc_ssize_t)n, NFC_OPTIONS);
    t->work.len = (size_t)left * sizeof(*cps);
}

/* Decodes into t->work. Below U+0300 nothing combines and nothing needs composing, so that plain
 * text skips NFC; otherwise the code points are decomposed on the way. */
static void decode(struct clip_text *t, const char *text, size_t len)
{
    size_t taken, i = 0;
    buf_reset(&t->work);
    for (; i < len; i += taken) {
        uint32_t cp = utf8_decode(text + i, len - i, &taken);
        if (cp >= 0x300)
            break;
        put(&t->work, cp);
    }
    if (i == len)
        return;
    buf_reset(&t->work);
    for (i = 0; i < len; i += taken) {
        utf8proc_int32_t parts[32];
        int boundary = 0;
        uint32_t cp = utf8_decode(text + i, len - i, &taken);
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, parts, 32, NFC_OPTIONS,
                                                     &boundary);
        if (n > 0 && n <= 32)
            buf_append(&t->work, parts, (size_t)n * sizeof(*parts));
        else
            put(&t->work, cp);
    }
    if (!buf_failed(&t->work))
        compose(t);
}

int clip_text_normalize(struct clip_text *t, const char *text, size_t len, struct err *e)
{
    bool in_space = false;
    t->cps = NULL;
    t->n = 0;
    buf_reset(&t->out);
    decode(t, text, len);
    bool failed = buf_failed(&t->work) || buf_failed(&t->out);
    const uint32_t *cps = (const uint32_t *)(const void *)t->work.data;
    size_t n = t->work.len / sizeof(*cps);
    buf_reset(&t->out);
    for (size_t i = 0; i < n; i++) {
        bool space = unicode_is_space(cps[i]);
        if (space && !in_space)
            put(&t->out, ' ');
        else if (cps[i] == 0x130) { /* the one code point whose lower case is two */
            put(&t->out, 'i');
            put(&t->out, 0x307);
        } else if (!space)
            put(&t->out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cps[i]));
        in_space = space;
    }
    if (failed || buf_failed(&t->out))
        return err_set(e, ERR_NOMEM, "not enough memory for a text of %zu bytes", len);
    t->cps = (const uint32_t *)(const void *)t->out.data;
    t->n = t->out.len / sizeof(*cps);
    return 0;
}

enum cls { SPACE, LETTER, DIGIT, OTHER };

static enum cls classify(uint32_t cp)
{
    if (cp < 0x80 && cp >= 'a' && cp <= 'z')
        return LETTER;
    if (unicode_is_space(cp))
        return SPACE;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return DIGIT;
    default:
        return OTHER;
    }
}

/* The length of the first of the n_list texts that cps begins with, or 0. */
static size_t starts_with(const uint32_t *cps, size_t n, const char *const *list, size_t n_list)
{
    for (size_t k = 0; k < n_list; k++) {
        size_t i = 0;
        while (i < n && list[k][i] && cps[i] == (uint32_t)list[k][i])
            i++;
        if (!list[k][i])
            return i;
    }
    return 0;
}

size_t clip_text_word(const uint32_t *cps, size_t n, size_t *begin, size_t *limit)
{
    static const char *const literals[] = {"<|startoftext|>", "<|endoftext|>"};
    static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    size_t i = *begin;
    while (i < n && cps[i] == ' ')
        i++;
    *begin = i;
    if (i == n)
        return n;
    if (i >= *limit && cps[i] == '<')
        *limit = i + starts_with(cps + i, n - i, literals, 2);
    if (i < *limit)
        n = *limit;
    size_t end = cps[i] == '\'' ? i + starts_with(cps + i, n - i, contractions, 7) : i;
    if (end > i)
        return end;
    enum cls cls = classify(cps[i]);
    for (end = i + 1; end < n && cls != DIGIT && classify(cps[end]) == cls; end++)
        ;
    return end;
}
