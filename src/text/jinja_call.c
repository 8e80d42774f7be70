/* jinja_call.c - calls: arguments, macros, builtins; see jinja_eval.h and jinja_builtins.h. */
#include "text/jinja_builtins.h"
#include "text/jinja_eval.h"

#include <string.h>

/* Arguments as they are written, stars unfolded. */
struct arguments {
    struct jv *v;
    struct jv_named *named;
    size_t n, cap, n_named, cap_named;
};

static void add(struct jinja_vm *vm, struct arguments *a, const char *name, struct jv v)
{
    size_t n = name ? a->n_named : a->n, *cap = name ? &a->cap_named : &a->cap;
    size_t size = name ? sizeof(*a->named) : sizeof(*a->v);
    if (n == *cap) {
        size_t more = n ? n * 2 : 8;
        void *p = jv_alloc(vm, more, size), *old = name ? (void *)a->named : (void *)a->v;
        if (!p)
            return;
        if (n)
            memcpy(p, old, n * size);
        *cap = more;
        if (name)
            a->named = p;
        else
            a->v = p;
    }
    if (name)
        a->named[a->n_named++] = (struct jv_named){name, v};
    else
        a->v[a->n++] = v;
}

static void add_dict(struct jinja_vm *vm, struct arguments *a, struct jv v)
{
    if (v.type != JV_DICT) {
        jv_fail(vm, "argument after ** must be a mapping, not %s", jv_type_name(v));
        return;
    }
    for (size_t i = 0; i < v.u.dict->n && !vm->rc; i++) {
        struct jv key = v.u.dict->v[i].key;
        char *name = key.type == JV_STR ? jv_alloc(vm, key.u.str->n + 1, 1) : NULL;
        if (!name) {
            jv_fail(vm, "keywords must be strings");
            return;
        }
        memcpy(name, key.u.str->p, key.u.str->n);
        add(vm, a, name, v.u.dict->v[i].value);
    }
}

struct jv jinja_call_node(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n,
                          struct jv f, struct jv caller)
{
    struct arguments a = {0};
    for (size_t i = 0; i < n->list.n && !vm->rc; i++) {
        const struct jinja_node *arg = n->list.v[i];
        bool plain = arg->kind != JN_KEYWORD && arg->kind != JN_STAR && arg->kind != JN_STARS;
        struct jv v = jinja_eval(vm, s, plain ? arg : arg->a), item;
        struct jv_iter it;
        if (arg->kind == JN_STARS)
            add_dict(vm, &a, v);
        else if (arg->kind != JN_STAR)
            add(vm, &a, arg->kind == JN_KEYWORD ? arg->name : NULL, v);
        else if (jv_iterate(vm, &it, v))
            while (jv_next(vm, &it, &item))
                add(vm, &a, NULL, item);
    }
    if (caller.type != JV_MISSING)
        add(vm, &a, "caller", caller);
    struct jv_call c = {.args = a.v, .n_args = a.n, .named = a.named, .n_named = a.n_named};
    vm->line = n->line;
    return vm->rc ? jv_undefined() : jinja_call(vm, f, &c);
}

struct jv jinja_call(struct jinja_vm *vm, struct jv f, struct jv_call *c)
{
    switch (f.type) {
    case JV_MACRO:
        return jinja_macro_call(vm, f, c);
    case JV_BUILTIN:
    case JV_METHOD:
        c->self = f.u.method->self;
        return jv_builtin_call(vm, f.u.method->builtin, c);
    case JV_LOOP:
        if (!f.u.loop->node->op)
            return jv_fail(vm, "only a loop marked 'recursive' can be called");
        if (c->n_args != 1 || c->n_named)
            return jv_fail(vm, "loop() takes one argument");
        return jinja_run_loop(vm, f.u.loop, c->args[0]);
    case JV_UNDEFINED:
        return jv_fail_undefined(vm, f);
    default:
        return jv_fail(vm, "'%s' object is not callable", jv_type_name(f));
    }
}

struct jv jinja_macro_new(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    struct jinja_macro *m = jv_alloc(vm, 1, sizeof(*m));
    if (!m)
        return jv_undefined();
    *m = (struct jinja_macro){n, s};
    for (; s && !s->kept; s = s->parent)
        s->kept = true;
    return (struct jv){.type = JV_MACRO, .u.macro = m};
}

/* Where the named argument is, or -1. */
static int find_named(const struct jv_call *c, const char *name)
{
    for (size_t i = 0; i < c->n_named; i++)
        if (strcmp(c->named[i].name, name) == 0)
            return (int)i;
    return -1;
}

static bool is_param(const struct jinja_node *n, const char *name)
{
    for (size_t i = 0; i < n->list.n; i++)
        if (strcmp(n->list.v[i]->name, name) == 0)
            return true;
    return false;
}

/* The interned name of one of the special variables: the body mentions it, or nobody asks. */
static void set_special(struct jinja_vm *vm, struct jinja_scope *s, const char *name, struct jv v);

/* kwargs, varargs and caller, for a body that uses them; what is left over otherwise is a fault. */
static void bind_rest(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n,
                      const struct jv_call *c)
{
    struct jv kwargs = jv_dict(vm, JV_DICT), varargs = jv_list(vm, JV_TUPLE, 0);
    struct jv caller = jv_undefined_hint(vm, "No caller defined");
    bool own_caller = is_param(n, "caller");
    for (size_t i = 0; i < c->n_named && !vm->rc; i++) {
        const char *name = c->named[i].name;
        bool is_caller = strcmp(name, "caller") == 0;
        if (is_caller && !own_caller && (n->op & JINJA_USES_CALLER))
            caller = c->named[i].v;
        else if (!is_param(n, name) && (n->op & JINJA_USES_KWARGS))
            jv_put(vm, kwargs, jv_str_lit(vm, name), c->named[i].v);
        else if (!is_param(n, name))
            jv_fail(vm, "macro '%s' takes no keyword argument '%s'", n->name ? n->name : "caller",
                    name);
    }
    for (size_t i = n->list.n; i < c->n_args && !vm->rc; i++)
        jv_push(vm, varargs, c->args[i]);
    if (c->n_args > n->list.n && !(n->op & JINJA_USES_VARARGS))
        jv_fail(vm, "macro '%s' takes not more than %zu argument(s)", n->name ? n->name : "caller",
                n->list.n);
    if ((n->op & JINJA_USES_CALLER) && !own_caller)
        set_special(vm, s, "caller", caller);
    if (n->op & JINJA_USES_KWARGS)
        set_special(vm, s, "kwargs", kwargs);
    if (n->op & JINJA_USES_VARARGS)
        set_special(vm, s, "varargs", varargs);
}

static void set_special(struct jinja_vm *vm, struct jinja_scope *s, const char *name, struct jv v)
{
    const char *interned = map_get_str(vm->names, name);
    if (interned)
        jinja_scope_set(vm, s, interned, v);
}

struct jv jinja_macro_call(struct jinja_vm *vm, struct jv macro, const struct jv_call *c)
{
    const struct jinja_node *n = macro.u.macro->node;
    struct jinja_scope *s = jinja_scope_new(vm, macro.u.macro->scope);
    for (size_t i = 0; s && i < n->list.n && !vm->rc; i++) {
        const struct jinja_node *param = n->list.v[i];
        int at = i < c->n_args ? -1 : find_named(c, param->name);
        struct jv v;
        if (i < c->n_args && c->args)
            v = c->args[i];
        else if (at >= 0 && c->named)
            v = c->named[at].v;
        else if (param->a)
            v = jinja_eval(vm, s, param->a);
        else
            v = jv_undefined_name(vm, param->name, (struct jv){.type = JV_MISSING});
        jinja_scope_set(vm, s, param->name, v);
    }
    if (!vm->rc && s)
        bind_rest(vm, s, n, c);
    return vm->rc || !s ? jv_undefined() : jinja_capture(vm, s, &n->body);
}
