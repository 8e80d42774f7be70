/* json_schema_pattern.c - see json_schema_writer.h: a regular expression as GBNF.
 *
 * Of ECMA 262's syntax everything regular: alternatives, groups, classes, \d \w \s and their
 * opposites, quantifiers (a lazy one fits the same texts), escapes, and ^ and $ at the ends of the
 * outermost alternatives. A character means what it stands for in the string; it is written as JSON
 * writes it. Where no anchor stands, anything may.
 */
#include "text/json_schema_writer.h"

#include "base/err.h"
#include "base/utf8.h"
#include "text/gbnf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_GROUPS 50  /* inside each other */
#define MAX_RANGES 300 /* of one class */

struct regex {
    struct schema_writer *w;
    const char *pattern, *at;
    struct buf *out;
    int depth;
};

/* Code points, as they come. */
struct set {
    struct gbnf_range at[MAX_RANGES];
    size_t n;
};

static int refuse(struct regex *x, const char *what)
{
    return schema_fail(x->w, ERR_UNSUPPORTED, "the pattern \"%s\": %s", x->pattern, what);
}

static int add(struct regex *x, struct set *s, uint32_t lo, uint32_t hi)
{
    if (s->n == MAX_RANGES)
        return refuse(x, "a class with too many ranges");
    s->at[s->n++] = (struct gbnf_range){lo, hi};
    return 0;
}

static int by_lo(const void *a, const void *b)
{
    const struct gbnf_range *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Sorts and merges; then, where asked for, turns inside out. */
static int tidy(struct regex *x, struct set *s, bool negate)
{
    size_t n = 0;
    qsort(s->at, s->n, sizeof *s->at, by_lo);
    for (size_t i = 0; i < s->n; i++) {
        if (n > 0 && s->at[i].lo <= s->at[n - 1].hi + 1)
            s->at[n - 1].hi = s->at[i].hi > s->at[n - 1].hi ? s->at[i].hi : s->at[n - 1].hi;
        else
            s->at[n++] = s->at[i];
    }
    s->n = n;
    if (!negate)
        return 0;
    struct set was = *s;
    uint32_t from = 0;
    s->n = 0;
    for (size_t i = 0; i <= was.n; i++) {
        uint32_t to = i < was.n ? was.at[i].lo : 0x110000;
        int rc = to > from ? add(x, s, from, to - 1) : 0;
        if (rc)
            return rc;
        from = i < was.n ? was.at[i].hi + 1 : from;
    }
    return 0;
}

/* \d \w \s; upper case the opposite. */
static int add_named(struct regex *x, struct set *s, char name)
{
    static const struct gbnf_range digits[] = {{'0', '9'}};
    static const struct gbnf_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct gbnf_range spaces[] = {
        {'\t', '\r'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
        {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    char lower = (char)(name | 32);
    const struct gbnf_range *r = lower == 'd' ? digits : lower == 'w' ? words : spaces;
    size_t n = lower == 'd' ? 1 : lower == 'w' ? 4 : 10;
    struct set one = {.n = 0};
    int rc = 0;
    for (size_t i = 0; i < n; i++)
        one.at[one.n++] = r[i];
    rc = tidy(x, &one, name != lower);
    for (size_t i = 0; i < one.n && !rc; i++)
        rc = add(x, s, one.at[i].lo, one.at[i].hi);
    return rc;
}

static int hex_digits(struct regex *x, int n, uint32_t *cp)
{
    char digits[9] = {0}, *stop;
    for (int i = 0; i < n; i++) {
        if (!strchr("0123456789abcdefABCDEF", x->at[i]) || !x->at[i])
            return refuse(x, "an escape without its hexadecimal digits");
        digits[i] = x->at[i];
    }
    *cp = (uint32_t)strtoul(digits, &stop, 16);
    x->at += n;
    return *cp > 0x10ffff || (*cp >= 0xd800 && *cp < 0xe000)
               ? refuse(x, "an escape that is no whole character")
               : 0;
}

/* After a backslash: one character, or *named. */
static int read_escape(struct regex *x, uint32_t *cp, char *named)
{
    static const char from[] = "fnrtv0", to[] = "\f\n\r\t\v\0";
    char c = *x->at;
    const char *p = c ? strchr(from, c) : NULL;
    *named = 0;
    if (c && strchr("dwsDWS", c)) {
        *named = c;
        x->at++;
        return 0;
    }
    x->at += c != '\0';
    if (p) {
        *cp = (unsigned char)to[p - from];
        return 0;
    }
    if (c == 'x')
        return hex_digits(x, 2, cp);
    if (c == 'u' && *x->at == '{') {
        size_t n = strspn(x->at + 1, "0123456789abcdefABCDEF");
        if (n == 0 || n > 6 || x->at[1 + n] != '}')
            return refuse(x, "an escape without its hexadecimal digits");
        x->at++;
        int rc = hex_digits(x, (int)n, cp);
        x->at++;
        return rc;
    }
    if (c == 'u')
        return hex_digits(x, 4, cp);
    if (c == '\0' || (c >= '1' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return refuse(x, "an escape that is not supported; \\d \\w \\s \\n \\t \\x \\u and "
                         "punctuation are");
    *cp = (unsigned char)c;
    return 0;
}

static uint32_t read_plain(struct regex *x)
{
    size_t taken;
    uint32_t cp = utf8_decode(x->at, strlen(x->at), &taken);
    x->at += taken;
    return cp;
}

/* ---- writing ---- */

static void put_char(struct buf *out, uint32_t cp)
{
    buf_printf(out, "\\U%08x", (unsigned)cp);
}

static void put_way(struct regex *x, size_t *n, const char *text)
{
    buf_append_str(x->out, (*n)++ ? " | " : "");
    buf_append_str(x->out, text);
}

/* One character of the set, as JSON writes it: plain, or with a backslash. */
static int put_set(struct regex *x, const struct set *s)
{
    static const char specials[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    size_t n = 0;
    bool plain = false;
    buf_append_str(x->out, "(");
    for (size_t i = 0; i < s->n; i++) {
        struct gbnf_range r = s->at[i];
        for (uint32_t cp = r.lo; cp <= r.hi && cp < 0x5d; cp++) {
            char text[32];
            const char *p = cp ? strchr(specials, (int)cp) : NULL;
            if (p) {
                snprintf(text, sizeof text, "\"\\\\%s%c\"", p - specials < 2 ? "\\" : "",
                         letters[p - specials]);
                put_way(x, &n, text);
            } else if (cp < 0x20) {
                snprintf(text, sizeof text, "\"\\\\u%04x\"", (unsigned)cp);
                put_way(x, &n, text);
            }
        }
        plain |= r.hi >= 0x20 && !(r.lo == r.hi && (r.lo == '"' || r.lo == '\\'));
    }
    if (plain)
        put_way(x, &n, "[");
    for (size_t i = 0; i < s->n && plain; i++) {
        /* Cut in three at the quote and the backslash. */
        static const uint32_t from[] = {0x20, 0x23, 0x5d}, to[] = {0x21, 0x5b, 0x10ffff};
        for (int k = 0; k < 3; k++) {
            uint32_t lo = s->at[i].lo > from[k] ? s->at[i].lo : from[k];
            uint32_t hi = s->at[i].hi < to[k] ? s->at[i].hi : to[k];
            lo = lo >= 0xd800 && lo < 0xe000 ? 0xe000 : lo; /* no class ends in the surrogates */
            hi = hi >= 0xd800 && hi < 0xe000 ? 0xd7ff : hi;
            if (lo > hi)
                continue;
            put_char(x->out, lo);
            buf_append_char(x->out, '-');
            put_char(x->out, hi);
        }
    }
    buf_append_str(x->out, plain ? "])" : ")");
    return n ? 0 : refuse(x, "a class that no character fits");
}

static int put_one(struct regex *x, uint32_t cp)
{
    struct set s;
    s.n = 1;
    s.at[0] = (struct gbnf_range){cp, cp};
    return put_set(x, &s);
}

/* ---- reading ---- */

static int read_class(struct regex *x)
{
    struct set s;
    s.n = 0;
    bool negate = *++x->at == '^';
    x->at += negate;
    while (*x->at && *x->at != ']') {
        uint32_t lo = 0, hi;
        char named = 0;
        int rc = 0;
        if (*x->at == '\\') {
            x->at++;
            if (*x->at == 'b') {
                lo = '\b';
                x->at++;
            } else {
                rc = read_escape(x, &lo, &named);
            }
        } else {
            lo = read_plain(x);
        }
        hi = lo;
        if (!rc && !named && x->at[0] == '-' && x->at[1] && x->at[1] != ']') {
            x->at++;
            if (*x->at == '\\') {
                x->at++;
                rc = read_escape(x, &hi, &named);
                if (!rc && named)
                    rc = refuse(x, "a range up to a class");
            } else {
                hi = read_plain(x);
            }
        }
        if (!rc && hi < lo)
            rc = refuse(x, "a range that ends before it begins");
        if (!rc)
            rc = named ? add_named(x, &s, named) : add(x, &s, lo, hi);
        if (rc)
            return rc;
    }
    if (*x->at != ']')
        return refuse(x, "a class that is not closed");
    x->at++;
    int rc = tidy(x, &s, negate);
    return rc ? rc : put_set(x, &s);
}

static int read_alternatives(struct regex *x);

static int read_group(struct regex *x)
{
    if (++x->depth > MAX_GROUPS)
        return refuse(x, "too many groups inside each other");
    x->at++;
    if (x->at[0] == '?' && x->at[1] == ':') {
        x->at += 2;
    } else if (x->at[0] == '?' && x->at[1] == '<' && x->at[2] != '=' && x->at[2] != '!') {
        const char *end = strchr(x->at, '>');
        if (!end)
            return refuse(x, "a group's name that does not end");
        x->at = end + 1;
    } else if (x->at[0] == '?') {
        return refuse(x, "looking ahead or behind is not supported");
    }
    buf_append_str(x->out, "(");
    int rc = read_alternatives(x);
    if (rc)
        return rc;
    if (*x->at != ')')
        return refuse(x, "a parenthesis that is not closed");
    buf_append_str(x->out, ")");
    x->at++;
    x->depth--;
    return 0;
}

static int read_atom(struct regex *x)
{
    uint32_t cp = 0;
    char named = 0;
    struct set s;
    int rc;
    switch (*x->at) {
    case '(':
        return read_group(x);
    case '[':
        return read_class(x);
    case '.':
        x->at++;
        s.n = 3;
        s.at[0] = (struct gbnf_range){'\n', '\n'};
        s.at[1] = (struct gbnf_range){'\r', '\r'};
        s.at[2] = (struct gbnf_range){0x2028, 0x2029};
        rc = tidy(x, &s, true);
        return rc ? rc : put_set(x, &s);
    case '\\':
        x->at++;
        rc = read_escape(x, &cp, &named);
        if (rc || !named)
            return rc ? rc : put_one(x, cp);
        s.n = 0;
        rc = add_named(x, &s, named);
        return rc ? rc : put_set(x, &s);
    case '*':
    case '+':
    case '?':
        return refuse(x, "nothing stands before a quantifier");
    case '^':
    case '$':
        return refuse(x, "^ and $ are supported only at the ends of the pattern");
    default:
        return put_one(x, read_plain(x));
    }
}

/* "*", "+", "?" or "{m,n}" as they are in GBNF; a "?" behind them changes nothing. */
static int read_quantifier(struct regex *x)
{
    const char *begin = x->at;
    if (*x->at == '*' || *x->at == '+' || *x->at == '?') {
        x->at++;
    } else if (*x->at == '{') {
        const char *p = x->at + 1;
        size_t first = strspn(p, "0123456789");
        p += first;
        if (*p == ',')
            p += 1 + strspn(p + 1, "0123456789");
        if (first == 0 || *p != '}')
            return refuse(x, "{ that is no quantifier; write \\{");
        x->at = p + 1;
    } else {
        return 0;
    }
    buf_append(x->out, begin, (size_t)(x->at - begin));
    x->at += *x->at == '?';
    if (*x->at == '*' || *x->at == '+' || *x->at == '{')
        return refuse(x, "a quantifier behind a quantifier");
    return 0;
}

/* Inside a group, up to its end. */
static int read_alternatives(struct regex *x)
{
    while (*x->at && *x->at != ')') {
        if (*x->at == '|') {
            buf_append_str(x->out, " | ");
            x->at++;
            continue;
        }
        int rc = read_atom(x);
        if (!rc)
            rc = read_quantifier(x);
        if (rc)
            return rc;
        buf_append_char(x->out, ' ');
    }
    return 0;
}

/* One of the outermost alternatives, with its anchors. */
static int read_outermost(struct regex *x)
{
    bool begins = *x->at == '^', ends = false;
    x->at += begins;
    buf_append_str(x->out, begins ? "" : "char* ");
    while (*x->at && *x->at != '|') {
        if (*x->at == ')')
            return refuse(x, "a parenthesis that was never opened");
        ends = *x->at == '$' && (x->at[1] == '\0' || x->at[1] == '|');
        if (ends) {
            x->at++;
            break;
        }
        int rc = read_atom(x);
        if (!rc)
            rc = read_quantifier(x);
        if (rc)
            return rc;
        buf_append_char(x->out, ' ');
    }
    buf_append_str(x->out, ends ? "" : "char*");
    return 0;
}

int schema_pattern(struct schema_writer *w, const char *pattern, struct buf *out)
{
    struct regex x = {w, pattern, pattern, out, 0};
    buf_append_str(out, "\"\\\"\" (");
    for (;;) {
        int rc = read_outermost(&x);
        if (rc)
            return rc;
        if (*x.at != '|')
            break;
        buf_append_str(out, " | ");
        x.at++;
    }
    buf_append_str(out, ") \"\\\"\"");
    return 0;
}
