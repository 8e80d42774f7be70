/* gbnf.c - see gbnf.h. */
#include "text/gbnf.h"

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

struct parser {
    struct gbnf *g;
    struct map names; /* to the rule's index + 1 */
    uint32_t cap;     /* of g->rules */
    const char *at, *end;
    uint32_t line;
    int depth;
    struct err *e;
};

static int fail(struct parser *s, const char *what)
{
    return err_set(s->e, ERR_FORMAT, "the grammar's line %u: %s", s->line, what);
}

static char peek(const struct parser *s)
{
    return s->at < s->end ? *s->at : '\0';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Blanks and comments; with `lines` also the ends of lines. */
static void skip_space(struct parser *s, bool lines)
{
    for (; s->at < s->end; s->at++) {
        char c = *s->at;
        if (c == '#') {
            const char *eol = memchr(s->at, '\n', (size_t)(s->end - s->at));
            s->at = (eol ? eol : s->end) - 1;
        } else if (c == '\n' && lines) {
            s->line++;
        } else if (c != ' ' && c != '\t' &&
                   !(c == '\r' && (lines || (s->end - s->at > 1 && s->at[1] == '\n')))) {
            return;
        }
    }
}

/* The index of the rule, which may be defined later. */
static int find_rule(struct parser *s, const char *name, size_t n, uint32_t *index)
{
    struct gbnf *g = s->g;
    void *known = map_get(&s->names, name, n);
    if (known) {
        *index = (uint32_t)((uintptr_t)known - 1);
        return 0;
    }
    if (g->n_rules == GBNF_MAX_RULES)
        return err_set(s->e, ERR_FORMAT, "the grammar has more than %d rules", GBNF_MAX_RULES);
    if (g->n_rules == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 32;
        g->rules = mem_realloc(g->rules, s->cap * sizeof *g->rules);
    }
    *index = g->n_rules++;
    g->rules[*index] = (struct gbnf_rule){arena_strndup(&g->arena, name, n), NULL, s->line};
    map_put(&s->names, name, n,
            (void *)(uintptr_t)(*index + 1)); /* NOLINT(performance-no-int-to-ptr) */
    return 0;
}

static int hex(struct parser *s, int digits, uint32_t *cp)
{
    *cp = 0;
    for (int i = 0; i < digits; i++, s->at++) {
        char c = peek(s);
        uint32_t v = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
        if (v == 16)
            return fail(s, "an escape needs 2 (\\x), 4 (\\u) or 8 (\\U) hexadecimal digits");
        *cp = *cp << 4 | v;
    }
    if (*cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff))
        return fail(s, "an escape that is no Unicode character");
    return 0;
}

/* One character of a text or class, escaped or not. */
static int read_char(struct parser *s, uint32_t *cp)
{
    size_t taken;
    if (s->at == s->end)
        return fail(s, "the grammar ends inside quotes or brackets");
    if (*s->at != '\\') {
        *cp = utf8_decode(s->at, (size_t)(s->end - s->at), &taken);
        if (*cp == UTF8_REPLACEMENT && taken != 3)
            return fail(s, "not valid UTF-8");
        s->line += *cp == '\n';
        s->at += taken;
        return 0;
    }
    s->at++;
    char c = peek(s);
    s->at += s->at < s->end;
    switch (c) {
    case 'x':
        return hex(s, 2, cp);
    case 'u':
        return hex(s, 4, cp);
    case 'U':
        return hex(s, 8, cp);
    case 't':
        *cp = '\t';
        return 0;
    case 'r':
        *cp = '\r';
        return 0;
    case 'n':
        *cp = '\n';
        return 0;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^':
    case '/':
        *cp = (unsigned char)c;
        return 0;
    default:
        return fail(s, "an unknown escape; known are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\/ \\x "
                       "\\u \\U");
    }
}

static struct gbnf_item *new_item(struct parser *s, enum gbnf_kind kind)
{
    struct gbnf_item *x = arena_alloc(&s->g->arena, sizeof *x);
    x->kind = kind;
    return x;
}

static int read_text(struct parser *s, struct gbnf_item **out)
{
    struct gbnf_item *x = new_item(s, GBNF_TEXT);
    const char *close = ++s->at; /* a character has at most as many bytes as are written here */
    while (close < s->end && *close != '"')
        close += *close == '\\' && close + 1 < s->end ? 2 : 1;
    x->text.bytes = arena_alloc(&s->g->arena, (size_t)(close - s->at) + 4);
    while (peek(s) != '"') {
        uint32_t cp;
        int rc = read_char(s, &cp);
        if (rc)
            return rc;
        x->text.n += utf8_encode(cp, x->text.bytes + x->text.n);
    }
    s->at++;
    *out = x;
    return 0;
}

static int by_lo(const void *a, const void *b)
{
    const struct gbnf_range *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Sorted and merged, within lo..hi of Unicode. */
static size_t merge_ranges(struct gbnf_range *r, size_t n)
{
    size_t m = 0;
    qsort(r, n, sizeof *r, by_lo);
    for (size_t i = 0; i < n; i++) {
        if (m > 0 && r[i].lo <= r[m - 1].hi + 1)
            r[m - 1].hi = r[i].hi > r[m - 1].hi ? r[i].hi : r[m - 1].hi;
        else
            r[m++] = r[i];
    }
    return m;
}

/* Cuts the surrogates out of n sorted ranges and, for a negated class, turns them inside out;
 * there is room for n + 2. */
static size_t complete_ranges(struct gbnf_range *r, size_t n, bool negated)
{
    if (!negated) {
        /* At most one range spans the surrogates: read_char() lets none begin or end there. */
        for (size_t i = 0; i < n; i++) {
            if (r[i].lo < 0xd800 && r[i].hi > 0xdfff) {
                memmove(&r[i + 2], &r[i + 1], (n - i - 1) * sizeof *r);
                r[i + 1] = (struct gbnf_range){0xe000, r[i].hi};
                r[i].hi = 0xd7ff;
                return n + 1;
            }
        }
        return n;
    }
    size_t m = 0;
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        struct gbnf_range x = r[i];
        if (x.lo > from)
            r[m++] = (struct gbnf_range){from, x.lo - 1};
        from = x.hi + 1;
    }
    if (from <= 0x10ffff)
        r[m++] = (struct gbnf_range){from, 0x10ffff};
    return complete_ranges(r, m, false);
}

static int read_class(struct parser *s, struct gbnf_item **out)
{
    struct gbnf_item *x = new_item(s, GBNF_CLASS);
    const char *close = ++s->at;
    while (close < s->end && *close != ']')
        close += *close == '\\' && close + 1 < s->end ? 2 : 1;
    struct gbnf_range *r = arena_alloc(&s->g->arena, ((size_t)(close - s->at) + 3) * sizeof *r);
    bool negated = peek(s) == '^';
    s->at += negated;
    size_t n = 0;
    while (peek(s) != ']') {
        uint32_t lo, hi;
        int rc = read_char(s, &lo);
        hi = lo;
        if (!rc && s->end - s->at >= 2 && s->at[0] == '-' && s->at[1] != ']') {
            s->at++;
            rc = read_char(s, &hi);
        }
        if (!rc && hi < lo)
            rc = fail(s, "a range of characters that ends before it begins");
        if (rc)
            return rc;
        r[n++] = (struct gbnf_range){lo, hi};
    }
    s->at++;
    x->class.n = complete_ranges(r, merge_ranges(r, n), negated);
    x->class.at = r;
    if (x->class.n == 0)
        return fail(s, "a class without characters");
    *out = x;
    return 0;
}

/* <[12]>, <text>, !<text> */
static int read_token(struct parser *s, struct gbnf_item **out)
{
    struct gbnf_item *x = new_item(s, GBNF_TOKEN);
    x->token.other = *s->at == '!';
    s->at += x->token.other;
    const char *open = s->at;
    const char *close = open < s->end ? memchr(open, '>', (size_t)(s->end - open)) : NULL;
    if (!close || *open != '<' || close == open + 1)
        return fail(s, "a token is written <[12]> or <text>");
    s->at = close + 1;
    if (open[1] != '[') {
        x->token.text = arena_strndup(&s->g->arena, open, (size_t)(close + 1 - open));
        *out = x;
        return 0;
    }
    int64_t id = 0;
    const char *p = open + 2;
    for (; *p >= '0' && *p <= '9' && id <= INT32_MAX; p++)
        id = id * 10 + (*p - '0');
    if (p == open + 2 || *p != ']' || p + 1 != close || id > INT32_MAX)
        return fail(s, "a token's number is written <[12]>");
    x->token.id = (int32_t)id;
    *out = x;
    return 0;
}

static int read_choices(struct parser *s, bool nested, struct gbnf_choice **last);

static int read_group(struct parser *s, struct gbnf_item **out)
{
    if (++s->depth > GBNF_MAX_DEPTH)
        return err_set(s->e, ERR_FORMAT,
                       "the grammar's line %u: more than %d parentheses inside each other", s->line,
                       GBNF_MAX_DEPTH);
    s->at++;
    skip_space(s, true);
    *out = new_item(s, GBNF_GROUP);
    int rc = read_choices(s, true, &(*out)->group);
    if (rc)
        return rc;
    if (peek(s) != ')')
        return fail(s, "a parenthesis that is not closed");
    s->at++;
    s->depth--;
    return 0;
}

static int read_any(struct parser *s, struct gbnf_item **out)
{
    struct gbnf_item *x = new_item(s, GBNF_CLASS);
    x->class.at = arena_alloc(&s->g->arena, 2 * sizeof *x->class.at);
    x->class.at[0] = (struct gbnf_range){0, 0x10ffff};
    x->class.n = complete_ranges(x->class.at, 1, false);
    s->at++;
    *out = x;
    return 0;
}

static int read_rule_name(struct parser *s, struct gbnf_item **out)
{
    const char *name = s->at;
    while (is_name(peek(s)))
        s->at++;
    *out = new_item(s, GBNF_RULE);
    return find_rule(s, name, (size_t)(s->at - name), &(*out)->rule);
}

static int read_number(struct parser *s, uint32_t *v)
{
    if (!(peek(s) >= '0' && peek(s) <= '9'))
        return fail(s, "a number is missing in {m,n}");
    for (*v = 0; peek(s) >= '0' && peek(s) <= '9'; s->at++) {
        *v = *v * 10 + (uint32_t)(*s->at - '0');
        if (*v > GBNF_MAX_REPEAT)
            return err_set(s->e, ERR_FORMAT,
                           "the grammar's line %u: more than %d repetitions asked for", s->line,
                           GBNF_MAX_REPEAT);
    }
    return 0;
}

/* "{m}", "{m,}", "{m,n}" */
static int read_bounds(struct parser *s, bool nested, uint32_t *least, uint32_t *most)
{
    s->at++;
    skip_space(s, nested);
    int rc = read_number(s, least);
    *most = *least;
    skip_space(s, nested);
    if (!rc && peek(s) == ',') {
        s->at++;
        skip_space(s, nested);
        *most = GBNF_UNBOUNDED;
        if (peek(s) != '}')
            rc = read_number(s, most);
        skip_space(s, nested);
    }
    if (rc)
        return rc;
    if (peek(s) != '}' || *most < *least)
        return fail(s, "repetition is written {m}, {m,} or {m,n}, with m no larger than n");
    s->at++;
    return 0;
}

/* Wraps *x in whatever repetitions follow it. */
static int read_repeats(struct parser *s, bool nested, struct gbnf_item **x)
{
    for (;;) {
        uint32_t least = 0, most = GBNF_UNBOUNDED;
        skip_space(s, nested);
        switch (peek(s)) {
        case '*':
            s->at++;
            break;
        case '+':
            s->at++;
            least = 1;
            break;
        case '?':
            s->at++;
            most = 1;
            break;
        case '{': {
            int rc = read_bounds(s, nested, &least, &most);
            if (rc)
                return rc;
            break;
        }
        default:
            return 0;
        }
        if (++s->depth > GBNF_MAX_DEPTH)
            return fail(s, "too many repetitions of repetitions");
        struct gbnf_item *r = new_item(s, GBNF_REPEAT);
        r->repeat.item = *x;
        r->repeat.least = least;
        r->repeat.most = most;
        *x = r;
    }
}

static int read_item(struct parser *s, bool nested, struct gbnf_item **x)
{
    int rc, depth = s->depth;
    switch (*s->at) {
    case '"':
        rc = read_text(s, x);
        break;
    case '[':
        rc = read_class(s, x);
        break;
    case '(':
        rc = read_group(s, x);
        break;
    case '.':
        rc = read_any(s, x);
        break;
    case '<':
    case '!':
        rc = read_token(s, x);
        break;
    case '*':
    case '+':
    case '?':
    case '{':
        return fail(s, "nothing stands before this repetition");
    default:
        if (!is_name(*s->at))
            return fail(s, "something that is no text, class, rule or parenthesis");
        rc = read_rule_name(s, x);
    }
    if (!rc)
        rc = read_repeats(s, nested, x);
    s->depth = depth;
    return rc;
}

/* Alternatives up to a closing parenthesis, or to the end of the line. */
static int read_choices(struct parser *s, bool nested, struct gbnf_choice **last)
{
    struct gbnf_choice *c = arena_alloc(&s->g->arena, sizeof *c);
    for (;;) {
        skip_space(s, nested);
        char next = peek(s);
        if (s->at == s->end || next == ')' || next == '\n')
            break;
        if (next == '|') {
            struct gbnf_choice *more = arena_alloc(&s->g->arena, sizeof *more);
            more->prev = c;
            c = more;
            s->at++;
            skip_space(s, true);
            continue;
        }
        struct gbnf_item *x = NULL;
        int rc = read_item(s, nested, &x);
        if (rc)
            return rc;
        x->prev = c->last;
        c->last = x;
    }
    *last = c;
    return 0;
}

static int read_rule(struct parser *s)
{
    uint32_t index;
    const char *name = s->at;
    while (is_name(peek(s)))
        s->at++;
    if (s->at == name)
        return fail(s, "a rule begins with its name");
    int rc = find_rule(s, name, (size_t)(s->at - name), &index);
    if (rc)
        return rc;
    if (s->g->rules[index].last)
        return err_set(s->e, ERR_FORMAT, "the grammar's line %u: the rule \"%s\" is there twice",
                       s->line, s->g->rules[index].name);
    s->g->rules[index].line = s->line;
    skip_space(s, false);
    if (s->end - s->at < 3 || memcmp(s->at, "::=", 3) != 0)
        return fail(s, "::= is missing after a rule's name");
    s->at += 3;
    skip_space(s, true);
    struct gbnf_choice *last;
    rc = read_choices(s, false, &last);
    if (rc)
        return rc;
    if (peek(s) == ')')
        return fail(s, "a parenthesis that was never opened");
    s->g->rules[index].last = last;
    return 0;
}

static int check_defined(struct parser *s)
{
    for (uint32_t i = 0; i < s->g->n_rules; i++)
        if (!s->g->rules[i].last)
            return err_set(s->e, ERR_FORMAT,
                           "the grammar's line %u uses a rule \"%s\" that is "
                           "nowhere defined",
                           s->g->rules[i].line, s->g->rules[i].name);
    void *root = map_get_str(&s->names, "root");
    if (!root)
        return err_set(s->e, ERR_FORMAT, "the grammar has no rule \"root\", where it would begin");
    s->g->root = (uint32_t)((uintptr_t)root - 1);
    return 0;
}

int gbnf_parse(struct gbnf *g, const void *text, size_t n, struct err *e)
{
    *g = (struct gbnf){0};
    if (n > GBNF_MAX_TEXT)
        return err_set(e, ERR_FORMAT, "the grammar has %zu bytes, at most %zu are possible", n,
                       GBNF_MAX_TEXT);
    struct parser s = {.g = g, .at = text, .end = (const char *)text + n, .line = 1, .e = e};
    if (n > 0 && memchr(text, 0, n)) {
        return err_set(e, ERR_FORMAT, "the grammar holds a NUL byte");
    }
    int rc = 0;
    skip_space(&s, true);
    while (!rc && s.at < s.end) {
        rc = read_rule(&s);
        skip_space(&s, true);
    }
    if (!rc)
        rc = check_defined(&s);
    map_release(&s.names);
    if (rc)
        gbnf_release(g);
    return rc;
}

void gbnf_release(struct gbnf *g)
{
    arena_release(&g->arena);
    free(g->rules);
    *g = (struct gbnf){0};
}
