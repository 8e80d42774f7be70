/* jinja_lex.c - see jinja_lex.h. */
#include "text/jinja_lex.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BRACKETS 200

struct lexer {
    const char *p, *end;
    int line;
    bool line_starting; /* the last tag ended with a line break, or nothing came before */
    struct jinja_tokens *out;
    struct arena *arena;
    struct err *e;
};

static int fail(const struct lexer *x, const char *what)
{
    return err_set(x->e, ERR_FORMAT, "chat template, line %d: %s", x->line, what);
}

static int push(struct lexer *x, struct jinja_token t)
{
    struct jinja_tokens *o = x->out;
    if (o->n == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 256;
        struct jinja_token *v = arena_try_array(x->arena, cap, sizeof(*v),
                                                "the tokens of a chat template", x->e);
        if (!v)
            return ERR_NOMEM;
        if (o->n)
            memcpy(v, o->v, o->n * sizeof(*v));
        o->v = v;
        o->cap = cap;
    }
    t.line = x->line;
    o->v[o->n++] = t;
    return 0;
}

/* Moves on, counting lines. */
static void skip(struct lexer *x, size_t n)
{
    for (; n; n--)
        x->line += *x->p++ == '\n';
}

/* The bytes of the white space at p: what Python's \s and str.isspace() know. */
static size_t space_at(const char *p, const char *end)
{
    if (p == end)
        return 0;
    if ((unsigned char)*p < 0x80)
        return *p == ' ' || (*p >= '\t' && *p <= '\r') || (*p >= 0x1c && *p <= 0x1f);
    size_t n;
    uint32_t c = utf8_decode(p, (size_t)(end - p), &n);
    bool space = c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
                 c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
    return space ? n : 0;
}

static void skip_space(struct lexer *x)
{
    for (size_t n; (n = space_at(x->p, x->end));)
        skip(x, n);
}

/* [p, end) without its trailing white space. */
static const char *trimmed_end(const char *p, const char *end)
{
    const char *last = p;
    while (p < end) {
        size_t n = space_at(p, end);
        p += n ? n : 1;
        if (!n)
            last = p;
    }
    return last;
}

static bool starts(const struct lexer *x, const char *s)
{
    size_t n = strlen(s);
    return (size_t)(x->end - x->p) >= n && memcmp(x->p, s, n) == 0;
}

/* The text before a tag. Its own trailing white space goes with "{%-"; what stands before a block
 * or comment alone on its line goes too, unless the tag begins with "{%+". */
static int push_data(struct lexer *x, const char *tag, char sign, bool print)
{
    const char *end = tag;
    if (sign == '-') {
        end = trimmed_end(x->p, tag);
    } else if (sign != '+' && !print) {
        const char *line = tag;
        while (line > x->p && line[-1] != '\n')
            line--;
        if ((line > x->p || x->line_starting) && trimmed_end(line, tag) == line)
            end = line;
    }
    int rc = 0;
    if (end > x->p)
        rc = push(
            x, (struct jinja_token){.type = JINJA_DATA, .text = x->p, .n = (size_t)(end - x->p)});
    skip(x, (size_t)(tag - x->p));
    return rc;
}

/* The end of a block or comment at p, with the white space it swallows: 0 when there is none. */
static bool take_end(struct lexer *x, char brace)
{
    const char *p = x->p;
    char sign = p < x->end && (*p == '-' || *p == '+') ? *p++ : 0;
    if (x->end - p < 2 || p[0] != brace || p[1] != '}' || (brace == '}' && sign == '+'))
        return false;
    p += 2;
    skip(x, (size_t)(p - x->p));
    if (sign == '-')
        skip_space(x);
    else if (!sign && brace != '}' && x->p < x->end && *x->p == '\n')
        skip(x, 1);
    x->line_starting = x->p[-1] == '\n';
    return true;
}

static int lex_comment(struct lexer *x)
{
    int begin = x->line;
    for (; x->p < x->end; skip(x, 1))
        if (take_end(x, '#'))
            return 0;
    x->line = begin;
    return fail(x, "the comment has no end '#}'");
}

/* Is there a block that holds nothing but this name at p ("{%")? Tells its sign and its end. */
static bool lone_block(const struct lexer *x, const char *p, const char *name, char *sign,
                       const char **after)
{
    size_t n = strlen(name);
    *sign = 0;
    p += 2;
    if (p < x->end && (*p == '-' || *p == '+'))
        *sign = *p++;
    for (size_t k; (k = space_at(p, x->end));)
        p += k;
    if ((size_t)(x->end - p) < n || memcmp(p, name, n) != 0)
        return false;
    p += n;
    for (size_t k; (k = space_at(p, x->end));)
        p += k;
    *after = p;
    bool ends = (x->end - p >= 2 && memcmp(p, "%}", 2) == 0) ||
                (x->end - p >= 3 && (*p == '-' || *p == '+') && memcmp(p + 1, "%}", 2) == 0);
    return ends;
}

/* {% raw %}...{% endraw %}, from behind the first tag. */
static int lex_raw(struct lexer *x)
{
    for (const char *p = x->p; x->end - p >= 2; p++) {
        const char *after;
        char sign;
        if (memcmp(p, "{%", 2) != 0 || !lone_block(x, p, "endraw", &sign, &after))
            continue;
        int rc = push_data(x, p, sign, false);
        skip(x, (size_t)(after - x->p));
        take_end(x, '%');
        return rc;
    }
    return fail(x, "'raw' has no 'endraw'");
}

static uint32_t digits_value(const char *p, size_t n, int base)
{
    char text[16] = "";
    memcpy(text, p, n < 15 ? n : 15);
    return (uint32_t)strtoul(text, NULL, base);
}

static size_t count_digits(const char *p, const char *end, size_t most, int base)
{
    size_t n = 0;
    while (p + n < end && n < most) {
        char c = p[n];
        int v = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87
                                                     : 99;
        if (v >= base)
            break;
        n++;
    }
    return n;
}

/* Unescapes what follows a backslash at p as Python's unicode-escape does; returns bytes read, or
 * 0 where it is malformed. */
static size_t unescape(const char *p, const char *end, char *out, size_t *n)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *at = *p ? strchr(from, *p) : NULL;
    size_t width = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0, digits;
    *n = 0;
    if (at) {
        out[(*n)++] = to[at - from];
        return 1;
    }
    if (*p == '\n')
        return 1;
    if (width) {
        if (count_digits(p + 1, end, width, 16) != width)
            return 0;
        uint32_t c = digits_value(p + 1, width, 16);
        if (c > 0x10ffff)
            return 0;
        *n = utf8_encode(c >= 0xd800 && c < 0xe000 ? UTF8_REPLACEMENT : c, out);
        return 1 + width;
    }
    digits = count_digits(p, end, 3, 8);
    if (digits) {
        *n = utf8_encode(digits_value(p, digits, 8), out);
        return digits;
    }
    out[(*n)++] = '\\'; /* unknown: stays */
    return SIZE_MAX;
}

static int lex_string(struct lexer *x)
{
    char quote = *x->p;
    const char *end = x->p + 1;
    while (end < x->end && *end != quote)
        end += *end == '\\' && end + 1 < x->end ? 2 : 1;
    if (end >= x->end)
        return fail(x, "the string has no end");
    size_t n = (size_t)(end - x->p - 1), used = 0;
    const char *p = x->p + 1;
    struct jinja_token t = {.type = JINJA_STRING, .text = p, .n = n};
    if (memchr(p, '\\', n)) {
        char *text = arena_try_array(x->arena, n + 4, 1, "a string of a chat template", x->e);
        if (!text)
            return ERR_NOMEM;
        while (p < end) {
            if (*p != '\\') {
                text[used++] = *p++;
                continue;
            }
            size_t wrote, taken = unescape(p + 1, end, text + used, &wrote);
            if (!taken)
                return fail(x, "a string has a malformed escape");
            used += wrote;
            p += taken == SIZE_MAX ? 1 : 1 + taken;
        }
        t.text = text;
        t.n = used;
    }
    int rc = push(x, t);
    skip(x, (size_t)(end + 1 - x->p));
    return rc;
}

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* Digits with single underscores between them. */
static const char *skip_digits(const char *p, const char *end)
{
    while (is_digit(p, end) || (p < end && *p == '_' && is_digit(p + 1, end)))
        p++;
    return p;
}

/* The base that a prefix at p tells: 0x, 0o, 0b. */
static int number_base(const char *p, const char *end)
{
    if (end - p < 2 || *p != '0')
        return 10;
    return (p[1] | 32) == 'x' ? 16 : (p[1] | 32) == 'o' ? 8 : (p[1] | 32) == 'b' ? 2 : 10;
}

/* Behind the fraction and the exponent that follow a number's digits at p, if any. */
static const char *skip_fraction(const char *p, const char *end)
{
    if (p < end && *p == '.' && is_digit(p + 1, end))
        p = skip_digits(p + 1, end);
    if (p < end && (*p | 32) == 'e') {
        const char *digits = p + 1;
        digits += digits < end && (*digits == '+' || *digits == '-');
        if (is_digit(digits, end))
            p = skip_digits(digits, end);
    }
    return p;
}

static int lex_number(struct lexer *x)
{
    int base = number_base(x->p, x->end);
    bool item = x->p[-1] == '.'; /* a.0.1 is a[0][1] */
    const char *whole = skip_digits(x->p, x->end), *p = whole;
    if (base != 10)
        p = x->p + 2 + count_digits(x->p + 2, x->end, 64, base);
    else if (!item)
        p = skip_fraction(whole, x->end);
    bool real = base == 10 && p > whole;
    char text[64];
    size_t n = 0;
    for (const char *q = x->p + (base != 10 ? 2 : 0); q < p && n < sizeof text; q++)
        if (*q != '_')
            text[n++] = *q;
    if (n == sizeof text)
        return fail(x, "the number is too long");
    text[n] = '\0';
    struct jinja_token t = {.type = real ? JINJA_FLOAT : JINJA_INTEGER};
    errno = 0;
    if (real)
        t.u.f = strtod(text, NULL);
    else
        t.u.i = strtoll(text, NULL, base);
    if (errno == ERANGE && !real)
        return fail(x, "the number is beyond 64 bits");
    int rc = push(x, t);
    skip(x, (size_t)(p - x->p));
    return rc;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static int lex_operator(struct lexer *x, char *brackets, int *n)
{
    static const struct {
        char text[3];
        int op;
    } two[] = {{"==", JINJA_EQ}, {"!=", JINJA_NE},  {"<=", JINJA_LE},
               {">=", JINJA_GE}, {"**", JINJA_POW}, {"//", JINJA_FLOORDIV}};
    char c = *x->p;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (starts(x, two[i].text)) {
            int rc = push(x, (struct jinja_token){.type = JINJA_OPERATOR, .op = two[i].op});
            skip(x, 2);
            return rc;
        }
    if (!c || !strchr("+-*/%~()[]{}<>=.:|,;", c))
        return fail(x, "unexpected character");
    if (strchr("([{", c)) {
        if (*n == MAX_BRACKETS)
            return fail(x, "brackets are nested too deeply");
        brackets[(*n)++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c) && (!*n || brackets[--*n] != c)) {
        return fail(x, "a closing bracket matches no opening one");
    }
    int rc = push(x, (struct jinja_token){.type = JINJA_OPERATOR, .op = c});
    skip(x, 1);
    return rc;
}

/* What stands inside {% %} or {{ }}, and its end. */
static int lex_tag(struct lexer *x, char brace)
{
    char brackets[MAX_BRACKETS];
    int n = 0, rc = 0, begin = x->line;
    while (!rc) {
        skip_space(x);
        if (x->p == x->end) {
            x->line = begin;
            return fail(x, brace == '%' ? "the block has no end '%}'" : "'{{' has no end '}}'");
        }
        int line = x->line;
        if (!n && take_end(x, brace)) {
            int after = x->line;
            x->line = line;
            rc = push(
                x, (struct jinja_token){.type = brace == '%' ? JINJA_BLOCK_END : JINJA_PRINT_END});
            x->line = after;
            return rc;
        }
        const char *p = x->p;
        if (is_digit(p, x->end)) {
            rc = lex_number(x);
        } else if (is_name(*p)) {
            while (p < x->end && is_name(*p))
                p++;
            rc = push(
                x, (struct jinja_token){.type = JINJA_NAME, .text = x->p, .n = (size_t)(p - x->p)});
            skip(x, (size_t)(p - x->p));
        } else if (*p == '\'' || *p == '"') {
            rc = lex_string(x);
        } else {
            rc = lex_operator(x, brackets, &n);
        }
    }
    return rc;
}

/* One tag, "{{", "{%" or "{#", at p. */
static int lex_opening(struct lexer *x, const char *tag)
{
    char sign = tag + 2 < x->end && (tag[2] == '-' || tag[2] == '+') ? tag[2] : 0;
    const char *after;
    char same;
    bool raw = tag[1] == '%' && lone_block(x, tag, "raw", &same, &after) && *after != '+';
    int rc = push_data(x, tag, sign, tag[1] == '{');
    if (rc)
        return rc;
    if (raw) {
        skip(x, (size_t)(after - x->p));
        bool strip = *x->p == '-';
        skip(x, strip ? 3 : 2);
        if (strip)
            skip_space(x);
        x->line_starting = x->p[-1] == '\n';
        return lex_raw(x);
    }
    if (tag[1] == '#') {
        skip(x, sign ? 3 : 2);
        return lex_comment(x);
    }
    rc = push(x,
              (struct jinja_token){.type = tag[1] == '%' ? JINJA_BLOCK_BEGIN : JINJA_PRINT_BEGIN});
    skip(x, sign ? 3 : 2);
    return rc ? rc : lex_tag(x, tag[1] == '%' ? '%' : '}');
}

int jinja_lex(struct jinja_tokens *out, const char *source, size_t n, struct arena *arena,
              struct err *e)
{
    struct lexer x = {source, source + n, 1, true, out, arena, e};
    int rc = 0;
    *out = (struct jinja_tokens){0};
    while (!rc && x.p < x.end) {
        const char *tag = x.p;
        while ((tag = memchr(tag, '{', (size_t)(x.end - tag))) && tag + 1 < x.end &&
               tag[1] != '{' && tag[1] != '%' && tag[1] != '#')
            tag++;
        if (tag && tag + 1 < x.end)
            rc = lex_opening(&x, tag);
        else
            rc = push_data(&x, x.end, '+', true);
    }
    return rc ? rc : push(&x, (struct jinja_token){.type = JINJA_EOF});
}
