/* jinja_list_filters.c - filters of many values: choosing, ordering, joining; see
 * jinja_builtins.h.
 */
#include "text/jinja_builtins.h"

#include "base/buf.h"
#include "text/jinja_text.h"

#include <stdlib.h>
#include <string.h>

/* item.a.b.0, as the attribute arguments of filters name it: a dotted text or an index. */
static struct jv attribute(struct jinja_vm *vm, struct jv item, struct jv path)
{
    if (path.type == JV_INT)
        return jinja_item(vm, item, path);
    if (path.type != JV_STR)
        return jv_fail(vm, "an attribute must be a name or a number");
    const char *p = path.u.str->p, *end = p + path.u.str->n;
    while (!vm->rc) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        const char *stop = dot ? dot : end;
        struct jv key = jv_str_ref(vm, p, (size_t)(stop - p));
        bool digits = stop > p && stop - p < 10 && strspn(p, "0123456789") >= (size_t)(stop - p);
        item = jinja_item(vm, item, digits ? jv_int(strtol(p, NULL, 10)) : key);
        if (!dot)
            break;
        p = dot + 1;
    }
    return item;
}

/* What an item is compared by: its attribute, in lower case unless told otherwise. */
static struct jv sort_key(struct jinja_vm *vm, struct jv item, struct jv attr, bool exact)
{
    if (attr.type != JV_MISSING && attr.type != JV_NONE)
        item = attribute(vm, item, attr);
    return item.type == JV_STR && !exact ? jinja_case(vm, item, false) : item;
}

static struct jv keyed_list(struct jinja_vm *vm, struct jv_call *c, struct jv attr, bool exact,
                            struct jv_pair **pairs)
{
    struct jv list = jv_list_of(vm, c->self);
    *pairs = vm->rc ? NULL : jv_alloc(vm, list.u.list->n + 1, sizeof(**pairs));
    for (size_t i = 0; !vm->rc && i < list.u.list->n; i++)
        (*pairs)[i] = (struct jv_pair){sort_key(vm, list.u.list->v[i], attr, exact),
                                       list.u.list->v[i]};
    return list;
}

static struct jv filter_sort(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv_pair *pairs;
    struct jv list = keyed_list(vm, c, c->a[2], jv_truth(c->a[1]), &pairs);
    if (vm->rc || !pairs)
        return list;
    jv_sort(vm, pairs, list.u.list->n, jv_truth(c->a[0]));
    for (size_t i = 0; i < list.u.list->n; i++)
        list.u.list->v[i] = pairs[i].value;
    return list;
}

static struct jv filter_dictsort(struct jinja_vm *vm, struct jv_call *c)
{
    bool exact = jv_truth(c->a[0]), by_value = jv_str_is(c->a[1], "value");
    if (c->self.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, c->self);
    if (c->self.type != JV_DICT)
        return jv_fail(vm, "'%s' object has no items to sort", jv_type_name(c->self));
    const struct jv_dict *d = c->self.u.dict;
    struct jv_pair *pairs = jv_alloc(vm, d->n + 1, sizeof(*pairs));
    struct jv list = jv_list(vm, JV_LIST, d->n);
    for (size_t i = 0; pairs && i < d->n && !vm->rc; i++) {
        struct jv none = {.type = JV_MISSING};
        pairs[i].key = sort_key(vm, by_value ? d->v[i].value : d->v[i].key, none, exact);
        pairs[i].value = jv_pair(vm, d->v[i].key, d->v[i].value);
    }
    if (vm->rc || !pairs)
        return list;
    jv_sort(vm, pairs, d->n, jv_truth(c->a[2]));
    for (size_t i = 0; i < d->n; i++)
        jv_push(vm, list, pairs[i].value);
    return list;
}

static struct jv filter_unique(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv_pair *pairs;
    struct jv list = keyed_list(vm, c, c->a[1], jv_truth(c->a[0]), &pairs);
    struct jv seen = jv_dict(vm, JV_DICT), kept = jv_list(vm, JV_LIST, 0);
    for (size_t i = 0; !vm->rc && i < list.u.list->n; i++)
        if (!jv_get(vm, seen, pairs[i].key)) {
            jv_put(vm, seen, pairs[i].key, jv_none());
            jv_push(vm, kept, pairs[i].value);
        }
    return jv_generator(vm, kept);
}

static struct jv extreme(struct jinja_vm *vm, struct jv_call *c, int sign)
{
    struct jv_pair *pairs;
    struct jv list = keyed_list(vm, c, c->a[1], jv_truth(c->a[0]), &pairs);
    if (vm->rc)
        return list;
    if (!list.u.list->n)
        return jv_undefined_hint(vm, "No aggregated item, sequence was empty.");
    size_t best = 0;
    for (size_t i = 1; i < list.u.list->n && !vm->rc; i++)
        if (jv_compare(vm, pairs[i].key, pairs[best].key) * sign > 0)
            best = i;
    return list.u.list->v[best];
}

static struct jv filter_min(struct jinja_vm *vm, struct jv_call *c)
{
    return extreme(vm, c, -1);
}

static struct jv filter_max(struct jinja_vm *vm, struct jv_call *c)
{
    return extreme(vm, c, 1);
}

static struct jv filter_sum(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv_iter it;
    struct jv item, sum = c->a[1].type == JV_MISSING ? jv_int(0) : c->a[1];
    if (jv_iterate(vm, &it, c->self))
        while (jv_next(vm, &it, &item)) {
            if (c->a[0].type != JV_MISSING && c->a[0].type != JV_NONE)
                item = attribute(vm, item, c->a[0]);
            sum = jinja_binary(vm, '+', sum, item);
        }
    return sum;
}

static struct jv filter_first(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv_iter it;
    struct jv item;
    if (jv_iterate(vm, &it, c->self) && jv_next(vm, &it, &item))
        return item;
    return jv_undefined_hint(vm, "No first item, sequence was empty.");
}

static struct jv filter_last(struct jinja_vm *vm, struct jv_call *c)
{
    if (c->self.type == JV_ITER)
        return jv_fail(vm, "'generator' object is not reversible");
    struct jv list = jv_list_of(vm, c->self);
    if (vm->rc || !list.u.list->n)
        return jv_undefined_hint(vm, "No last item, sequence was empty.");
    return list.u.list->v[list.u.list->n - 1];
}

static struct jv filter_list(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_list_of(vm, c->self);
}

static struct jv filter_reverse(struct jinja_vm *vm, struct jv_call *c)
{
    if (c->self.type == JV_STR) {
        struct jv bounds[] = {jv_none(), jv_none(), jv_int(-1)};
        return jinja_slice(vm, c->self, bounds);
    }
    struct jv list = jv_list_of(vm, c->self), back = jv_list(vm, JV_LIST, 0);
    for (size_t i = vm->rc ? 0 : list.u.list->n; i > 0; i--)
        jv_push(vm, back, list.u.list->v[i - 1]);
    return jv_generator(vm, back);
}

static struct jv filter_items(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv list = jv_list(vm, JV_LIST, 0);
    if (c->self.type != JV_DICT && c->self.type != JV_UNDEFINED)
        return jv_fail(vm, "Can only get item pairs from a mapping.");
    for (size_t i = 0; c->self.type == JV_DICT && i < c->self.u.dict->n && !vm->rc; i++)
        jv_push(vm, list, jv_pair(vm, c->self.u.dict->v[i].key, c->self.u.dict->v[i].value));
    return jv_generator(vm, list);
}

static struct jv filter_join(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv_iter it;
    struct jv item;
    struct buf b;
    bool first = true;
    if (!jv_iterate(vm, &it, c->self))
        return jv_undefined();
    jv_buf_init(vm, &b);
    for (; jv_next(vm, &it, &item); first = false) {
        if (!first && c->a[0].type != JV_MISSING)
            jv_put_str(vm, &b, c->a[0]);
        if (c->a[1].type != JV_MISSING && c->a[1].type != JV_NONE)
            item = attribute(vm, item, c->a[1]);
        jv_put_str(vm, &b, item);
    }
    return jv_str_take(vm, &b);
}

/* The filter or test that the first argument names, with the other arguments. */
static bool named_builtin(struct jinja_vm *vm, struct jv_call *c, size_t at, bool test,
                          struct jv_call *inner, const struct jv_builtin **f)
{
    char name[64];
    struct jv v = c->args[at];
    if (v.type != JV_STR || v.u.str->n >= sizeof name) {
        jv_fail(vm, "the name of a %s is expected", test ? "test" : "filter");
        return false;
    }
    memcpy(name, v.u.str->p, v.u.str->n);
    name[v.u.str->n] = '\0';
    *f = test ? jv_builtin_find(jinja_tests, name) : jinja_filter_find(name);
    if (!*f)
        jv_fail(vm, "no %s named '%s'", test ? "test" : "filter", name);
    *inner = (struct jv_call){.args = c->args + at + 1,
                              .n_args = c->n_args - at - 1,
                              .named = c->named,
                              .n_named = c->n_named};
    return *f != NULL;
}

/* map(attribute='x', default=y). */
static struct jv map_attribute(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv attr = {.type = JV_MISSING}, otherwise = attr, item;
    struct jv list = jv_list(vm, JV_LIST, 0);
    struct jv_iter it;
    for (size_t i = 0; i < c->n_named; i++)
        if (strcmp(c->named[i].name, "attribute") == 0)
            attr = c->named[i].v;
        else if (strcmp(c->named[i].name, "default") == 0)
            otherwise = c->named[i].v;
        else
            return jv_fail(vm, "Unexpected keyword argument '%s'", c->named[i].name);
    if (attr.type == JV_MISSING)
        return jv_fail(vm, "map requires a filter argument");
    if (jv_iterate(vm, &it, c->self))
        while (jv_next(vm, &it, &item)) {
            item = attribute(vm, item, attr);
            if (item.type == JV_UNDEFINED && otherwise.type != JV_MISSING)
                item = otherwise;
            jv_push(vm, list, item);
        }
    return jv_generator(vm, list);
}

static struct jv filter_map(struct jinja_vm *vm, struct jv_call *c)
{
    const struct jv_builtin *f;
    struct jv_call inner;
    struct jv_iter it;
    struct jv item, list = jv_list(vm, JV_LIST, 0);
    if (!jv_truth(c->self)) /* none passes as empty, and the arguments are not looked at */
        return jv_generator(vm, list);
    if (!c->n_args)
        return map_attribute(vm, c);
    if (named_builtin(vm, c, 0, false, &inner, &f) && jv_iterate(vm, &it, c->self))
        while (jv_next(vm, &it, &item)) {
            inner.self = item;
            jv_push(vm, list, jv_builtin_call(vm, f, &inner));
        }
    return jv_generator(vm, list);
}

/* select, reject, selectattr, rejectattr: items whose value, or attribute, passes a test or is
 * true (or not). */
static struct jv choose(struct jinja_vm *vm, struct jv_call *c, bool by_attribute, bool want)
{
    const struct jv_builtin *f = NULL;
    struct jv_call inner;
    struct jv_iter it;
    struct jv item, list = jv_list(vm, JV_LIST, 0);
    size_t at = by_attribute ? 1 : 0;
    if (!jv_truth(c->self)) /* none passes as empty, and the arguments are not looked at */
        return jv_generator(vm, list);
    if (by_attribute && !c->n_args)
        return jv_fail(vm, "Missing parameter for attribute name");
    if (c->n_args > at && !named_builtin(vm, c, at, true, &inner, &f))
        return jv_undefined();
    if (jv_iterate(vm, &it, c->self))
        while (jv_next(vm, &it, &item)) {
            struct jv v = by_attribute ? attribute(vm, item, c->args[0]) : item;
            if (f) {
                inner.self = v;
                v = jv_builtin_call(vm, f, &inner);
            }
            if (jv_truth(v) == want)
                jv_push(vm, list, item);
        }
    return jv_generator(vm, list);
}

static struct jv filter_select(struct jinja_vm *vm, struct jv_call *c)
{
    return choose(vm, c, false, true);
}

static struct jv filter_reject(struct jinja_vm *vm, struct jv_call *c)
{
    return choose(vm, c, false, false);
}

static struct jv filter_selectattr(struct jinja_vm *vm, struct jv_call *c)
{
    return choose(vm, c, true, true);
}

static struct jv filter_rejectattr(struct jinja_vm *vm, struct jv_call *c)
{
    return choose(vm, c, true, false);
}

static struct jv filter_batch(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv_iter it;
    struct jv item, list = jv_list(vm, JV_LIST, 0), part = {0};
    if (!jv_is_integer(c->a[0]) || jv_as_int(c->a[0]) < 1)
        return jv_fail(vm, "batch() wants a number above 0");
    size_t n = (size_t)jv_as_int(c->a[0]);
    if (!jv_iterate(vm, &it, c->self))
        return jv_undefined();
    while (jv_next(vm, &it, &item)) {
        if (part.type == JV_MISSING || part.u.list->n == n) {
            part = jv_list(vm, JV_LIST, 0);
            jv_push(vm, list, part);
        }
        jv_push(vm, part, item);
    }
    while (part.type != JV_MISSING && c->a[1].type != JV_MISSING && c->a[1].type != JV_NONE &&
           part.u.list->n < n && jv_step(vm, 1))
        jv_push(vm, part, c->a[1]);
    return jv_generator(vm, list);
}

/* A list of (key, items) in order of the keys. */
static struct jv filter_groupby(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv_pair *pairs;
    struct jv list = keyed_list(vm, c, c->a[0], jv_truth(c->a[2]), &pairs);
    struct jv groups = jv_list(vm, JV_LIST, 0), items = {0};
    if (vm->rc || !pairs)
        return list;
    jv_sort(vm, pairs, list.u.list->n, false);
    for (size_t i = 0; i < list.u.list->n && !vm->rc; i++) {
        if (!i || !jv_equal(vm, pairs[i].key, pairs[i - 1].key)) {
            items = jv_list(vm, JV_LIST, 0);
            jv_push(vm, groups, jv_pair(vm, attribute(vm, pairs[i].value, c->a[0]), items));
        }
        jv_push(vm, items, pairs[i].value);
    }
    return groups;
}

const struct jv_builtin jinja_list_filters[] = {
    {"batch", "linecount fill_with?", filter_batch},
    {"dictsort", "case_sensitive? by? reverse?", filter_dictsort},
    {"first", "", filter_first},
    {"groupby", "attribute default? case_sensitive?", filter_groupby},
    {"items", "", filter_items},
    {"join", "d? attribute?", filter_join},
    {"last", "", filter_last},
    {"list", "", filter_list},
    {"map", "*", filter_map},
    {"max", "case_sensitive? attribute?", filter_max},
    {"min", "case_sensitive? attribute?", filter_min},
    {"reject", "*", filter_reject},
    {"rejectattr", "*", filter_rejectattr},
    {"reverse", "", filter_reverse},
    {"select", "*", filter_select},
    {"selectattr", "*", filter_selectattr},
    {"sort", "reverse? case_sensitive? attribute?", filter_sort},
    {"sum", "attribute? start?", filter_sum},
    {"unique", "case_sensitive? attribute?", filter_unique},
    {NULL, NULL, NULL}};
