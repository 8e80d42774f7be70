/* jinja_methods.c - the methods of dict, list and tuple that change nothing; see
 * jinja_builtins.h.
 */
#include "text/jinja_builtins.h"

#include "text/jinja_text.h"

#include <string.h>

static struct jv dict_get(struct jinja_vm *vm, struct jv_call *c)
{
    if (!jv_hashable(c->a[0]))
        return jv_fail(vm, "unhashable type: '%s'", jv_type_name(c->a[0]));
    const struct jv *v = jv_get(vm, c->self, c->a[0]);
    return v ? *v : c->a[1].type == JV_MISSING ? jv_none() : c->a[1];
}

static struct jv new_view(struct jinja_vm *vm, const char *name, size_t n)
{
    struct jv view = jv_list(vm, JV_VIEW, n);
    if (view.type == JV_VIEW)
        view.u.list->view = name;
    return view;
}

static struct jv dict_items(struct jinja_vm *vm, struct jv_call *c)
{
    const struct jv_dict *d = c->self.u.dict;
    struct jv view = new_view(vm, "dict_items", d->n);
    for (size_t i = 0; i < d->n && !vm->rc; i++)
        jv_push(vm, view, jv_pair(vm, d->v[i].key, d->v[i].value));
    return view;
}

static struct jv dict_keys(struct jinja_vm *vm, struct jv_call *c)
{
    const struct jv_dict *d = c->self.u.dict;
    struct jv view = new_view(vm, "dict_keys", d->n);
    for (size_t i = 0; i < d->n && !vm->rc; i++)
        jv_push(vm, view, d->v[i].key);
    return view;
}

static struct jv dict_values(struct jinja_vm *vm, struct jv_call *c)
{
    const struct jv_dict *d = c->self.u.dict;
    struct jv view = new_view(vm, "dict_values", d->n);
    for (size_t i = 0; i < d->n && !vm->rc; i++)
        jv_push(vm, view, d->v[i].value);
    return view;
}

static struct jv dict_copy(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv copy = jv_dict(vm, JV_DICT);
    for (size_t i = 0; i < c->self.u.dict->n && !vm->rc; i++)
        jv_put(vm, copy, c->self.u.dict->v[i].key, c->self.u.dict->v[i].value);
    return copy;
}

static struct jv list_count(struct jinja_vm *vm, struct jv_call *c)
{
    int64_t n = 0;
    for (size_t i = 0; i < c->self.u.list->n && !vm->rc; i++)
        n += jv_equal(vm, c->self.u.list->v[i], c->a[0]);
    return jv_int(n);
}

static struct jv list_index(struct jinja_vm *vm, struct jv_call *c)
{
    for (size_t i = 0; i < c->self.u.list->n && !vm->rc; i++)
        if (jv_equal(vm, c->self.u.list->v[i], c->a[0]))
            return jv_int((int64_t)i);
    return jv_fail(vm, "the value is not in the list");
}

static struct jv list_copy(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_list_of(vm, c->self);
}

const struct jv_builtin jinja_dict_methods[] = {
    {"copy", "", dict_copy}, {"get", "key default?", dict_get}, {"items", "", dict_items},
    {"keys", "", dict_keys}, {"values", "", dict_values},       {NULL, NULL, NULL}};

const struct jv_builtin jinja_list_methods[] = {{"copy", "", list_copy},
                                                {"count", "value", list_count},
                                                {"index", "value", list_index},
                                                {NULL, NULL, NULL}};
