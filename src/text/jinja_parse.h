/* jinja_parse.h - tokens become nodes. Private to the interpreter. */
#ifndef LAR_TEXT_JINJA_PARSE_H
#define LAR_TEXT_JINJA_PARSE_H

#include "text/jinja_lex.h"

#include <stdbool.h>

struct jinja;
struct jinja_node;
struct jinja_nodes;

/* Failing is sticky: the tokens then read as the end of the template. */
struct jinja_parser {
    struct jinja *t;
    const struct jinja_token *at; /* stops at JINJA_EOF */
    int depth;
    int uses;  /* JINJA_USES_* of the macro at hand */
    int loops; /* around the statement at hand */
    int rc;
    struct err *e;
};

#define JINJA_MAX_PARSE_DEPTH 200

void jinja_syntax(struct jinja_parser *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
const char *jinja_intern(struct jinja *t, const char *s, size_t n);
struct jinja_node *jinja_node(struct jinja_parser *p, int kind); /* never NULL */
void jinja_append(struct jinja_parser *p, struct jinja_nodes *list, struct jinja_node *n);
bool jinja_parse_enter(struct jinja_parser *p);

bool jinja_at_op(const struct jinja_parser *p, int op);
bool jinja_at_name(const struct jinja_parser *p, const char *name);
bool jinja_take_op(struct jinja_parser *p, int op);
bool jinja_take_name(struct jinja_parser *p, const char *name);
void jinja_expect_op(struct jinja_parser *p, int op);
const char *jinja_expect_name(struct jinja_parser *p); /* any; interned */

/* Expressions (jinja_parse_expr.c); never NULL. */
struct jinja_node *jinja_parse_expression(struct jinja_parser *p);
/* With commas a tuple. `condition`: may hold "a if b"; `stop`: a name that ends it, or NULL. */
struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool condition, const char *stop);
/* What stands left of '=' or 'in'. */
struct jinja_node *jinja_parse_target(struct jinja_parser *p, const char *stop);
/* |filter|filter... behind `input`; for a block `input` is NULL and the first bar is optional. */
struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *input,
                                       bool inline_start);

#endif
