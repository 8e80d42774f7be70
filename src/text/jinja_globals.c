/* jinja_globals.c - the functions every template knows; see jinja_builtins.h. */
#include "text/jinja_builtins.h"

#include "base/buf.h"
#include "base/err.h"
#include "text/jinja_text.h"

#include <string.h>
#include <time.h>

#define MAX_RANGE 100000 /* the sandbox's */

static struct jv raise_exception(struct jinja_vm *vm, struct jv_call *c)
{
    struct buf b;
    if (vm->rc)
        return jv_undefined();
    jv_buf_init(vm, &b);
    jv_put_str(vm, &b, c->a[0]);
    if (!vm->rc)
        vm->rc = err_set(vm->e, ERR_ARG, "chat template, line %d: %s", vm->line, buf_str(&b));
    buf_release(&b);
    return jv_undefined();
}

static struct jv strftime_now(struct jinja_vm *vm, struct jv_call *c)
{
    char format[128], text[512];
    if (c->a[0].type != JV_STR || c->a[0].u.str->n >= sizeof format)
        return jv_fail(vm, "strftime_now() wants a short format");
    memcpy(format, c->a[0].u.str->p, c->a[0].u.str->n);
    format[c->a[0].u.str->n] = '\0';
    size_t n = strftime(text, sizeof text, format, vm->now);
    return jv_str(vm, text, n);
}

static struct jv global_range(struct jinja_vm *vm, struct jv_call *c)
{
    int64_t v[3] = {0, 0, 1};
    if (c->n_args < 1 || c->n_args > 3 || c->n_named)
        return jv_fail(vm, "range() takes 1 to 3 numbers");
    for (size_t i = 0; i < c->n_args; i++) {
        if (!jv_is_integer(c->args[i]))
            return jv_fail(vm, "'%s' object cannot be interpreted as an integer",
                           jv_type_name(c->args[i]));
        v[c->n_args == 1 ? 1 : i] = jv_as_int(c->args[i]);
    }
    if (!v[2])
        return jv_fail(vm, "range() arg 3 must not be zero");
    struct jv_range *r = jv_alloc(vm, 1, sizeof(*r));
    if (!r)
        return jv_undefined();
    uint64_t span = v[2] > 0 ? (v[1] > v[0] ? (uint64_t)v[1] - (uint64_t)v[0] : 0)
                             : (v[0] > v[1] ? (uint64_t)v[0] - (uint64_t)v[1] : 0);
    uint64_t step = v[2] > 0 ? (uint64_t)v[2] : 0 - (uint64_t)v[2];
    uint64_t n = span / step + (span % step != 0);
    if (n > MAX_RANGE)
        return jv_fail(vm, "Range too big. The sandbox blocks ranges larger than %d.", MAX_RANGE);
    *r = (struct jv_range){v[0], v[1], v[2], (size_t)n};
    return (struct jv){.type = JV_RANGE, .u.range = r};
}

/* A mapping or pairs, then names. */
static struct jv fill(struct jinja_vm *vm, struct jv_call *c, struct jv dict)
{
    struct jv_iter it;
    struct jv item;
    if (c->n_args > 1)
        return jv_fail(vm, "expected at most 1 argument, got %zu", c->n_args);
    if (c->n_args && jv_iterate(vm, &it, c->args[0]))
        while (jv_next(vm, &it, &item)) {
            const struct jv *v = c->args[0].type == JV_DICT ? jv_get(vm, c->args[0], item) : NULL;
            struct jv pair = v || vm->rc ? item : jv_list_of(vm, item);
            if (v)
                jv_put(vm, dict, item, *v);
            else if (!vm->rc && pair.u.list->n == 2)
                jv_put(vm, dict, pair.u.list->v[0], pair.u.list->v[1]);
            else
                jv_fail(vm, "pairs are expected");
        }
    for (size_t i = 0; i < c->n_named && !vm->rc; i++)
        jv_put(vm, dict, jv_str_lit(vm, c->named[i].name), c->named[i].v);
    return dict;
}

static struct jv global_dict(struct jinja_vm *vm, struct jv_call *c)
{
    return fill(vm, c, jv_dict(vm, JV_DICT));
}

static struct jv global_namespace(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv ns = fill(vm, c, jv_dict(vm, JV_NAMESPACE));
    for (size_t i = 0; !vm->rc && i < ns.u.dict->n; i++)
        if (ns.u.dict->v[i].key.type == JV_STR && ns.u.dict->v[i].key.u.str->n &&
            ns.u.dict->v[i].key.u.str->p[0] == '_')
            return jv_fail(vm, "a namespace takes no attribute that begins with an underscore");
    return ns;
}

/* Templates ask whether it is defined, to tell jinja2 from its imitations. */
static struct jv global_lipsum(struct jinja_vm *vm, struct jv_call *c)
{
    (void)c;
    return jv_fail(vm, "lipsum() has no text to offer");
}

const struct jv_builtin jinja_globals[] = {{"dict", "*", global_dict},
                                           {"lipsum", "*", global_lipsum},
                                           {"namespace", "*", global_namespace},
                                           {"raise_exception", "message", raise_exception},
                                           {"range", "*", global_range},
                                           {"strftime_now", "format", strftime_now},
                                           {NULL, NULL, NULL}};
