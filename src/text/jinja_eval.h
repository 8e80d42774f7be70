/* jinja_eval.h - running nodes: scopes, macros, loops. Private to the interpreter. */
#ifndef LAR_TEXT_JINJA_EVAL_H
#define LAR_TEXT_JINJA_EVAL_H

#include "text/jinja_ast.h"

/* Names and their values; a name is looked up from the inside out. Assigning always happens in the
 * innermost scope. A macro keeps the scope it was written in, and sees its later values. */
struct jinja_scope {
    struct jinja_scope *parent;
    struct jinja_binding {
        const char *name; /* interned */
        struct jv v;
    } * v;
    size_t n, cap;
    bool kept; /* a macro knows it: it may not be used again for the next turn of a loop */
};

struct jinja_macro {
    const struct jinja_node *node; /* JN_MACRO or JN_CALL_BLOCK */
    struct jinja_scope *scope;
};

/* A running for loop; also what `loop` is. Items are fetched as late as jinja2 does it: the filter
 * of the loop may ask what its body has set. */
struct jinja_loop {
    const struct jinja_node *node;
    struct jinja_scope *scope; /* around it */
    struct jv_iter items;
    bool filtered;           /* items still have to pass the loop's condition */
    bool has_item, has_next; /* next: fetched already */
    struct jv before, item, next;
    size_t index0, depth;
    struct jv changed; /* the last arguments of loop.changed() */
};

enum jinja_flow { JINJA_NEXT, JINJA_BREAK, JINJA_CONTINUE };

struct jv jinja_eval(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n);
enum jinja_flow jinja_exec(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_nodes *b);
/* What the body prints, in a scope of its own. */
struct jv jinja_capture(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_nodes *b);
struct jv jinja_run_loop(struct jinja_vm *vm, const struct jinja_loop *outer, struct jv items);

struct jinja_scope *jinja_scope_new(struct jinja_vm *vm, struct jinja_scope *parent);
void jinja_scope_set(struct jinja_vm *vm, struct jinja_scope *s, const char *name, struct jv v);
const struct jv *jinja_scope_get(const struct jinja_scope *s, const char *name); /* or NULL */
/* Assigns to a name, a tuple of targets or an attribute of a namespace. */
void jinja_assign(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *target,
                  struct jv v);

struct jv jinja_macro_new(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n);
struct jv jinja_macro_call(struct jinja_vm *vm, struct jv macro, const struct jv_call *c);
/* Evaluates arguments into `c` and calls f; `caller` is JV_MISSING but for {% call %}. */
struct jv jinja_call_node(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n,
                          struct jv f, struct jv caller);

#endif
