/* chat_literal.c - see chat_literal.h. */
#include "text/chat_literal.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64

void chat_literal_space(struct chat_literal *x)
{
    while (x->p < x->end && (*x->p == ' ' || (*x->p >= '\t' && *x->p <= '\r')))
        x->p++;
}

static bool at(const struct chat_literal *x, const char *s)
{
    size_t n = strlen(s);
    return (size_t)(x->end - x->p) >= n && memcmp(x->p, s, n) == 0;
}

bool chat_literal_take(struct chat_literal *x, const char *s)
{
    chat_literal_space(x);
    bool is = at(x, s);
    x->p += is ? strlen(s) : 0;
    return is;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-' || (unsigned char)c >= 0x80;
}

const char *chat_literal_name(struct chat_literal *x, size_t *n)
{
    chat_literal_space(x);
    const char *p = x->p;
    while (x->p < x->end && is_name(*x->p))
        x->p++;
    *n = (size_t)(x->p - p);
    return *n ? p : NULL;
}

static uint32_t hex(const struct chat_literal *x, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (x->p + i >= x->end)
            return UINT32_MAX;
        char c = x->p[i] | 32;
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                                                : 16;
        if (digit == 16)
            return UINT32_MAX;
        v = v * 16 + digit;
    }
    return v;
}

/* What follows a backslash. */
static bool escape(struct chat_literal *x, struct buf *b)
{
    static const char from[] = "nrtbfav0", to[] = "\n\r\t\b\f\a\v\0";
    if (x->p >= x->end)
        return false;
    char c = *x->p++, text[4];
    const char *known = c ? strchr(from, c) : NULL;
    size_t width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (width) {
        uint32_t code = hex(x, width);
        if (code > 0x10ffff)
            return false;
        x->p += width;
        if (code >= 0xd800 && code < 0xdc00 && at(x, "\\u")) { /* JSON's pairs */
            struct chat_literal low = {x->p + 2, x->end, 0};
            uint32_t second = hex(&low, 4);
            if (second >= 0xdc00 && second < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
                x->p += 6;
            }
        }
        if (code >= 0xd800 && code < 0xe000)
            code = UTF8_REPLACEMENT;
        buf_append(b, text, utf8_encode(code, text));
    } else if (known) {
        buf_append_char(b, to[known - from]);
    } else if (c != '\n') {
        if (!strchr("\\'\"/", c))
            buf_append_char(b, '\\');
        buf_append_char(b, c);
    }
    return true;
}

static json_t *text(struct chat_literal *x, const char *quote, bool escapes)
{
    struct buf b;
    json_t *v = NULL;
    buf_init(&b, (size_t)(x->end - x->p) + 8);
    while (x->p < x->end) {
        if (at(x, quote)) {
            x->p += strlen(quote);
            if (!buf_failed(&b))
                v = json_stringn(buf_str(&b), b.len); /* NULL when it is no UTF-8 */
            break;
        }
        if (*x->p == '\\' && escapes) {
            x->p++;
            if (!escape(x, &b))
                break;
        } else {
            buf_append_char(&b, *x->p++);
        }
    }
    buf_release(&b);
    return v;
}

/* The ways to quote, longest first. */
static json_t *quoted(struct chat_literal *x)
{
    static const struct {
        const char *open, *close;
        bool escapes;
    } ways[] = {{"<|\"|>", "<|\"|>", false}, {"<escape>", "<escape>", false},
                {"\"\"\"", "\"\"\"", true},  {"'''", "'''", true},
                {"\"", "\"", true},          {"'", "'", true}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (chat_literal_take(x, ways[i].open))
            return text(x, ways[i].close, ways[i].escapes);
    return NULL;
}

static json_t *number(const char *p, size_t n)
{
    char digits[64], *stop;
    if (n >= sizeof digits)
        return NULL;
    memcpy(digits, p, n);
    digits[n] = '\0';
    if (digits[strspn(digits, "0123456789+-.eE")] != '\0')
        return NULL;
    errno = 0;
    long long i = strtoll(digits, &stop, 10);
    if (!*stop && !errno)
        return json_integer(i);
    double f = strtod(digits, &stop);
    return !*stop && isfinite(f) ? json_real(f) : NULL;
}

/* A number, True, None, or (Gemma leaves quotes out) a word. */
static json_t *bare(struct chat_literal *x)
{
    static const struct {
        const char *name;
        int value;
    } words[] = {{"True", 1}, {"true", 1}, {"False", 0}, {"false", 0}, {"None", -1}, {"null", -1}};
    const char *p = x->p;
    while (x->p < x->end && (is_name(*x->p) || *x->p == '+'))
        x->p++;
    size_t n = (size_t)(x->p - p);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (n == strlen(words[i].name) && memcmp(p, words[i].name, n) == 0)
            return words[i].value < 0 ? json_null() : json_boolean(words[i].value);
    return n ? number(p, n) : NULL;
}

static json_t *list(struct chat_literal *x, const char *close)
{
    json_t *v = json_array();
    while (v && !chat_literal_take(x, close)) {
        json_t *item = chat_literal_value(x);
        if (!item || json_array_append_new(v, item) != 0 ||
            (!chat_literal_take(x, ",") && !(chat_literal_space(x), at(x, close)))) {
            json_decref(v);
            return NULL;
        }
    }
    return v;
}

/* "key", 'key' or a bare word; heap, or NULL. */
static char *key_of(struct chat_literal *x)
{
    size_t n;
    json_t *v = quoted(x);
    char *key = v ? strdup(json_string_value(v)) : NULL;
    json_decref(v);
    if (key)
        return key;
    const char *name = chat_literal_name(x, &n);
    return name ? strndup(name, n) : NULL;
}

json_t *chat_literal_pairs(struct chat_literal *x, char close, bool colon)
{
    const char end[] = {close, '\0'};
    json_t *v = json_object();
    while (v && !chat_literal_take(x, end)) {
        char *key = key_of(x);
        json_t *value = key && chat_literal_take(x, colon ? ":" : "=") ? chat_literal_value(x)
                                                                       : NULL;
        int rc = value ? json_object_set_new(v, key, value) : -1;
        free(key);
        if (rc != 0 || (!chat_literal_take(x, ",") && !(chat_literal_space(x), at(x, end)))) {
            json_decref(v);
            return NULL;
        }
    }
    return v;
}

json_t *chat_literal_value(struct chat_literal *x)
{
    json_t *v = NULL;
    if (x->depth >= MAX_DEPTH)
        return NULL;
    x->depth++;
    chat_literal_space(x);
    if (chat_literal_take(x, "["))
        v = list(x, "]");
    else if (chat_literal_take(x, "("))
        v = list(x, ")");
    else if (chat_literal_take(x, "{"))
        v = chat_literal_pairs(x, '}', true);
    else if (x->p < x->end && strchr("\"'<", *x->p) && *x->p)
        v = quoted(x);
    else
        v = bare(x);
    x->depth--;
    return v;
}
