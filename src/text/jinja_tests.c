/* jinja_tests.c - what may stand behind `is`; see jinja_builtins.h. */
#include "text/jinja_builtins.h"

#include "text/jinja_text.h"

#include <string.h>

static struct jv test_defined(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type != JV_UNDEFINED);
}

static struct jv test_undefined(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_UNDEFINED);
}

static struct jv test_none(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_NONE);
}

static struct jv test_boolean(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_BOOL);
}

static struct jv test_true(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_BOOL && c->self.u.b);
}

static struct jv test_false(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_BOOL && !c->self.u.b);
}

static struct jv test_integer(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_INT);
}

static struct jv test_float(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_FLOAT);
}

static struct jv test_number(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(jv_is_number(c->self));
}

static struct jv test_string(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_STR);
}

static struct jv test_mapping(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_DICT);
}

/* What has a length and takes an index. Undefined has a length, and fails when it is indexed. */
static struct jv test_sequence(struct jinja_vm *vm, struct jv_call *c)
{
    size_t n;
    (void)vm;
    return jv_bool(jv_len(c->self, &n) && c->self.type != JV_VIEW);
}

static struct jv test_iterable(struct jinja_vm *vm, struct jv_call *c)
{
    size_t n;
    (void)vm;
    return jv_bool(c->self.type == JV_ITER || c->self.type == JV_LOOP || jv_len(c->self, &n));
}

static struct jv test_callable(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    /* An undefined value has a __call__, which fails. */
    return jv_bool(c->self.type >= JV_LOOP || c->self.type == JV_UNDEFINED);
}

static struct jv test_odd(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv r = jinja_binary(vm, '%', c->self, jv_int(2));
    return jv_bool(jv_equal(vm, r, jv_int(1)));
}

static struct jv test_even(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv r = jinja_binary(vm, '%', c->self, jv_int(2));
    return jv_bool(jv_equal(vm, r, jv_int(0)));
}

static struct jv test_divisibleby(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv r = jinja_binary(vm, '%', c->self, c->a[0]);
    return jv_bool(jv_equal(vm, r, jv_int(0)));
}

static struct jv cased(struct jinja_vm *vm, struct jv v, bool upper)
{
    struct jv s = jv_to_str(vm, v);
    if (vm->rc)
        return s;
    struct jv same = jinja_case(vm, s, upper), other = jinja_case(vm, s, !upper);
    return jv_bool(jv_equal(vm, s, same) && !jv_equal(vm, s, other));
}

static struct jv test_lower(struct jinja_vm *vm, struct jv_call *c)
{
    return cased(vm, c->self, false);
}

static struct jv test_upper(struct jinja_vm *vm, struct jv_call *c)
{
    return cased(vm, c->self, true);
}

static struct jv test_escaped(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(c->self.type == JV_STR && c->self.u.str->markup);
}

/* `is`: small things are the same when they are equal, others when they are one object. */
static struct jv test_sameas(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv a = c->self, b = c->a[0];
    if (a.type != b.type)
        return jv_bool(false);
    return jv_bool(a.type == JV_LIST || a.type == JV_DICT ? a.u.list == b.u.list
                                                          : jv_equal(vm, a, b));
}

static struct jv test_in(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_bool(jinja_contains(vm, c->self, c->a[0]));
}

static struct jv test_eq(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_bool(jv_equal(vm, c->self, c->a[0]));
}

static struct jv test_ne(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_bool(!jv_equal(vm, c->self, c->a[0]));
}

static struct jv test_gt(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_bool(jv_compare(vm, c->self, c->a[0]) > 0);
}

static struct jv test_ge(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_bool(jv_compare(vm, c->self, c->a[0]) >= 0);
}

static struct jv test_lt(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_bool(jv_compare(vm, c->self, c->a[0]) < 0);
}

static struct jv test_le(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_bool(jv_compare(vm, c->self, c->a[0]) <= 0);
}

static bool known(const struct jv_builtin *list, struct jv name)
{
    for (; list->name; list++)
        if (jv_str_is(name, list->name))
            return true;
    return false;
}

static struct jv test_filter(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(known(jinja_filters, c->self) || known(jinja_list_filters, c->self));
}

static struct jv test_test(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return jv_bool(known(jinja_tests, c->self));
}

const struct jv_builtin jinja_tests[] = {{"!=", "b", test_ne},
                                         {"<", "b", test_lt},
                                         {"<=", "b", test_le},
                                         {"==", "b", test_eq},
                                         {">", "b", test_gt},
                                         {">=", "b", test_ge},
                                         {"boolean", "", test_boolean},
                                         {"callable", "", test_callable},
                                         {"defined", "", test_defined},
                                         {"divisibleby", "num", test_divisibleby},
                                         {"eq", "b", test_eq},
                                         {"equalto", "b", test_eq},
                                         {"escaped", "", test_escaped},
                                         {"even", "", test_even},
                                         {"false", "", test_false},
                                         {"filter", "", test_filter},
                                         {"float", "", test_float},
                                         {"ge", "b", test_ge},
                                         {"greaterthan", "b", test_gt},
                                         {"gt", "b", test_gt},
                                         {"in", "seq", test_in},
                                         {"integer", "", test_integer},
                                         {"iterable", "", test_iterable},
                                         {"le", "b", test_le},
                                         {"lessthan", "b", test_lt},
                                         {"lower", "", test_lower},
                                         {"lt", "b", test_lt},
                                         {"mapping", "", test_mapping},
                                         {"ne", "b", test_ne},
                                         {"none", "", test_none},
                                         {"number", "", test_number},
                                         {"odd", "", test_odd},
                                         {"sameas", "other", test_sameas},
                                         {"sequence", "", test_sequence},
                                         {"string", "", test_string},
                                         {"test", "", test_test},
                                         {"true", "", test_true},
                                         {"undefined", "", test_undefined},
                                         {"upper", "", test_upper},
                                         {NULL, NULL, NULL}};
