/* jinja_access.c - attributes, items and slices; see jinja_builtins.h.
 *
 * As in the sandboxed environment, a.name is Python's attribute first and a['name'] second, a[key]
 * the other way round: {"items": 1}.items is the method. What is found nowhere is undefined.
 */
#include "text/jinja_builtins.h"

#include "text/jinja_eval.h"

#include <string.h>

static struct jv bind(struct jinja_vm *vm, const struct jv_builtin *f, struct jv self)
{
    struct jv_method *m = jv_alloc(vm, 1, sizeof(*m));
    if (!m)
        return jv_undefined();
    *m = (struct jv_method){f, self};
    return (struct jv){.type = JV_METHOD, .u.method = m};
}

/* What would change a list or dictionary: the sandbox hides it, and says so when it is called. */
static bool changes(struct jv v, const char *name)
{
    static const char *const of_list[] = {"append", "clear",   "extend", "insert", "pop",
                                          "remove", "reverse", "sort",   NULL};
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    const char *const *names = v.type == JV_LIST ? of_list : v.type == JV_DICT ? of_dict : NULL;
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* Python's own attribute of a value; false: it has none of this name. */
static bool python_attr(struct jinja_vm *vm, struct jv a, const char *name, struct jv *v)
{
    const struct jv_builtin *table = a.type == JV_STR     ? jinja_str_methods
                                     : a.type == JV_DICT  ? jinja_dict_methods
                                     : a.type == JV_LIST  ? jinja_list_methods
                                     : a.type == JV_TUPLE ? jinja_list_methods
                                                          : NULL;
    const struct jv_builtin *f = table ? jv_builtin_find(table, name) : NULL;
    if (a.type == JV_LOOP)
        return jinja_loop_attr(vm, a, name, v);
    if (a.type == JV_NAMESPACE) {
        const struct jv *found = jv_get_name(a, name, strlen(name));
        if (found)
            *v = *found;
        return found != NULL;
    }
    if (a.type == JV_MACRO && strcmp(name, "name") == 0) {
        *v = jv_str_lit(vm, a.u.macro->node->name ? a.u.macro->node->name : "caller");
        return true;
    }
    if (changes(a, name)) {
        *v = jv_undefined_hint(vm, "a template may not change lists and dictionaries: access to a "
                                   "method that does is unsafe");
        return true;
    }
    if (f)
        *v = bind(vm, f, a);
    return f != NULL;
}

static bool index_of(struct jv key, size_t n, size_t *i)
{
    if (!jv_is_integer(key))
        return false;
    int64_t k = jv_as_int(key);
    if (k < 0)
        k += (int64_t)n;
    *i = (size_t)k;
    return k >= 0 && k < (int64_t)n;
}

/* Python's a[key]; false: there is no such item. */
static bool python_item(struct jinja_vm *vm, struct jv a, struct jv key, struct jv *v)
{
    size_t n, i;
    const struct jv *found;
    switch (a.type) {
    case JV_DICT:
        found = jv_hashable(key) ? jv_get(vm, a, key) : NULL;
        if (found)
            *v = *found;
        return found != NULL;
    case JV_LIST:
    case JV_TUPLE:
        if (!index_of(key, a.u.list->n, &i))
            return false;
        *v = a.u.list->v[i];
        return true;
    case JV_RANGE:
        if (!index_of(key, a.u.range->n, &i))
            return false;
        *v = jv_int(a.u.range->begin + (int64_t)i * a.u.range->step);
        return true;
    case JV_STR:
        if (a.u.str->n_chars == SIZE_MAX && jv_step(vm, a.u.str->n / 64))
            a.u.str->n_chars = jv_str_chars(a.u.str);
        n = a.u.str->n_chars;
        if (vm->rc || !index_of(key, n, &i))
            return false;
        *v = jv_str_cut(vm, a, i, i + 1);
        return true;
    default:
        return false;
    }
}

/* The name lives as long as the template. */
struct jv jinja_attr(struct jinja_vm *vm, struct jv a, const char *name)
{
    struct jv v;
    if (vm->rc)
        return jv_undefined();
    if (a.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, a);
    if (python_attr(vm, a, name, &v))
        return v;
    const struct jv *found = a.type == JV_DICT ? jv_get_name(a, name, strlen(name)) : NULL;
    return found ? *found : jv_undefined_name(vm, name, a);
}

struct jv jinja_item(struct jinja_vm *vm, struct jv a, struct jv key)
{
    struct jv v;
    if (vm->rc)
        return jv_undefined();
    if (a.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, a);
    if (python_item(vm, a, key, &v))
        return v;
    const char *name = "?";
    if (key.type == JV_STR) {
        char *copy = jv_alloc(vm, key.u.str->n + 1, 1);
        if (!copy)
            return jv_undefined();
        memcpy(copy, key.u.str->p, key.u.str->n);
        name = copy;
        if (memchr(copy, '\0', key.u.str->n) == NULL && python_attr(vm, a, name, &v))
            return v;
    }
    return jv_undefined_name(vm, name, a);
}

/* Python's slice.indices(): an absent bound is JV_NONE or JV_MISSING. */
static bool bound(struct jinja_vm *vm, struct jv v, int64_t n, bool down, int64_t otherwise,
                  int64_t *at)
{
    if (v.type == JV_NONE || v.type == JV_MISSING) {
        *at = otherwise;
        return true;
    }
    if (!jv_is_integer(v)) {
        jv_fail(vm, "slice indices must be integers or None");
        return false;
    }
    int64_t least = down ? -1 : 0, most = down ? n - 1 : n;
    *at = jv_as_int(v) < -n ? least : jv_as_int(v) < 0 ? jv_as_int(v) + n : jv_as_int(v);
    *at = *at < least ? least : *at > most ? most : *at;
    return true;
}

/* A slice of a range is a range. */
static struct jv slice_range(struct jinja_vm *vm, const struct jv_range *of, int64_t begin,
                             int64_t end, int64_t step)
{
    struct jv_range *r = jv_alloc(vm, 1, sizeof(*r));
    int64_t by;
    if (!r || __builtin_mul_overflow(of->step, step, &by))
        return r ? jv_fail(vm, "an integer is beyond 64 bits") : jv_undefined();
    int64_t span = step > 0 ? end - begin : begin - end, size = step > 0 ? step : -step;
    *r = (struct jv_range){.begin = of->begin + begin * of->step,
                           .end = of->begin + end * of->step,
                           .step = by,
                           .n = span > 0 ? (size_t)((span - 1) / size + 1) : 0};
    return (struct jv){.type = JV_RANGE, .u.range = r};
}

/* What a slice of text or a list picks with a step. */
static struct jv picked(struct jinja_vm *vm, struct jv a, int64_t begin, int64_t end, int64_t step)
{
    struct jv list = jv_list(vm, a.type == JV_TUPLE ? JV_TUPLE : JV_LIST, 0), item;
    for (int64_t i = begin; (step < 0 ? i > end : i < end) && jv_step(vm, 1);) {
        if (python_item(vm, a, jv_int(i), &item))
            jv_push(vm, list, item);
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    if (a.type != JV_STR || vm->rc)
        return list;
    struct jv text = jv_str_lit(vm, "");
    for (size_t i = 0; i < list.u.list->n && !vm->rc; i++)
        text = jv_str_join(vm, text, list.u.list->v[i]);
    return text;
}

static bool slice_step(struct jinja_vm *vm, struct jv v, int64_t *step)
{
    *step = 1;
    if (v.type == JV_NONE || v.type == JV_MISSING)
        return true;
    if (!jv_is_integer(v) || !jv_as_int(v) || jv_as_int(v) == INT64_MIN) {
        jv_fail(vm, "the step of a slice must be an integer other than 0");
        return false;
    }
    *step = jv_as_int(v);
    return true;
}

struct jv jinja_slice(struct jinja_vm *vm, struct jv a, const struct jv bounds[3])
{
    size_t n;
    int64_t begin, end, step;
    if (vm->rc)
        return jv_undefined();
    if (a.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, a);
    if (a.type != JV_STR && a.type != JV_LIST && a.type != JV_TUPLE && a.type != JV_RANGE)
        return jv_undefined_name(vm, "slice", a);
    jv_len(a, &n);
    if (!slice_step(vm, bounds[2], &step))
        return jv_undefined();
    bool down = step < 0;
    if (!bound(vm, bounds[0], (int64_t)n, down, down ? (int64_t)n - 1 : 0, &begin) ||
        !bound(vm, bounds[1], (int64_t)n, down, down ? -1 : (int64_t)n, &end))
        return jv_undefined();
    if (a.type == JV_STR && step == 1)
        return jv_str_cut(vm, a, (size_t)begin, (size_t)(end > begin ? end : begin));
    return a.type == JV_RANGE ? slice_range(vm, a.u.range, begin, end, step)
                              : picked(vm, a, begin, end, step);
}
