/* jinja_value.c - see jinja_value.h. */
#include "text/jinja_value.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/utf8.h"
#include "text/jinja_text.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct jv jv_fail(struct jinja_vm *vm, const char *fmt, ...)
{
    if (vm->rc)
        return jv_undefined();
    va_list args;
    va_start(args, fmt);
    vm->rc = err_vset(vm->e, ERR_FORMAT, fmt, args);
    va_end(args);
    err_prefix(vm->e, "chat template, line %d", vm->line);
    return jv_undefined();
}

struct jv jv_fail_undefined(struct jinja_vm *vm, struct jv v)
{
    const struct jv_undefined *u = v.u.undefined;
    if (!u)
        return jv_fail(vm, "an undefined value is used");
    if (u->hint)
        return jv_fail(vm, "%s", u->hint);
    if (u->of.type == JV_MISSING)
        return jv_fail(vm, "'%s' is undefined", u->name);
    return jv_fail(vm, "'%s object' has no attribute '%s'", jv_type_name(u->of), u->name);
}

bool jv_step(struct jinja_vm *vm, size_t n)
{
    if (vm->rc)
        return false;
    if (n >= (size_t)INT64_MAX || (vm->steps_left -= (int64_t)n) < 0) {
        vm->steps_left = 0;
        jv_fail(vm, "rendering takes too many steps; does the template loop for ever?");
        return false;
    }
    return true;
}

bool jv_enter(struct jinja_vm *vm)
{
    if (vm->rc)
        return false;
    if (vm->depth >= JINJA_MAX_DEPTH) {
        jv_fail(vm, "nested too deeply (%d levels)", JINJA_MAX_DEPTH);
        return false;
    }
    vm->depth++;
    return true;
}

void jv_leave(struct jinja_vm *vm)
{
    vm->depth--;
}

void *jv_alloc(struct jinja_vm *vm, size_t n, size_t size)
{
    size_t bytes;
    if (vm->rc)
        return NULL;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes + 16 > vm->heap_left) {
        jv_fail(vm, "rendering takes too much memory");
        return NULL;
    }
    vm->heap_left -= bytes + 16;
    if (bytes <= 4096)
        return arena_alloc(&vm->heap, bytes);
    void *p = arena_try_array(&vm->heap, n, size, "a chat template's values", vm->e);
    if (!p)
        vm->rc = ERR_NOMEM;
    return p;
}

/* Undefined */

static struct jv undefined_with(struct jinja_vm *vm, struct jv_undefined what)
{
    struct jv_undefined *u = jv_alloc(vm, 1, sizeof(*u));
    if (u)
        *u = what;
    return (struct jv){.type = JV_UNDEFINED, .u.undefined = u};
}

struct jv jv_undefined_name(struct jinja_vm *vm, const char *name, struct jv of)
{
    return undefined_with(vm, (struct jv_undefined){.name = name, .of = of});
}

struct jv jv_undefined_hint(struct jinja_vm *vm, const char *hint)
{
    return undefined_with(vm, (struct jv_undefined){.hint = hint});
}

/* Strings */

struct jv jv_str_ref(struct jinja_vm *vm, const char *p, size_t n)
{
    struct jv_str *s = jv_alloc(vm, 1, sizeof(*s));
    if (!s)
        return jv_undefined();
    *s = (struct jv_str){.p = p, .n = n, .n_chars = SIZE_MAX};
    return (struct jv){.type = JV_STR, .u.str = s};
}

struct jv jv_str_lit(struct jinja_vm *vm, const char *s)
{
    return jv_str_ref(vm, s, strlen(s));
}

/* n bytes with room to grow behind them. */
static char *new_text(struct jinja_vm *vm, size_t n)
{
    size_t room = n < 64 ? 0 : n;
    char *p = jv_alloc(vm, n + room + 1, 1);
    if (p && room) {
        vm->tail = p + n;
        vm->tail_end = p + n + room;
    }
    return p;
}

struct jv jv_str(struct jinja_vm *vm, const char *p, size_t n)
{
    char *copy = jv_alloc(vm, n + 1, 1);
    if (!copy)
        return jv_undefined();
    if (n)
        memcpy(copy, p, n);
    return jv_str_ref(vm, copy, n);
}

void jv_buf_init(struct jinja_vm *vm, struct buf *b)
{
    buf_init(b, vm->heap_left / 2);
}

void jv_buf_repeat(struct buf *b, const char *p, size_t n, int64_t times)
{
    char block[512];
    size_t per = n && n < sizeof block ? sizeof block / n : 0;
    if (times <= 0 || !n)
        return;
    if ((uint64_t)times > (b->max - b->len) / n) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < per; i++)
        memcpy(block + i * n, p, n);
    for (; per && times >= (int64_t)per; times -= (int64_t)per)
        buf_append(b, block, per * n);
    for (; times; times--)
        buf_append(b, p, n);
}

struct jv jv_str_take(struct jinja_vm *vm, struct buf *b)
{
    struct jv v = buf_failed(b) ? jv_fail(vm, "rendering takes too much memory")
                                : jv_str(vm, buf_str(b), b->len);
    buf_release(b);
    return v;
}

/* Appending to the newest string writes behind it: a template that collects text character by
 * character would otherwise copy it all each time. */
struct jv jv_str_join(struct jinja_vm *vm, struct jv a, struct jv b)
{
    size_t n = a.u.str->n + b.u.str->n;
    if (!jv_step(vm, b.u.str->n / 64))
        return jv_undefined();
    bool fits = a.u.str->n && a.u.str->p + a.u.str->n == vm->tail &&
                b.u.str->n <= (size_t)(vm->tail_end - vm->tail);
    if (!fits && !jv_step(vm, a.u.str->n / 64))
        return jv_undefined();
    char *p = fits ? vm->tail - a.u.str->n : new_text(vm, n);
    if (!p)
        return jv_undefined();
    if (fits)
        vm->tail += b.u.str->n;
    else if (a.u.str->n)
        memcpy(p, a.u.str->p, a.u.str->n);
    if (b.u.str->n)
        memcpy(p + a.u.str->n, b.u.str->p, b.u.str->n);
    struct jv v = jv_str_ref(vm, p, n);
    if (v.type == JV_STR && a.u.str->n_chars != SIZE_MAX && b.u.str->n_chars != SIZE_MAX)
        v.u.str->n_chars = a.u.str->n_chars + b.u.str->n_chars;
    return v;
}

bool jv_str_is(struct jv v, const char *s)
{
    return v.type == JV_STR && v.u.str->n == strlen(s) && memcmp(v.u.str->p, s, v.u.str->n) == 0;
}

static size_t count_chars(const char *p, size_t n)
{
    size_t chars = 0;
    for (size_t i = 0; i < n; i++)
        chars += ((unsigned char)p[i] & 0xc0) != 0x80;
    return chars;
}

size_t jv_str_chars(const struct jv_str *s)
{
    return s->n_chars != SIZE_MAX ? s->n_chars : count_chars(s->p, s->n);
}

struct jv jv_str_cut(struct jinja_vm *vm, struct jv s, size_t begin, size_t end)
{
    struct jv_str *t = s.u.str;
    if (t->n_chars == SIZE_MAX) {
        if (!jv_step(vm, t->n / 64))
            return jv_undefined();
        t->n_chars = count_chars(t->p, t->n);
    }
    size_t b = begin, e = end;
    if (t->n_chars != t->n) { /* not ASCII alone: walk */
        if (!jv_step(vm, end / 64))
            return jv_undefined();
        size_t i = 0, chars = 0;
        for (b = e = t->n; i < t->n; i++) {
            if (((unsigned char)t->p[i] & 0xc0) == 0x80)
                continue;
            if (chars == begin)
                b = i;
            if (chars++ == end) {
                e = i;
                break;
            }
        }
        if (b > e)
            b = e;
    }
    struct jv v = jv_str_ref(vm, t->p + b, e - b);
    if (v.type == JV_STR) {
        v.u.str->n_chars = end - begin;
        v.u.str->markup = t->markup;
    }
    return v;
}

/* Lists */

/* Doubles what an array holds; the old one stays in the arena. */
static bool grow(struct jinja_vm *vm, void *array, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return true;
    size_t more = *cap ? *cap * 2 : 4;
    void **old = array, *p = jv_alloc(vm, more, size);
    if (!p)
        return false;
    if (n)
        memcpy(p, *old, n * size);
    *old = p;
    *cap = more;
    return true;
}

struct jv jv_list(struct jinja_vm *vm, enum jv_type type, size_t cap)
{
    struct jv_list *l = jv_alloc(vm, 1, sizeof(*l));
    if (!l)
        return jv_undefined();
    if (cap)
        l->v = jv_alloc(vm, cap, sizeof(*l->v));
    l->cap = l->v ? cap : 0;
    return (struct jv){.type = type, .u.list = l};
}

void jv_push(struct jinja_vm *vm, struct jv list, struct jv v)
{
    if (vm->rc)
        return;
    struct jv_list *l = list.u.list;
    if (grow(vm, &l->v, &l->cap, l->n, sizeof(*l->v)))
        l->v[l->n++] = v;
}

struct jv jv_pair(struct jinja_vm *vm, struct jv a, struct jv b)
{
    struct jv t = jv_list(vm, JV_TUPLE, 2);
    jv_push(vm, t, a);
    jv_push(vm, t, b);
    return t;
}

struct jv jv_list_of(struct jinja_vm *vm, struct jv iterable)
{
    struct jv_iter it;
    struct jv item, list = jv_list(vm, JV_LIST, 0);
    if (jv_iterate(vm, &it, iterable))
        while (jv_next(vm, &it, &item))
            jv_push(vm, list, item);
    return list;
}

struct jv jv_generator(struct jinja_vm *vm, struct jv list)
{
    struct jv_iter *it = jv_alloc(vm, 1, sizeof(*it));
    if (!it)
        return jv_undefined();
    it->of = list;
    return (struct jv){.type = JV_ITER, .u.iter = it};
}

/* Dictionaries */

struct jv jv_dict(struct jinja_vm *vm, enum jv_type type)
{
    struct jv_dict *d = jv_alloc(vm, 1, sizeof(*d));
    if (!d)
        return jv_undefined();
    return (struct jv){.type = type, .u.dict = d};
}

const struct jv *jv_get_name(struct jv dict, const char *name, size_t n)
{
    const struct jv_dict *d = dict.u.dict;
    for (size_t i = 0; i < d->n; i++) {
        struct jv key = d->v[i].key;
        if (key.type == JV_STR && key.u.str->n == n && memcmp(key.u.str->p, name, n) == 0)
            return &d->v[i].value;
    }
    return NULL;
}

bool jv_hashable(struct jv v)
{
    if (v.type == JV_LIST || v.type == JV_DICT || (v.type == JV_VIEW))
        return false;
    for (size_t i = 0; v.type == JV_TUPLE && i < v.u.list->n; i++)
        if (v.u.list->v[i].type == JV_LIST || v.u.list->v[i].type == JV_DICT)
            return false;
    return true;
}

const struct jv *jv_get(struct jinja_vm *vm, struct jv dict, struct jv key)
{
    if (!jv_step(vm, dict.u.dict->n / 16))
        return NULL;
    if (key.type == JV_STR)
        return jv_get_name(dict, key.u.str->p, key.u.str->n);
    for (size_t i = 0; i < dict.u.dict->n; i++)
        if (jv_equal(vm, dict.u.dict->v[i].key, key))
            return &dict.u.dict->v[i].value;
    return NULL;
}

static void append_pair(struct jinja_vm *vm, struct jv dict, struct jv key, struct jv value)
{
    struct jv_dict *d = dict.u.dict;
    if (grow(vm, &d->v, &d->cap, d->n, sizeof(*d->v)))
        d->v[d->n++] = (struct jv_pair){key, value};
}

void jv_put(struct jinja_vm *vm, struct jv dict, struct jv key, struct jv value)
{
    if (vm->rc)
        return;
    if (!jv_hashable(key)) {
        jv_fail(vm, "unhashable type: '%s'", jv_type_name(key));
        return;
    }
    struct jv *old = (struct jv *)jv_get(vm, dict, key);
    if (old)
        *old = value;
    else if (!vm->rc)
        append_pair(vm, dict, key, value);
}

/* Data from outside */

static struct jv from_array(struct jinja_vm *vm, const json_t *json)
{
    size_t n = json_array_size(json);
    struct jv list = jv_list(vm, JV_LIST, n);
    for (size_t i = 0; i < n && !vm->rc; i++)
        jv_push(vm, list, jv_from_json(vm, json_array_get(json, i)));
    return list;
}

static struct jv from_object(struct jinja_vm *vm, const json_t *json)
{
    struct jv dict = jv_dict(vm, JV_DICT);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) if (!vm->rc) /* keys are unique already */
        append_pair(vm, dict, jv_str_lit(vm, key), jv_from_json(vm, value));
    return dict;
}

struct jv jv_from_json(struct jinja_vm *vm, const json_t *json)
{
    struct jv v = jv_none();
    if (!jv_step(vm, 1) || !jv_enter(vm))
        return v;
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_OBJECT:
        v = from_object(vm, json);
        break;
    case JSON_ARRAY:
        v = from_array(vm, json);
        break;
    case JSON_STRING:
        v = jv_str_ref(vm, json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        v = jv_int(json_integer_value(json));
        break;
    case JSON_REAL:
        v = jv_float(json_real_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        v = jv_bool(json_is_true(json));
        break;
    case JSON_NULL:
        break;
    }
    jv_leave(vm);
    return v;
}

/* What all values can */

const char *jv_type_name(struct jv v)
{
    static const char *const names[] = {
        [JV_MISSING] = "missing",  [JV_UNDEFINED] = "Undefined",
        [JV_NONE] = "NoneType",    [JV_BOOL] = "bool",
        [JV_INT] = "int",          [JV_FLOAT] = "float",
        [JV_STR] = "str",          [JV_LIST] = "list",
        [JV_TUPLE] = "tuple",      [JV_RANGE] = "range",
        [JV_DICT] = "dict",        [JV_VIEW] = "dict_items",
        [JV_ITER] = "generator",   [JV_NAMESPACE] = "Namespace",
        [JV_LOOP] = "LoopContext", [JV_MACRO] = "Macro",
        [JV_BUILTIN] = "function", [JV_METHOD] = "builtin_function_or_method",
    };
    return names[v.type];
}

bool jv_truth(struct jv v)
{
    size_t n;
    switch (v.type) {
    case JV_MISSING:
    case JV_UNDEFINED:
    case JV_NONE:
        return false;
    case JV_BOOL:
        return v.u.b;
    case JV_INT:
        return v.u.i != 0;
    case JV_FLOAT:
        return v.u.f != 0;
    default:
        return !jv_len(v, &n) || n > 0;
    }
}

bool jv_len(struct jv v, size_t *n)
{
    switch (v.type) {
    case JV_UNDEFINED:
        *n = 0;
        return true;
    case JV_STR:
        *n = jv_str_chars(v.u.str);
        return true;
    case JV_LIST:
    case JV_TUPLE:
    case JV_VIEW:
        *n = v.u.list->n;
        return true;
    case JV_RANGE:
        *n = v.u.range->n;
        return true;
    case JV_DICT:
        *n = v.u.dict->n;
        return true;
    default:
        return false;
    }
}

bool jv_iterate(struct jinja_vm *vm, struct jv_iter *it, struct jv v)
{
    *it = (struct jv_iter){.of = v};
    size_t n;
    if (vm->rc)
        return false;
    if (v.type != JV_ITER && !jv_len(v, &n)) {
        jv_fail(vm, "'%s' object is not iterable", jv_type_name(v));
        return false;
    }
    return true;
}

bool jv_next(struct jinja_vm *vm, struct jv_iter *it, struct jv *item)
{
    struct jv v = it->of;
    if (!jv_step(vm, 1))
        return false;
    switch (v.type) {
    case JV_STR: {
        size_t i = it->i, n;
        if (i >= v.u.str->n)
            return false;
        utf8_decode(v.u.str->p + i, v.u.str->n - i, &n);
        it->i += n;
        *item = jv_str_ref(vm, v.u.str->p + i, n);
        return !vm->rc;
    }
    case JV_LIST:
    case JV_TUPLE:
    case JV_VIEW:
        if (it->i >= v.u.list->n)
            return false;
        *item = v.u.list->v[it->i++];
        return true;
    case JV_RANGE:
        if (it->i >= v.u.range->n)
            return false;
        *item = jv_int(v.u.range->begin + (int64_t)it->i++ * v.u.range->step);
        return true;
    case JV_DICT:
        if (it->i >= v.u.dict->n)
            return false;
        *item = v.u.dict->v[it->i++].key;
        return true;
    case JV_ITER:
        return jv_next(vm, v.u.iter, item);
    default:
        return false;
    }
}

/* Builtins */

const struct jv_builtin *jv_builtin_find(const struct jv_builtin *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

struct jv jv_builtin_call(struct jinja_vm *vm, const struct jv_builtin *f, struct jv_call *c)
{
    size_t k = 0, named = 0;
    if (strcmp(f->params, "*") == 0)
        return vm->rc ? jv_undefined() : f->call(vm, c);
    for (const char *p = f->params; *p && k < 6; k++) {
        size_t n = strcspn(p, "? ");
        bool optional = p[n] == '?';
        c->a[k] = (struct jv){.type = JV_MISSING};
        for (size_t i = 0; i < c->n_named; i++)
            if (strlen(c->named[i].name) == n && memcmp(c->named[i].name, p, n) == 0) {
                c->a[k] = c->named[i].v;
                named++;
            }
        if (k < c->n_args)
            c->a[k] = c->args[k];
        if (c->a[k].type == JV_MISSING && !optional)
            return jv_fail(vm, "%s() is missing the argument '%.*s'", f->name, (int)n, p);
        p += n + optional;
        p += *p == ' ';
    }
    if (c->n_args > k || named != c->n_named)
        return jv_fail(vm, "%s() got an argument that it does not take", f->name);
    return vm->rc ? jv_undefined() : f->call(vm, c);
}
