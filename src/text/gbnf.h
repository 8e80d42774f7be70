/* gbnf.h - reads llama.cpp's grammar language into a tree, for text/grammar.c.
 *
 *     root  ::= "- " item ("\n- " item){0,9}     # text, rules, groups, repetition
 *     item  ::= [^\n"]+ | "\"" . "\""            # classes, any character, alternatives
 *     end   ::= <[2]> | <think> | !<think>       # a token by number, by text, any other
 *
 * Source: llama.cpp, grammars/README.md. A newline ends a rule, unless it stands inside
 * parentheses, after ::= or after |. Beyond it, \/ \- and \^ are escapes, and a rule may not be
 * defined twice.
 */
#ifndef LAR_TEXT_GBNF_H
#define LAR_TEXT_GBNF_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define GBNF_MAX_TEXT   ((size_t)4 << 20)
#define GBNF_MAX_RULES  65536
#define GBNF_MAX_DEPTH  128     /* parentheses */
#define GBNF_MAX_REPEAT 1000000 /* of {m,n} */
#define GBNF_UNBOUNDED  UINT32_MAX

enum gbnf_kind { GBNF_TEXT, GBNF_CLASS, GBNF_RULE, GBNF_TOKEN, GBNF_GROUP, GBNF_REPEAT };

/* Code points lo..hi. */
struct gbnf_range {
    uint32_t lo, hi;
};

/* Which token: by id, or by its text where `text` is not NULL. */
struct gbnf_token {
    int32_t id;
    const char *text;
    bool other; /* any token but this */
};

/* One element of a sequence. Lists are linked backwards, as the compiler walks them. */
struct gbnf_item {
    enum gbnf_kind kind;
    struct gbnf_item *prev; /* the one before it in its sequence */
    union {
        struct {
            char *bytes; /* UTF-8 */
            size_t n;
        } text;
        struct {
            struct gbnf_range *at; /* sorted, apart from each other, without surrogates */
            size_t n;
        } class;
        uint32_t rule;
        struct gbnf_token token;
        struct gbnf_choice *group;
        struct {
            struct gbnf_item *item;
            uint32_t least, most; /* most may be GBNF_UNBOUNDED */
        } repeat;
    };
};

/* One of several alternatives. */
struct gbnf_choice {
    struct gbnf_item *last;   /* NULL: nothing */
    struct gbnf_choice *prev; /* the alternative before it */
};

struct gbnf_rule {
    char *name;
    struct gbnf_choice *last; /* the last alternative; NULL until it is defined */
    uint32_t line;            /* where it is used first, or defined */
};

struct gbnf {
    struct arena arena; /* everything */
    struct gbnf_rule *rules;
    uint32_t n_rules;
    uint32_t root;
};

/* ERR_FORMAT names the line and what is wrong there; *g is empty then. */
int gbnf_parse(struct gbnf *g, const void *text, size_t n, struct err *e);
void gbnf_release(struct gbnf *g);

#endif
