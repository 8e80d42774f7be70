/* grammar.c - see grammar.h. */
#include "text/grammar.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/grammar_check.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct compiler {
    struct grammar *g;
    const struct grammar_facts *facts;
    bool full; /* GRAMMAR_MAX_NODES are there: what is added now is lost */
};

/* Room for one more element of `size` bytes; returns where it lies. */
static void *push(void *array, size_t *n, size_t *cap, size_t size)
{
    if (*n == *cap) {
        *cap = *cap ? 2 * *cap : 64;
        array = mem_realloc(array, *cap * size);
    }
    ++*n;
    return array;
}

static uint32_t add_node(struct compiler *c, enum grammar_kind kind, uint32_t a, uint32_t b)
{
    struct grammar *g = c->g;
    if (g->n_nodes >= GRAMMAR_MAX_NODES || g->n_edges >= GRAMMAR_MAX_NODES) {
        c->full = true;
        return 0;
    }
    g->nodes = push(g->nodes, &g->n_nodes, &g->cap_nodes, sizeof *g->nodes);
    g->nodes[g->n_nodes - 1] = (struct grammar_node){kind, a, b};
    return (uint32_t)g->n_nodes - 1;
}

static void add_edge(struct compiler *c, unsigned lo, unsigned hi, uint32_t to)
{
    struct grammar *g = c->g;
    g->edges = push(g->edges, &g->n_edges, &g->cap_edges, sizeof *g->edges);
    g->edges[g->n_edges - 1] = (struct grammar_edge){(uint8_t)lo, (uint8_t)hi, to};
}

static uint32_t add_byte(struct compiler *c, unsigned byte, uint32_t next)
{
    uint32_t node = add_node(c, GRAMMAR_BYTES, (uint32_t)c->g->n_edges, 1);
    if (!c->full)
        add_edge(c, byte, byte, next);
    return node;
}

/* A class, turned from ranges of code points into ranges of bytes. */
struct class
{
    struct compiler *c;
    const struct gbnf_range *at;
    size_t n;
    uint32_t next;
    uint32_t floor; /* the first character of this length of encoding */
    uint32_t
        any[3]; /* the node that reads 1, 2 or 3 continuation bytes, whichever; NONE: not made */
};

static uint32_t any_tail(struct class *x, int bytes)
{
    if (bytes == 0)
        return x->next;
    if (x->any[bytes - 1] == NONE) {
        uint32_t rest = any_tail(x, bytes - 1);
        x->any[bytes - 1] = add_node(x->c, GRAMMAR_BYTES, (uint32_t)x->c->g->n_edges, 1);
        if (!x->c->full)
            add_edge(x->c, 0x80, 0xbf, rest);
    }
    return x->any[bytes - 1];
}

/* How much of lo..hi is in the class: all (1), nothing (0) or some (-1). What is below the floor
 * does not count: it has shorter encodings. */
static int covered(const struct class *x, uint32_t lo, uint32_t hi)
{
    uint32_t from = lo < x->floor ? x->floor : lo;
    size_t begin = 0, end = x->n; /* the first range that ends at `from` or later */
    while (begin < end) {
        size_t mid = begin + (end - begin) / 2;
        if (x->at[mid].hi < from)
            begin = mid + 1;
        else
            end = mid;
    }
    if (begin == x->n || x->at[begin].lo > hi || from > hi)
        return 0;
    return x->at[begin].lo <= lo && hi <= x->at[begin].hi && lo == from ? 1 : -1;
}

/* Where the bytes of a class's characters lead to from one of their places. */
struct fork {
    struct grammar_edge edges[256];
    size_t n;
};

static void add_way(struct fork *f, unsigned byte, uint32_t to)
{
    if (f->n > 0 && f->edges[f->n - 1].to == to && f->edges[f->n - 1].hi + 1U == byte)
        f->edges[f->n - 1].hi = (uint8_t)byte;
    else
        f->edges[f->n++] = (struct grammar_edge){(uint8_t)byte, (uint8_t)byte, to};
}

static uint32_t add_fork(struct compiler *c, const struct fork *f)
{
    uint32_t node = add_node(c, GRAMMAR_BYTES, (uint32_t)c->g->n_edges, (uint32_t)f->n);
    for (size_t i = 0; i < f->n && !c->full; i++)
        add_edge(c, f->edges[i].lo, f->edges[i].hi, f->edges[i].to);
    return node;
}

/* The node that reads the last `bytes` bytes of the characters from `lo` on, as many as these bytes
 * can tell apart. */
static uint32_t tail(struct class *x, uint32_t lo, int bytes)
{
    uint32_t span = 1U << (6 * (bytes - 1)); /* characters for each value of this byte */
    struct fork f;
    f.n = 0;
    for (unsigned i = 0; i < 64; i++) {
        uint32_t from = lo + i * span;
        int part = covered(x, from, from + span - 1);
        if (part != 0)
            add_way(&f, 0x80 + i, part > 0 ? any_tail(x, bytes - 1) : tail(x, from, bytes - 1));
    }
    return add_fork(x->c, &f);
}

static uint32_t compile_class(struct compiler *c, const struct gbnf_range *at, size_t n,
                              uint32_t next)
{
    /* The leading bytes of characters of 2 to 4 bytes, and the first character of each kind. */
    static const struct {
        unsigned from, to;
        int tail;
        uint32_t floor;
    } leads[] = {{0xc2, 0xdf, 1, 0x80}, {0xe0, 0xef, 2, 0x800}, {0xf0, 0xf4, 3, 0x10000}};
    struct class x = {c, at, n, next, 0, {NONE, NONE, NONE}};
    struct fork f;
    f.n = 0;
    for (unsigned i = 0; i < 0x80; i++)
        if (covered(&x, i, i))
            add_way(&f, i, next);
    for (size_t k = 0; k < 3; k++) {
        uint32_t span = 1U << (6 * leads[k].tail);
        x.floor = leads[k].floor;
        for (unsigned byte = leads[k].from; byte <= leads[k].to; byte++) {
            uint32_t lo = (byte & (0x3fU >> leads[k].tail)) * span;
            int part = covered(&x, lo, lo + span - 1);
            if (part != 0)
                add_way(&f, byte,
                        part > 0 ? any_tail(&x, leads[k].tail) : tail(&x, lo, leads[k].tail));
        }
    }
    return add_fork(c, &f);
}

static uint32_t compile_choices(struct compiler *c, const struct gbnf_choice *last, uint32_t next);

static uint32_t compile_item(struct compiler *c, const struct gbnf_item *x, uint32_t next);

static uint32_t compile_repeat(struct compiler *c, const struct gbnf_item *x, uint32_t next)
{
    struct grammar *g = c->g;
    uint32_t least = x->repeat.least, most = x->repeat.most;
    if (most == 0)
        return next;
    if (most == 1 && least == 1)
        return compile_item(c, x->repeat.item, next);
    if (most == 1)
        return add_node(c, GRAMMAR_SPLIT, compile_item(c, x->repeat.item, next), next);
    /* Empty turns count nothing at run time, and none is needed where one may be empty. */
    if (grammar_nullable(x->repeat.item, c->facts))
        least = 0;
    uint32_t body = compile_item(c, x->repeat.item, 0);
    g->loops = push(g->loops, &g->n_loops, &g->cap_loops, sizeof *g->loops);
    g->loops[g->n_loops - 1] = (struct grammar_loop){body, next, least, most};
    return add_node(c, GRAMMAR_LOOP, (uint32_t)g->n_loops - 1, 0);
}

static uint32_t compile_token(struct compiler *c, const struct gbnf_token *t, uint32_t next)
{
    struct grammar *g = c->g;
    g->tokens = push(g->tokens, &g->n_tokens, &g->cap_tokens, sizeof *g->tokens);
    g->tokens[g->n_tokens - 1] = *t;
    g->tokens[g->n_tokens - 1].text = mem_strdup(t->text);
    return add_node(c, GRAMMAR_TOKEN, (uint32_t)g->n_tokens - 1, next);
}

static uint32_t compile_item(struct compiler *c, const struct gbnf_item *x, uint32_t next)
{
    switch (x->kind) {
    case GBNF_TEXT:
        for (size_t i = x->text.n; i-- > 0;)
            next = add_byte(c, (unsigned char)x->text.bytes[i], next);
        return next;
    case GBNF_CLASS:
        return compile_class(c, x->class.at, x->class.n, next);
    case GBNF_RULE:
        return add_node(c, GRAMMAR_CALL, x->rule, next);
    case GBNF_TOKEN:
        return compile_token(c, &x->token, next);
    case GBNF_GROUP:
        return compile_choices(c, x->group, next);
    default:
        return compile_repeat(c, x, next);
    }
}

static uint32_t compile_choices(struct compiler *c, const struct gbnf_choice *last, uint32_t next)
{
    uint32_t all = NONE;
    for (const struct gbnf_choice *choice = last; choice; choice = choice->prev) {
        uint32_t node = next;
        for (const struct gbnf_item *x = choice->last; x; x = x->prev)
            node = compile_item(c, x, node);
        all = all == NONE ? node : add_node(c, GRAMMAR_SPLIT, node, all);
    }
    return all;
}

static bool has_endless_loop(const struct gbnf_choice *last);

static bool item_endless(const struct gbnf_item *x)
{
    if (x->kind == GBNF_GROUP)
        return has_endless_loop(x->group);
    return x->kind == GBNF_REPEAT &&
           (x->repeat.most > GRAMMAR_LONG_LOOP || item_endless(x->repeat.item));
}

static bool has_endless_loop(const struct gbnf_choice *last)
{
    for (const struct gbnf_choice *c = last; c; c = c->prev)
        for (const struct gbnf_item *x = c->last; x; x = x->prev)
            if (item_endless(x))
                return true;
    return false;
}

/* Bytes between the same borders of edges are alike. */
static void find_classes(struct grammar *g)
{
    bool border[257] = {false};
    for (size_t i = 0; i < g->n_edges; i++)
        border[g->edges[i].lo] = border[g->edges[i].hi + 1] = true;
    uint32_t class = 0;
    for (unsigned i = 0; i < 256; i++) {
        class += i > 0 && border[i];
        g->classes[i] = (uint8_t) class;
    }
    g->n_classes = class + 1;
}

static int compile(struct grammar *g, const struct gbnf *source, struct err *e)
{
    struct grammar_facts *facts = mem_alloc(source->n_rules * sizeof *facts);
    struct compiler c = {.g = g, .facts = facts};
    int rc = grammar_check(source, facts, e);
    if (rc)
        goto done;
    g->n_rules = source->n_rules;
    g->rules = mem_alloc(g->n_rules * sizeof *g->rules);
    g->root = source->root;
    add_node(&c, GRAMMAR_END, 0, 0);
    for (uint32_t i = 0; i < source->n_rules; i++) {
        const struct gbnf_choice *last = source->rules[i].last;
        g->rules[i].entry = compile_choices(&c, last, 0);
        g->rules[i].solid = facts[i].recursive || has_endless_loop(last);
    }
    find_classes(g);
    if (c.full)
        rc = err_set(e, ERR_FORMAT, "the grammar needs more than %zu nodes; make it smaller",
                     GRAMMAR_MAX_NODES);
done:
    free(facts);
    return rc;
}

int grammar_from_gbnf(struct grammar **g, const void *text, size_t n, struct err *e)
{
    struct gbnf source;
    *g = NULL;
    int rc = gbnf_parse(&source, text, n, e);
    if (rc)
        return rc;
    struct grammar *x = mem_alloc(sizeof *x);
    rc = compile(x, &source, e);
    gbnf_release(&source);
    if (rc) {
        grammar_free(x);
        return rc;
    }
    *g = x;
    return 0;
}

void grammar_free(struct grammar *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_tokens; i++)
        free((char *)g->tokens[i].text);
    free(g->nodes);
    free(g->edges);
    free(g->loops);
    free(g->rules);
    free(g->tokens);
    free(g);
}
