/* jinja_eval.c - expressions; see jinja_eval.h. */
#include "text/jinja_eval.h"

#include "base/buf.h"
#include "text/jinja_builtins.h"
#include "text/jinja_lex.h"
#include "text/jinja_text.h"

static struct jv eval_name(struct jinja_vm *vm, const struct jinja_scope *s, const char *name)
{
    const struct jv *v = jinja_scope_get(s, name);
    if (v && v->type != JV_MISSING)
        return *v;
    const struct jv_builtin *f = v ? NULL : jv_builtin_find(jinja_globals, name);
    if (f) {
        struct jv_method *m = jv_alloc(vm, 1, sizeof(*m));
        if (!m)
            return jv_undefined();
        m->builtin = f;
        return (struct jv){.type = JV_BUILTIN, .u.method = m};
    }
    return jv_undefined_name(vm, name, (struct jv){.type = JV_MISSING});
}

static struct jv eval_list(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    struct jv list = jv_list(vm, n->kind == JN_TUPLE ? JV_TUPLE : JV_LIST, n->list.n);
    for (size_t i = 0; i < n->list.n && !vm->rc; i++)
        jv_push(vm, list, jinja_eval(vm, s, n->list.v[i]));
    return list;
}

static struct jv eval_dict(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    struct jv dict = jv_dict(vm, JV_DICT);
    for (size_t i = 0; i + 1 < n->list.n && !vm->rc; i += 2) {
        struct jv key = jinja_eval(vm, s, n->list.v[i]);
        jv_put(vm, dict, key, jinja_eval(vm, s, n->list.v[i + 1]));
    }
    return dict;
}

static bool compare(struct jinja_vm *vm, int op, struct jv a, struct jv b)
{
    if (vm->rc)
        return false;
    switch (op) {
    case JINJA_EQ:
        return jv_equal(vm, a, b);
    case JINJA_NE:
        return !jv_equal(vm, a, b);
    case JINJA_IN:
        return jinja_contains(vm, a, b);
    case JINJA_NOT_IN:
        return !jinja_contains(vm, a, b);
    case '<':
        return jv_compare(vm, a, b) < 0;
    case JINJA_LE:
        return jv_compare(vm, a, b) <= 0;
    case '>':
        return jv_compare(vm, a, b) > 0;
    default:
        return jv_compare(vm, a, b) >= 0;
    }
}

/* a < b < c compares neighbours, as Python does. */
static struct jv eval_comparison(struct jinja_vm *vm, struct jinja_scope *s,
                                 const struct jinja_node *n)
{
    struct jv left = jinja_eval(vm, s, n->a);
    for (size_t i = 0; i < n->list.n && !vm->rc; i++) {
        struct jv right = jinja_eval(vm, s, n->list.v[i]->a);
        if (!compare(vm, n->list.v[i]->op, left, right))
            return jv_bool(false);
        left = right;
    }
    return jv_bool(true);
}

static struct jv eval_concat(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    struct jv text = jv_str_lit(vm, "");
    for (size_t i = 0; i < n->list.n && !vm->rc; i++) {
        struct jv part = jv_to_str(vm, jinja_eval(vm, s, n->list.v[i]));
        text = vm->rc ? part : i ? jv_str_join(vm, text, part) : part;
    }
    if (text.type == JV_STR && text.u.str->markup) /* one part alone is not copied */
        text = jv_str_ref(vm, text.u.str->p, text.u.str->n);
    return text;
}

static struct jv eval_item(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    struct jv of = jinja_eval(vm, s, n->a);
    if (n->b->kind != JN_SLICE)
        return jinja_item(vm, of, jinja_eval(vm, s, n->b));
    struct jv bounds[3];
    const struct jinja_node *part[] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++)
        bounds[i] = part[i] ? jinja_eval(vm, s, part[i]) : jv_none();
    return jinja_slice(vm, of, bounds);
}

static struct jv eval_condition(struct jinja_vm *vm, struct jinja_scope *s,
                                const struct jinja_node *n)
{
    if (jv_truth(jinja_eval(vm, s, n->b)))
        return jinja_eval(vm, s, n->a);
    return n->c ? jinja_eval(vm, s, n->c)
                : jv_undefined_hint(vm, "the inline if-expression evaluated to false and has no "
                                        "else section");
}

static struct jv eval_filter(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    if (!n->builtin)
        return jv_fail(vm, "no %s named '%s'", n->kind == JN_TEST ? "test" : "filter", n->name);
    struct jv_method m = {n->builtin, jinja_eval(vm, s, n->a)};
    struct jv f = {.type = JV_METHOD, .u.method = &m};
    return jinja_call_node(vm, s, n, f, (struct jv){.type = JV_MISSING});
}

static struct jv eval_sum(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    struct jv a = jinja_eval(vm, s, n->a);
    return jinja_binary(vm, n->op, a, jinja_eval(vm, s, n->b));
}

static struct jv eval_plus(struct jinja_vm *vm, struct jv a)
{
    if (a.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, a);
    if (!jv_is_number(a))
        return jv_fail(vm, "bad operand type for unary +: '%s'", jv_type_name(a));
    return a.type == JV_BOOL ? jv_int(a.u.b) : a;
}

static struct jv eval_node(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    struct jv v;
    switch (n->kind) {
    case JN_CONST:
        return n->value;
    case JN_NAME:
        return eval_name(vm, s, n->name);
    case JN_TUPLE:
    case JN_LIST:
        return eval_list(vm, s, n);
    case JN_DICT:
        return eval_dict(vm, s, n);
    case JN_COND:
        return eval_condition(vm, s, n);
    case JN_OR:
        v = jinja_eval(vm, s, n->a);
        return jv_truth(v) ? v : jinja_eval(vm, s, n->b);
    case JN_AND:
        v = jinja_eval(vm, s, n->a);
        return jv_truth(v) ? jinja_eval(vm, s, n->b) : v;
    case JN_NOT:
        return jv_bool(!jv_truth(jinja_eval(vm, s, n->a)));
    case JN_COMPARE:
        return eval_comparison(vm, s, n);
    case JN_BINARY:
        return eval_sum(vm, s, n);
    case JN_CONCAT:
        return eval_concat(vm, s, n);
    case JN_NEGATE:
        return jinja_negate(vm, jinja_eval(vm, s, n->a));
    case JN_PLUS:
        return eval_plus(vm, jinja_eval(vm, s, n->a));
    case JN_ATTR:
        return jinja_attr(vm, jinja_eval(vm, s, n->a), n->name);
    case JN_ITEM:
        return eval_item(vm, s, n);
    case JN_CALL:
        return jinja_call_node(vm, s, n, jinja_eval(vm, s, n->a), (struct jv){.type = JV_MISSING});
    case JN_FILTER:
    case JN_TEST:
        return eval_filter(vm, s, n);
    default:
        return jv_fail(vm, "this cannot be evaluated");
    }
}

struct jv jinja_eval(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    if (!jv_step(vm, 1) || !jv_enter(vm))
        return jv_undefined();
    vm->line = n->line;
    struct jv v = eval_node(vm, s, n);
    jv_leave(vm);
    return vm->rc ? jv_undefined() : v;
}
