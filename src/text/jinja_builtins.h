/* jinja_builtins.h - the tables of functions that templates may call. Private to the interpreter.
 */
#ifndef LAR_TEXT_JINJA_BUILTINS_H
#define LAR_TEXT_JINJA_BUILTINS_H

#include "text/jinja_value.h"

extern const struct jv_builtin jinja_filters[];      /* jinja_filters.c */
extern const struct jv_builtin jinja_list_filters[]; /* jinja_list_filters.c */
extern const struct jv_builtin jinja_tests[];        /* jinja_tests.c */
extern const struct jv_builtin jinja_globals[];      /* jinja_globals.c */
extern const struct jv_builtin jinja_str_methods[];  /* jinja_str_methods.c */
extern const struct jv_builtin jinja_dict_methods[]; /* jinja_methods.c; lists and tuples too */
extern const struct jv_builtin jinja_list_methods[];

const struct jv_builtin *jinja_filter_find(const char *name); /* NULL: unknown */

/* a.name, a[b] and a[begin:end:step] with Python's and Jinja's rules (jinja_access.c). */
struct jv jinja_attr(struct jinja_vm *vm, struct jv a, const char *name);
struct jv jinja_item(struct jinja_vm *vm, struct jv a, struct jv key);
struct jv jinja_slice(struct jinja_vm *vm, struct jv a, const struct jv bounds[3]);

/* a op b, -a (jinja_operators.c); op is a character or a JINJA_* operator. */
struct jv jinja_binary(struct jinja_vm *vm, int op, struct jv a, struct jv b);
struct jv jinja_negate(struct jinja_vm *vm, struct jv a);
bool jinja_contains(struct jinja_vm *vm, struct jv item, struct jv in);

/* "..." % args and "...".format(args) (jinja_format.c). */
struct jv jinja_percent(struct jinja_vm *vm, struct jv format, struct jv args);
struct jv jinja_format(struct jinja_vm *vm, struct jv format, const struct jv_call *c);

/* Calls whatever can be called (jinja_call.c). */
struct jv jinja_call(struct jinja_vm *vm, struct jv f, struct jv_call *c);
/* An attribute of `loop` (jinja_exec.c); false when it has none of this name. */
bool jinja_loop_attr(struct jinja_vm *vm, struct jv loop, const char *name, struct jv *v);

/* The length of the white space at p, at most n bytes, as str.isspace() knows it; 0: none. */
size_t jinja_space(const char *p, size_t n);
/* s without leading (1), trailing (2) or both (3) characters of `chars`, or white space. */
struct jv jinja_strip(struct jinja_vm *vm, struct jv s, struct jv chars, int ends);
struct jv jinja_replace(struct jinja_vm *vm, struct jv s, const struct jv from_to[2], int64_t most);
/* Upper (1) or lower (0) case of every letter. */
struct jv jinja_case(struct jinja_vm *vm, struct jv s, bool upper);
struct jv jinja_title(struct jinja_vm *vm, struct jv s, bool words);

#endif
