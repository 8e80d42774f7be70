/* jinja_text.h - values as text, and compared: Python's str(), repr(), json.dumps(), == and <.
 * Private to the interpreter.
 */
#ifndef LAR_TEXT_JINJA_TEXT_H
#define LAR_TEXT_JINJA_TEXT_H

#include "text/jinja_value.h"

struct jv_json_style {
    bool ascii;              /* \u escapes for all beyond ASCII */
    bool sort_keys;          /* by code point */
    int indent;              /* -1: all on one line */
    const char *indent_text; /* instead of `indent` spaces, or NULL */
    size_t indent_text_n;
    const char *item_separator, *key_separator;
    size_t item_separator_n, key_separator_n;
};

void jv_put_str(struct jinja_vm *vm, struct buf *out, struct jv v);
void jv_put_repr(struct jinja_vm *vm, struct buf *out, struct jv v);
void jv_put_float(struct buf *out, double f); /* the shortest digits that read back the same */
void jv_put_json(struct jinja_vm *vm, struct buf *out, struct jv v, const struct jv_json_style *s);
struct jv jv_to_str(struct jinja_vm *vm, struct jv v); /* str(v); a string stays as it is */
/* A string with & < > " ' escaped, as markup; markup stays as it is. */
struct jv jv_escape(struct jinja_vm *vm, struct jv v);

bool jv_equal(struct jinja_vm *vm, struct jv a, struct jv b);
/* Negative, 0 or positive; values that have no order are a fault. */
int jv_compare(struct jinja_vm *vm, struct jv a, struct jv b);
/* qsort() for values: stable. `key` of each value is compared; folds case where asked. */
void jv_sort(struct jinja_vm *vm, struct jv_pair *v, size_t n, bool reverse);

#endif
