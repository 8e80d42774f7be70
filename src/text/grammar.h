/* grammar.h - what a text may look like: a context-free grammar as a machine over bytes.
 *
 * A grammar is a graph of nodes. From GBNF (text/gbnf.h) or a JSON Schema (text/json_schema.h):
 *
 *     item ::= "a" [0-9]{1,3}      bytes a ─► loop 1..3 (body: bytes 0-9 ─► end) ─► end
 *
 * Calls of rules and loops need a stack, whose frames text/grammar_machine.h keeps; repetition is
 * counted there, so that x{0,10000} takes no more nodes than x*. Characters beyond ASCII are
 * several bytes long nodes, so that a token may end anywhere within them.
 */
#ifndef LAR_TEXT_GRAMMAR_H
#define LAR_TEXT_GRAMMAR_H

#include "text/gbnf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define GRAMMAR_MAX_NODES ((size_t)4 << 20)
#define GRAMMAR_LONG_LOOP 64 /* turns: longer loops count as endless for `solid` */

enum grammar_kind {
    GRAMMAR_BYTES, /* reads one byte: edges[a .. a + b) */
    GRAMMAR_TOKEN, /* reads one whole token: tokens[a], then node b */
    GRAMMAR_SPLIT, /* node a or node b */
    GRAMMAR_CALL,  /* rule a, then node b */
    GRAMMAR_LOOP,  /* loop a */
    GRAMMAR_END    /* of a rule or of a loop's body */
};

struct grammar_node {
    enum grammar_kind kind;
    uint32_t a, b;
};

struct grammar_edge {
    uint8_t lo, hi; /* bytes */
    uint32_t to;    /* node */
};

struct grammar_loop {
    uint32_t body, next;  /* nodes */
    uint32_t least, most; /* times; most may be GBNF_UNBOUNDED */
};

struct grammar_rule {
    uint32_t entry; /* node */
    bool solid;     /* recursive or with an endless loop: what may come inside is the same wherever
                       it is called from, so it is worth remembering by itself */
};

/* Read-only once made: any thread may use it. */
struct grammar {
    struct grammar_node *nodes; /* owned, as the rest; node 0 is GRAMMAR_END */
    struct grammar_edge *edges;
    struct grammar_loop *loops;
    struct grammar_rule *rules;
    struct gbnf_token *tokens; /* with texts of their own */
    size_t n_nodes, n_edges, n_loops, n_rules, n_tokens;
    size_t cap_nodes, cap_edges, cap_loops, cap_tokens;
    uint32_t root;
    uint8_t classes[256]; /* bytes that every edge treats alike have one class */
    uint32_t n_classes;
};

/* ERR_FORMAT names line or rule: malformed, left-recursive, without end, or too large. */
int grammar_from_gbnf(struct grammar **g, const void *text, size_t n, struct err *e);
void grammar_free(struct grammar *g);

#endif
