/* grammar_check.c - see grammar_check.h. */
#include "text/grammar_check.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/gbnf.h"

#include <stdlib.h>

#define MAX_PASSES 64 /* through all rules; bounds the time that entangled rules take */

static bool choice_nullable(const struct gbnf_choice *c, const struct grammar_facts *facts)
{
    for (const struct gbnf_item *x = c->last; x; x = x->prev)
        if (!grammar_nullable(x, facts))
            return false;
    return true;
}

static bool any_nullable(const struct gbnf_choice *last, const struct grammar_facts *facts)
{
    for (const struct gbnf_choice *c = last; c; c = c->prev)
        if (choice_nullable(c, facts))
            return true;
    return false;
}

bool grammar_nullable(const struct gbnf_item *x, const struct grammar_facts *facts)
{
    switch (x->kind) {
    case GBNF_TEXT:
        return x->text.n == 0;
    case GBNF_RULE:
        return facts[x->rule].nullable;
    case GBNF_GROUP:
        return any_nullable(x->group, facts);
    case GBNF_REPEAT:
        return x->repeat.least == 0 || grammar_nullable(x->repeat.item, facts);
    default:
        return false;
    }
}

static bool any_productive(const struct gbnf_choice *last, const struct grammar_facts *facts);

static bool item_productive(const struct gbnf_item *x, const struct grammar_facts *facts)
{
    switch (x->kind) {
    case GBNF_RULE:
        return facts[x->rule].productive;
    case GBNF_GROUP:
        return any_productive(x->group, facts);
    case GBNF_REPEAT:
        return x->repeat.least == 0 || item_productive(x->repeat.item, facts);
    default:
        return true;
    }
}

static bool any_productive(const struct gbnf_choice *last, const struct grammar_facts *facts)
{
    for (const struct gbnf_choice *c = last; c; c = c->prev) {
        bool all = true;
        for (const struct gbnf_item *x = c->last; x && all; x = x->prev)
            all = item_productive(x, facts);
        if (all)
            return true;
    }
    return false;
}

/* Least fixed points of both, by passes in turns from either end. */
static int find_facts(const struct gbnf *g, struct grammar_facts *facts, struct err *e)
{
    bool changed = true;
    for (int pass = 0; changed; pass++) {
        if (pass == MAX_PASSES)
            return err_set(e, ERR_FORMAT, "the grammar's rules are too entangled; simplify them");
        changed = false;
        for (uint32_t k = 0; k < g->n_rules; k++) {
            uint32_t i = pass % 2 ? k : g->n_rules - 1 - k;
            struct grammar_facts was = facts[i], *f = &facts[i];
            f->nullable = was.nullable || any_nullable(g->rules[i].last, facts);
            f->productive = was.productive || any_productive(g->rules[i].last, facts);
            changed |= f->nullable != was.nullable || f->productive != was.productive;
        }
    }
    return 0;
}

/* Which rules a rule calls; of `first` only those that it may begin with. */
struct calls {
    uint32_t *to; /* owned */
    size_t n, cap;
    size_t *begin; /* [n_rules + 1] owned */
    bool first;
    const struct grammar_facts *facts;
};

static void add_calls(struct calls *c, const struct gbnf_choice *last);

static void add_item(struct calls *c, const struct gbnf_item *x)
{
    if (x->kind == GBNF_GROUP)
        add_calls(c, x->group);
    else if (x->kind == GBNF_REPEAT && x->repeat.most > 0)
        add_item(c, x->repeat.item);
    if (x->kind != GBNF_RULE)
        return;
    if (c->n == c->cap) {
        c->cap *= 2;
        c->to = mem_realloc(c->to, c->cap * sizeof *c->to);
    }
    c->to[c->n++] = x->rule;
}

/* Lists are linked backwards: what a sequence may begin with is all after the last item that may
 * not be empty, counted from its end, so that item begins the list anew. */
static void add_calls(struct calls *c, const struct gbnf_choice *last)
{
    for (const struct gbnf_choice *choice = last; choice; choice = choice->prev) {
        size_t begin = c->n;
        for (const struct gbnf_item *x = choice->last; x; x = x->prev) {
            if (c->first && !grammar_nullable(x, c->facts))
                c->n = begin;
            add_item(c, x);
        }
    }
}

static void find_calls(struct calls *c, const struct gbnf *g, const struct grammar_facts *facts,
                       bool first)
{
    *c = (struct calls){.first = first, .facts = facts, .cap = 64};
    c->to = mem_alloc(c->cap * sizeof *c->to);
    c->begin = mem_alloc((g->n_rules + 1) * sizeof *c->begin);
    for (uint32_t i = 0; i < g->n_rules; i++) {
        add_calls(c, g->rules[i].last);
        c->begin[i + 1] = c->n;
    }
}

/* Marks every rule that lies on a circle of calls, by Tarjan's strongly connected components,
 * without recursion: rules may call each other 65536 deep. */
struct circles {
    const struct calls *c;
    uint32_t *index, *low; /* [n_rules] order of discovery from 1; 0: not yet */
    uint32_t *path;        /* the rules being visited */
    uint32_t *open;        /* Tarjan's stack */
    size_t *next;          /* [n_rules] the call to look at next */
    bool *is_open, *on_circle;
    uint32_t n_path, n_open, n_found;
};

static void enter(struct circles *s, uint32_t rule)
{
    s->index[rule] = s->low[rule] = ++s->n_found;
    s->next[rule] = s->c->begin[rule];
    s->path[s->n_path++] = rule;
    s->open[s->n_open++] = rule;
    s->is_open[rule] = true;
}

static void leave(struct circles *s, uint32_t rule)
{
    s->n_path--;
    if (s->n_path > 0) {
        uint32_t caller = s->path[s->n_path - 1];
        s->low[caller] = s->low[rule] < s->low[caller] ? s->low[rule] : s->low[caller];
    }
    if (s->low[rule] != s->index[rule])
        return;
    bool alone = s->open[s->n_open - 1] == rule;
    uint32_t x;
    do {
        x = s->open[--s->n_open];
        s->is_open[x] = false;
        s->on_circle[x] |= !alone;
    } while (x != rule);
}

static void visit(struct circles *s, uint32_t root)
{
    enter(s, root);
    while (s->n_path > 0) {
        uint32_t rule = s->path[s->n_path - 1];
        if (s->next[rule] == s->c->begin[rule + 1]) {
            leave(s, rule);
            continue;
        }
        uint32_t to = s->c->to[s->next[rule]++];
        if (!s->index[to])
            enter(s, to);
        else if (s->is_open[to] && s->index[to] < s->low[rule])
            s->low[rule] = s->index[to];
        s->on_circle[rule] |= to == rule;
    }
}

static void find_circles(const struct calls *c, uint32_t n, bool *on_circle)
{
    struct circles s = {.c = c, .on_circle = on_circle};
    s.index = mem_alloc(n * sizeof *s.index);
    s.low = mem_alloc(n * sizeof *s.low);
    s.path = mem_alloc(n * sizeof *s.path);
    s.open = mem_alloc(n * sizeof *s.open);
    s.next = mem_alloc(n * sizeof *s.next);
    s.is_open = mem_alloc(n * sizeof *s.is_open);
    for (uint32_t i = 0; i < n; i++)
        if (!s.index[i])
            visit(&s, i);
    free(s.index);
    free(s.low);
    free(s.path);
    free(s.open);
    free(s.next);
    free(s.is_open);
}

static int check_rules(const struct gbnf *g, struct grammar_facts *facts, const bool *left,
                       struct err *e)
{
    for (uint32_t i = 0; i < g->n_rules; i++) {
        if (left[i])
            return err_set(e, ERR_FORMAT,
                           "the grammar's line %u: the rule \"%s\" begins with itself; write "
                           "repetition with * or let it come last",
                           g->rules[i].line, g->rules[i].name);
        if (!facts[i].productive)
            return err_set(e, ERR_FORMAT,
                           "the grammar's line %u: the rule \"%s\" never ends; give it an "
                           "alternative without itself",
                           g->rules[i].line, g->rules[i].name);
    }
    return 0;
}

int grammar_check(const struct gbnf *g, struct grammar_facts *facts, struct err *e)
{
    int rc = find_facts(g, facts, e);
    if (rc)
        return rc;
    bool *circle = mem_alloc(g->n_rules * sizeof *circle);
    struct calls c;
    find_calls(&c, g, facts, false);
    find_circles(&c, g->n_rules, circle);
    for (uint32_t i = 0; i < g->n_rules; i++) {
        facts[i].recursive = circle[i];
        circle[i] = false;
    }
    free(c.to);
    free(c.begin);
    find_calls(&c, g, facts, true);
    find_circles(&c, g->n_rules, circle);
    free(c.to);
    free(c.begin);
    rc = check_rules(g, facts, circle, e);
    free(circle);
    return rc;
}
