/* prompt.c - see prompt.h. */
#include "text/prompt.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUND      1.1
#define SQUARE     (1 / 1.1)
#define MAX_WEIGHT 1e6 /* products of larger ones would become infinite */

struct stack {
    size_t part[PROMPT_MAX_DEPTH]; /* the first part inside each open bracket */
    size_t n;
};

struct parser {
    struct prompt *p;
    size_t used; /* bytes of p->text */
    struct stack round, square;
    const char *at, *end;
    struct err *e;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* \w of a Python regular expression, every character beyond ASCII taken for a letter. */
static bool is_word(char c)
{
    return c == '_' || is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c & 0x80);
}

static void add(struct parser *s, const char *text, size_t len)
{
    memcpy(s->p->text + s->used, text, len);
    s->p->parts[s->p->n++] = (struct prompt_part){s->used, len, 1, false};
    s->used += len;
}

/* "BREAK" as a word of its own at s, where the text begins at `begin`. */
static bool at_break(const char *s, const char *begin, const char *end)
{
    return end - s >= 5 && memcmp(s, "BREAK", 5) == 0 && (s == begin || !is_word(s[-1])) &&
           (s + 5 == end || !is_word(s[5]));
}

/* Text without brackets: its parts between the breaks, which take the blanks around them along. */
static void add_text(struct parser *s, const char *begin, const char *end)
{
    const char *part = begin;
    for (const char *p = begin; p < end; p++) {
        if (!at_break(p, begin, end))
            continue;
        const char *stop = p;
        while (stop > part && is_space(stop[-1]))
            stop--;
        add(s, part, (size_t)(stop - part));
        s->p->parts[s->p->n++] = (struct prompt_part){.is_break = true};
        for (part = p + 5; part < end && is_space(*part); part++)
            continue;
        p = part - 1;
    }
    add(s, part, (size_t)(end - part));
}

/* Reads ":\s*([+-]?[.\d]+)\s*\)" at s; returns its end or NULL. Locale-independent: the only
 * characters are digits and one point. */
static const char *read_weight(const char *s, const char *end, double *weight)
{
    double value = 0, unit = 1;
    bool minus = false, point = false, digits = false;
    for (s++; s < end && is_space(*s); s++)
        continue;
    if (s < end && (*s == '+' || *s == '-'))
        minus = *s++ == '-';
    for (; s < end && (is_digit(*s) || (*s == '.' && !point)); s++) {
        if (*s == '.') {
            point = true;
            continue;
        }
        digits = true;
        value = value * 10 + (*s - '0');
        unit *= point ? 10 : 1;
    }
    for (; s < end && is_space(*s); s++)
        continue;
    if (!digits || s >= end || *s != ')' || !(value / unit <= MAX_WEIGHT))
        return NULL;
    *weight = minus ? -value / unit : value / unit;
    return s + 1;
}

static int push(struct parser *s, struct stack *stack)
{
    if (stack->n == PROMPT_MAX_DEPTH)
        return err_set(s->e, ERR_ARG,
                       "the prompt has more than %d open brackets; write \\( or \\[ for a bracket "
                       "that is text",
                       PROMPT_MAX_DEPTH);
    stack->part[stack->n++] = s->p->n;
    return 0;
}

static void pop(struct parser *s, struct stack *stack, double weight)
{
    for (size_t i = stack->part[--stack->n]; i < s->p->n; i++) {
        double *w = &s->p->parts[i].weight;
        *w = fmax(-MAX_WEIGHT, fmin(*w * weight, MAX_WEIGHT));
    }
}

/* One match of the reference's expression. */
static int step(struct parser *s)
{
    const char *begin = s->at, *stop = NULL;
    double weight;
    s->at++;
    switch (*begin) {
    case '\\':
        if (s->at < s->end && strchr("()[]\\", *s->at) && *s->at)
            s->at++;
        add(s, begin + 1, (size_t)(s->at - begin - 1));
        return 0;
    case '(':
        return push(s, &s->round);
    case '[':
        return push(s, &s->square);
    case ':':
        stop = read_weight(begin, s->end, &weight);
        if (stop)
            s->at = stop;
        if (stop && s->round.n) {
            pop(s, &s->round, weight);
            return 0;
        }
        break;
    case ')':
        if (s->round.n) {
            pop(s, &s->round, ROUND);
            return 0;
        }
        break;
    case ']':
        if (s->square.n) {
            pop(s, &s->square, SQUARE);
            return 0;
        }
        break;
    default:
        while (s->at < s->end && (!*s->at || !strchr("\\()[]:", *s->at)))
            s->at++;
    }
    add_text(s, begin, s->at);
    return 0;
}

/* Joins neighbours of one weight: a word must not be cut where a bracket changed nothing. */
static void merge(struct prompt *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct prompt_part *last = n ? &p->parts[n - 1] : NULL, *x = &p->parts[i];
        if (last && !last->is_break && !x->is_break && last->weight == x->weight)
            last->len += x->len;
        else
            p->parts[n++] = *x;
    }
    p->n = n;
}

int prompt_parse(struct prompt *p, const char *text, size_t len, struct err *e)
{
    struct parser s = {.p = p, .at = text, .end = text + len, .e = e};
    int rc = 0;
    /* Each byte makes at most one part, but for "a BREAK": three of at least five. */
    *p = (struct prompt){.text = mem_try_array(len + 1, 1, "a prompt", e)};
    p->parts = p->text ? mem_try_array(len + 1, sizeof(*p->parts), "a prompt", e) : NULL;
    if (!p->parts)
        rc = ERR_NOMEM;
    while (!rc && s.at < s.end)
        rc = step(&s);
    while (!rc && s.round.n)
        pop(&s, &s.round, ROUND);
    while (!rc && s.square.n)
        pop(&s, &s.square, SQUARE);
    if (rc)
        prompt_release(p);
    else
        merge(p);
    return rc;
}

void prompt_release(struct prompt *p)
{
    free(p->text);
    free(p->parts);
    *p = (struct prompt){0};
}
