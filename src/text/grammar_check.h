/* grammar_check.h - what must hold of a grammar's rules before it can run. For text/grammar.c. */
#ifndef LAR_TEXT_GRAMMAR_CHECK_H
#define LAR_TEXT_GRAMMAR_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct gbnf;
struct gbnf_item;

/* What is known of one rule. */
struct grammar_facts {
    bool nullable;   /* may be empty */
    bool productive; /* some finite text fits it */
    bool recursive;  /* may contain itself */
};

/* Fills facts [g->n_rules]. ERR_FORMAT names a rule that begins with itself (x ::= x "a"), which
 * would call itself for ever, or that no text ever ends (x ::= "a" x). */
int grammar_check(const struct gbnf *g, struct grammar_facts *facts, struct err *e);

bool grammar_nullable(const struct gbnf_item *x, const struct grammar_facts *facts);

#endif
