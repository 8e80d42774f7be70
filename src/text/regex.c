/* regex.c - see regex.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_START (32 << 10)
#define STACK_MAX   (64 << 20)
#define MATCH_LIMIT 10000000 /* PCRE2's own default: steps of one match */
#define MAX_DEPTH   8        /* classes in classes */

#define SPACES "\\t-\\r\\x{85}\\p{Z}" /* White_Space; PCRE2's \s has U+180E besides */
#define WORDS  "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"

struct regex {
    pcre2_code *code;
};

/* Where the rewriting reads and writes. */
struct rewrite {
    const char *p, *end;
    struct buf out;
};

/* \p{Han} is the script alone in Oniguruma; PCRE2 adds the characters that several scripts share
 * (script extensions) unless it is written \p{sc:Han}. True if that was a script. */
static bool rewrite_script(struct rewrite *w)
{
    const char *end = memchr(w->p, '}', (size_t)(w->end - w->p));
    bool negated = w->end - w->p > 3 && w->p[3] == '^';
    const char *name = w->p + 3 + negated;
    char pattern[64];
    int code;
    PCRE2_SIZE at;
    if (!end || w->p[2] != '{' || end - name < 3 || end - name > 40)
        return false;
    snprintf(pattern, sizeof(pattern), "\\%c{%ssc:%.*s}", w->p[1], negated ? "^" : "",
             (int)(end - name), name);
    pcre2_code *script = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code,
                                       &at, NULL);
    if (!script)
        return false;
    pcre2_code_free(script);
    buf_append_str(&w->out, pattern);
    w->p = end + 1;
    return true;
}

/* An escape that means something else in PCRE2, else as it is. */
static void rewrite_escape(struct rewrite *w, bool in_class)
{
    static const struct {
        char escape;
        bool negated;
        const char *members;
    } rows[] = {
        {'s', false, SPACES}, {'S', true, SPACES},       {'w', false, WORDS},
        {'W', true, WORDS},   {'h', false, "0-9a-fA-F"}, {'H', true, "0-9a-fA-F"},
    };
    char c = w->end - w->p > 1 ? w->p[1] : '\0';
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].escape != c || (in_class && rows[i].negated))
            continue;
        buf_printf(&w->out, in_class ? "%s%s" : "[%s%s]", rows[i].negated ? "^" : "",
                   rows[i].members);
        w->p += 2;
        return;
    }
    if ((c == 'p' || c == 'P') && w->end - w->p > 4 && rewrite_script(w))
        return;
    if (c == 'u' && w->end - w->p >= 6) {
        buf_printf(&w->out, "\\x{%.4s}", w->p + 2);
        w->p += 6;
        return;
    }
    size_t n = w->end - w->p > 1 ? 2 : 1;
    buf_append(&w->out, w->p, n);
    w->p += n;
}

static bool starts(const struct rewrite *w, const char *with)
{
    size_t n = strlen(with);
    return (size_t)(w->end - w->p) >= n && memcmp(w->p, with, n) == 0;
}

/* The members of a class up to its ']'; a class inside adds its members. */
static int rewrite_members(struct rewrite *w, int depth, struct err *e)
{
    bool first = true;
    while (w->p < w->end && (*w->p != ']' || first) && !starts(w, "&&")) {
        bool posix = starts(w, "[:");
        if (*w->p == '\\') {
            rewrite_escape(w, true);
        } else if (posix || *w->p != '[') {
            const char *stop = posix ? memmem(w->p, (size_t)(w->end - w->p), ":]", 2) : NULL;
            size_t n = stop ? (size_t)(stop + 2 - w->p) : 1;
            buf_append(&w->out, w->p, n);
            w->p += n;
        } else {
            if (depth == MAX_DEPTH || starts(w, "[^"))
                return err_set(e, ERR_UNSUPPORTED,
                               "a negated or deeply nested class inside a class");
            w->p++;
            int rc = rewrite_members(w, depth + 1, e);
            if (rc)
                return rc;
            w->p += w->p < w->end;
        }
        first = false;
    }
    return 0;
}

/* A class. [A&&[^B]] becomes (?:(?![B])[A]). */
static int rewrite_class(struct rewrite *w, struct err *e)
{
    size_t begin = w->out.len;
    buf_append_char(&w->out, *w->p++);
    if (w->p < w->end && *w->p == '^')
        buf_append_char(&w->out, *w->p++);
    int rc = rewrite_members(w, 0, e);
    if (!rc && w->p == w->end)
        rc = err_set(e, ERR_FORMAT, "a class that does not end");
    if (rc || !starts(w, "&&")) {
        w->p += !rc;
        buf_append_char(&w->out, ']');
        return rc;
    }
    w->p += 2;
    bool negated = starts(w, "[^"), bare = w->p < w->end && *w->p != '[';
    if (bare || buf_failed(&w->out) || w->out.data[begin + 1] == '^')
        return err_set(e, ERR_UNSUPPORTED, "&& in a class other than as [...&&[...]]");
    char *left = mem_strndup(w->out.data + begin, w->out.len - begin);
    w->out.len = begin;
    buf_append_str(&w->out, negated ? "(?:(?![" : "(?:(?=[");
    w->p += negated ? 2 : 1;
    rc = rewrite_members(w, 1, e);
    buf_printf(&w->out, "])%s])", left);
    free(left);
    w->p += w->end - w->p < 2 ? w->end - w->p : 2; /* "]]" */
    return rc;
}

static int rewrite(struct rewrite *w, struct err *e)
{
    int rc = 0;
    while (w->p < w->end && !rc) {
        if (*w->p == '\\')
            rewrite_escape(w, false);
        else if (*w->p == '[')
            rc = rewrite_class(w, e);
        else
            buf_append_char(&w->out, *w->p++);
    }
    return rc;
}

static int compile(struct regex *r, const char *pattern, size_t n, bool literal, struct err *e)
{
    int code;
    PCRE2_SIZE at;
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF;
    options |= literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    r->code = pcre2_compile((PCRE2_SPTR)pattern, n, options, &code, &at, NULL);
    if (!r->code) {
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(code, why, sizeof(why));
        return err_set(e, ERR_FORMAT, "%s", (const char *)why);
    }
    pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* where there is no JIT it runs without */
    return 0;
}

int regex_new(struct regex **r, struct span pattern, bool literal, struct err *e)
{
    struct rewrite w = {.p = pattern.p, .end = pattern.p + pattern.n};
    struct regex made = {0};
    int rc = 0;
    *r = NULL;
    if (pattern.n > REGEX_MAX_PATTERN)
        return err_set(e, ERR_FORMAT, "a pattern has %zu bytes, more than %zu", pattern.n,
                       REGEX_MAX_PATTERN);
    buf_init(&w.out, 16 * REGEX_MAX_PATTERN);
    if (literal)
        buf_append(&w.out, pattern.p, pattern.n);
    else
        rc = rewrite(&w, e);
    if (!rc && buf_failed(&w.out))
        rc = err_set(e, ERR_FORMAT, "it is too long");
    if (!rc)
        rc = compile(&made, buf_str(&w.out), w.out.len, literal, e);
    buf_release(&w.out);
    if (rc) {
        err_prefix(e, "the pattern \"%.*s\"", (int)(pattern.n < 200 ? pattern.n : 200), pattern.p);
        return rc;
    }
    *r = mem_alloc(sizeof(**r));
    **r = made;
    return 0;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    free(r);
}

static int reserve(struct regex_scratch *s, struct err *e)
{
    if (s->match)
        return 0;
    s->match = pcre2_match_data_create(1, NULL);
    s->context = pcre2_match_context_create(NULL);
    s->stack = pcre2_jit_stack_create(STACK_START, STACK_MAX, NULL);
    if (!s->match || !s->context || !s->stack) {
        regex_scratch_release(s);
        return err_set(e, ERR_NOMEM, "not enough memory to match patterns");
    }
    pcre2_set_match_limit(s->context, MATCH_LIMIT);
    pcre2_jit_stack_assign(s->context, NULL, s->stack);
    return 0;
}

void regex_scratch_release(struct regex_scratch *s)
{
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    *s = (struct regex_scratch){0};
}

int regex_find(const struct regex *r, struct regex_scratch *s, struct span text, size_t from,
               struct regex_match *found, struct err *e)
{
    int rc = reserve(s, e);
    if (rc)
        return rc;
    rc = pcre2_match(r->code, (PCRE2_SPTR)text.p, text.n, from, 0, s->match, s->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return err_set(e, ERR_NOMEM, "not enough memory to match a pattern");
    if (rc < 0)
        return err_set(e, ERR_FORMAT,
                       "a pattern of the tokenizer takes too long on this text (PCRE2 error %d)",
                       rc);
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(s->match);
    if (place[0] > place[1]) /* \K may do that */
        return err_set(e, ERR_FORMAT, "a pattern of the tokenizer matches backwards");
    *found = (struct regex_match){place[0], place[1]};
    return 1;
}
