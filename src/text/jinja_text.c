/* jinja_text.c - see jinja_text.h. */
#include "text/jinja_text.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void jv_put_float(struct buf *out, double f)
{
    if (isnan(f) || isinf(f)) {
        buf_append_str(out, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, f);
        if (strtod(text, NULL) == f)
            break;
    }
    char *e = strchr(text, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    int digits = (int)(e - text) - (text[0] == '-') - (strchr(text, '.') ? 1 : 0);
    if (exponent < -4 || exponent >= 16) {
        *e = '\0';
        buf_printf(out, "%se%c%02d", text, exponent < 0 ? '-' : '+', abs(exponent));
    } else {
        int decimals = digits - 1 - exponent;
        buf_printf(out, "%.*f", decimals < 1 ? 1 : decimals, f);
    }
}

static bool is_printable(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return c == ' ';
    default:
        return true;
    }
}

static void put_str_repr(struct buf *out, const struct jv_str *s)
{
    bool single = memchr(s->p, '\'', s->n) && !memchr(s->p, '"', s->n);
    char quote = single ? '"' : '\'';
    buf_append_char(out, quote);
    for (size_t i = 0, n; i < s->n; i += n) {
        uint32_t c = utf8_decode(s->p + i, s->n - i, &n);
        if (c == (uint32_t)quote || c == '\\')
            buf_printf(out, "\\%c", (int)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            buf_append_str(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (is_printable(c))
            buf_append(out, s->p + i, n);
        else
            buf_printf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    }
    buf_append_char(out, quote);
}

static void put_items(struct jinja_vm *vm, struct buf *out, const struct jv_list *l)
{
    for (size_t i = 0; i < l->n && !vm->rc; i++) {
        buf_append_str(out, i ? ", " : "");
        jv_put_repr(vm, out, l->v[i]);
    }
}

static void put_dict(struct jinja_vm *vm, struct buf *out, const struct jv_dict *d)
{
    buf_append_char(out, '{');
    for (size_t i = 0; i < d->n && !vm->rc; i++) {
        buf_append_str(out, i ? ", " : "");
        jv_put_repr(vm, out, d->v[i].key);
        buf_append_str(out, ": ");
        jv_put_repr(vm, out, d->v[i].value);
    }
    buf_append_char(out, '}');
}

static void put_range(struct buf *out, const struct jv_range *r)
{
    buf_printf(out, "range(%lld, %lld", (long long)r->begin, (long long)r->end);
    if (r->step != 1)
        buf_printf(out, ", %lld", (long long)r->step);
    buf_append_char(out, ')');
}

void jv_put_repr(struct jinja_vm *vm, struct buf *out, struct jv v)
{
    if (!jv_step(vm, 1) || !jv_enter(vm))
        return;
    switch (v.type) {
    case JV_STR:
        if (v.u.str->markup)
            buf_append_str(out, "Markup(");
        put_str_repr(out, v.u.str);
        if (v.u.str->markup)
            buf_append_char(out, ')');
        break;
    case JV_UNDEFINED:
        buf_append_str(out, "Undefined");
        break;
    case JV_LIST:
        buf_append_char(out, '[');
        put_items(vm, out, v.u.list);
        buf_append_char(out, ']');
        break;
    case JV_TUPLE:
        buf_append_char(out, '(');
        put_items(vm, out, v.u.list);
        buf_append_str(out, v.u.list->n == 1 ? ",)" : ")");
        break;
    case JV_VIEW:
        buf_printf(out, "%s([", v.u.list->view);
        put_items(vm, out, v.u.list);
        buf_append_str(out, "])");
        break;
    case JV_DICT:
        put_dict(vm, out, v.u.dict);
        break;
    case JV_NAMESPACE:
        buf_append_str(out, "<Namespace ");
        put_dict(vm, out, v.u.dict);
        buf_append_char(out, '>');
        break;
    case JV_RANGE:
        put_range(out, v.u.range);
        break;
    case JV_BOOL:
        buf_append_str(out, v.u.b ? "True" : "False");
        break;
    case JV_INT:
        buf_printf(out, "%lld", (long long)v.u.i);
        break;
    case JV_FLOAT:
        jv_put_float(out, v.u.f);
        break;
    case JV_NONE:
        buf_append_str(out, "None");
        break;
    default:
        buf_printf(out, "<%s>", jv_type_name(v)); /* Python adds an address */
        break;
    }
    jv_leave(vm);
}

void jv_put_str(struct jinja_vm *vm, struct buf *out, struct jv v)
{
    if (v.type == JV_STR)
        buf_append(out, v.u.str->p, v.u.str->n);
    else if (v.type != JV_UNDEFINED)
        jv_put_repr(vm, out, v);
}

struct jv jv_to_str(struct jinja_vm *vm, struct jv v)
{
    if (v.type == JV_STR)
        return v;
    struct buf b;
    jv_buf_init(vm, &b);
    jv_put_str(vm, &b, v);
    return jv_str_take(vm, &b);
}

struct jv jv_escape(struct jinja_vm *vm, struct jv v)
{
    struct buf b;
    v = jv_to_str(vm, v);
    if (vm->rc || v.u.str->markup)
        return v;
    jv_buf_init(vm, &b);
    for (size_t i = 0; i < v.u.str->n; i++) {
        char c = v.u.str->p[i];
        const char *as = c == '&'    ? "&amp;"
                         : c == '<'  ? "&lt;"
                         : c == '>'  ? "&gt;"
                         : c == '"'  ? "&#34;"
                         : c == '\'' ? "&#39;"
                                     : NULL;
        if (as)
            buf_append_str(&b, as);
        else
            buf_append_char(&b, c);
    }
    v = jv_str_take(vm, &b);
    if (v.type == JV_STR)
        v.u.str->markup = true;
    return v;
}

/* JSON */

static void put_json_str(struct buf *out, const struct jv_str *s, bool ascii)
{
    buf_append_char(out, '"');
    for (size_t i = 0, n; i < s->n; i += n) {
        uint32_t c = utf8_decode(s->p + i, s->n - i, &n);
        const char *named = c == '"'    ? "\\\""
                            : c == '\\' ? "\\\\"
                            : c == '\n' ? "\\n"
                            : c == '\r' ? "\\r"
                            : c == '\t' ? "\\t"
                            : c == '\b' ? "\\b"
                            : c == '\f' ? "\\f"
                                        : NULL;
        if (named)
            buf_append_str(out, named);
        else if (c >= 0x10000 && ascii)
            buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                       0xdc00 + ((c - 0x10000) & 0x3ff));
        else if (c < 0x20 || (c >= 0x7f && ascii && c != 0x7f))
            buf_printf(out, "\\u%04x", c);
        else
            buf_append(out, s->p + i, n);
    }
    buf_append_char(out, '"');
}

static void put_json_float(struct buf *out, double f)
{
    if (isnan(f) || isinf(f))
        buf_append_str(out, isnan(f) ? "NaN" : f < 0 ? "-Infinity" : "Infinity");
    else
        jv_put_float(out, f);
}

/* The break before an item, or before the closing bracket. */
static void put_json_break(struct buf *out, const struct jv_json_style *s, int level)
{
    if (s->indent < 0 && !s->indent_text)
        return;
    buf_append_char(out, '\n');
    for (int i = 0; i < level; i++) {
        if (s->indent_text)
            buf_append(out, s->indent_text, s->indent_text_n);
        for (int j = 0; !s->indent_text && j < s->indent; j++)
            buf_append_char(out, ' ');
    }
}

struct json_writer {
    struct jinja_vm *vm;
    struct buf *out;
    const struct jv_json_style *style;
};

static void put_json(const struct json_writer *w, struct jv v, int level);

static void put_json_list(const struct json_writer *w, const struct jv_list *l, int level)
{
    buf_append_char(w->out, '[');
    for (size_t i = 0; i < l->n && !w->vm->rc; i++) {
        if (i)
            buf_append(w->out, w->style->item_separator, w->style->item_separator_n);
        put_json_break(w->out, w->style, level + 1);
        put_json(w, l->v[i], level + 1);
    }
    if (l->n)
        put_json_break(w->out, w->style, level);
    buf_append_char(w->out, ']');
}

static void put_json_key(const struct json_writer *w, struct jv key)
{
    if (key.type == JV_STR) {
        put_json_str(w->out, key.u.str, w->style->ascii);
    } else if (key.type == JV_NONE || jv_is_number(key)) {
        buf_append_char(w->out, '"');
        put_json(w, key, 0);
        buf_append_char(w->out, '"');
    } else {
        jv_fail(w->vm, "keys must be str, int, float, bool or None, not %s", jv_type_name(key));
    }
}

static void put_json_dict(const struct json_writer *w, const struct jv_dict *d, int level)
{
    struct jv_pair *v = d->v;
    if (w->style->sort_keys && d->n) {
        /* Sorted by key: jv_sort() compares keys and carries values along. */
        v = jv_alloc(w->vm, d->n, sizeof(*v));
        if (!v)
            return;
        memcpy(v, d->v, d->n * sizeof(*v));
        jv_sort(w->vm, v, d->n, false);
    }
    buf_append_char(w->out, '{');
    for (size_t i = 0; i < d->n && !w->vm->rc; i++) {
        if (i)
            buf_append(w->out, w->style->item_separator, w->style->item_separator_n);
        put_json_break(w->out, w->style, level + 1);
        put_json_key(w, v[i].key);
        buf_append(w->out, w->style->key_separator, w->style->key_separator_n);
        put_json(w, v[i].value, level + 1);
    }
    if (d->n)
        put_json_break(w->out, w->style, level);
    buf_append_char(w->out, '}');
}

static void put_json(const struct json_writer *w, struct jv v, int level)
{
    if (!jv_step(w->vm, 1) || !jv_enter(w->vm))
        return;
    switch (v.type) {
    case JV_NONE:
        buf_append_str(w->out, "null");
        break;
    case JV_BOOL:
        buf_append_str(w->out, v.u.b ? "true" : "false");
        break;
    case JV_INT:
        buf_printf(w->out, "%lld", (long long)v.u.i);
        break;
    case JV_FLOAT:
        put_json_float(w->out, v.u.f);
        break;
    case JV_STR:
        put_json_str(w->out, v.u.str, w->style->ascii);
        break;
    case JV_LIST:
    case JV_TUPLE:
        put_json_list(w, v.u.list, level);
        break;
    case JV_DICT:
        put_json_dict(w, v.u.dict, level);
        break;
    default:
        jv_fail(w->vm, "Object of type %s is not JSON serializable", jv_type_name(v));
        break;
    }
    jv_leave(w->vm);
}

void jv_put_json(struct jinja_vm *vm, struct buf *out, struct jv v, const struct jv_json_style *s)
{
    put_json(&(struct json_writer){vm, out, s}, v, 0);
}

/* Comparing */

static bool equal_lists(struct jinja_vm *vm, const struct jv_list *a, const struct jv_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jv_equal(vm, a->v[i], b->v[i]))
            return false;
    return true;
}

static bool equal_dicts(struct jinja_vm *vm, struct jv a, struct jv b)
{
    if (a.u.dict->n != b.u.dict->n)
        return false;
    for (size_t i = 0; i < a.u.dict->n; i++) {
        const struct jv *other = jv_get(vm, b, a.u.dict->v[i].key);
        if (!other || !jv_equal(vm, a.u.dict->v[i].value, *other))
            return false;
    }
    return true;
}

bool jv_equal(struct jinja_vm *vm, struct jv a, struct jv b)
{
    if (jv_is_integer(a) && jv_is_integer(b))
        return jv_as_int(a) == jv_as_int(b);
    if (jv_is_number(a) && jv_is_number(b))
        return jv_as_float(a) == jv_as_float(b);
    if (a.type != b.type || !jv_step(vm, 1) || !jv_enter(vm))
        return false;
    bool same;
    switch (a.type) {
    case JV_NONE:
    case JV_UNDEFINED:
        same = true;
        break;
    case JV_STR:
        same = a.u.str->n == b.u.str->n && memcmp(a.u.str->p, b.u.str->p, a.u.str->n) == 0;
        break;
    case JV_LIST:
    case JV_TUPLE:
    case JV_VIEW:
        same = equal_lists(vm, a.u.list, b.u.list);
        break;
    case JV_DICT:
        same = equal_dicts(vm, a, b);
        break;
    case JV_RANGE:
        same = a.u.range->n == b.u.range->n &&
               (!a.u.range->n || (a.u.range->begin == b.u.range->begin &&
                                  (a.u.range->n == 1 || a.u.range->step == b.u.range->step)));
        break;
    default:
        same = a.u.dict == b.u.dict; /* the same object */
        break;
    }
    jv_leave(vm);
    return same;
}

int jv_compare(struct jinja_vm *vm, struct jv a, struct jv b)
{
    if (!jv_step(vm, 1))
        return 0;
    if (a.type == JV_UNDEFINED || b.type == JV_UNDEFINED) {
        jv_fail_undefined(vm, a.type == JV_UNDEFINED ? a : b);
        return 0;
    }
    if (jv_is_integer(a) && jv_is_integer(b))
        return (jv_as_int(a) > jv_as_int(b)) - (jv_as_int(a) < jv_as_int(b));
    if (jv_is_number(a) && jv_is_number(b))
        return (jv_as_float(a) > jv_as_float(b)) - (jv_as_float(a) < jv_as_float(b));
    if (a.type == JV_STR && b.type == JV_STR) { /* UTF-8 sorts as code points do */
        size_t n = a.u.str->n < b.u.str->n ? a.u.str->n : b.u.str->n;
        int c = n ? memcmp(a.u.str->p, b.u.str->p, n) : 0;
        return c ? c : (a.u.str->n > b.u.str->n) - (a.u.str->n < b.u.str->n);
    }
    if (a.type == b.type && (a.type == JV_LIST || a.type == JV_TUPLE) && jv_enter(vm)) {
        const struct jv_list *x = a.u.list, *y = b.u.list;
        int c = 0;
        for (size_t i = 0; !c && i < x->n && i < y->n && !vm->rc; i++)
            if (!jv_equal(vm, x->v[i], y->v[i]))
                c = jv_compare(vm, x->v[i], y->v[i]);
        jv_leave(vm);
        return c ? c : (x->n > y->n) - (x->n < y->n);
    }
    jv_fail(vm, "'<' not supported between instances of '%s' and '%s'", jv_type_name(a),
            jv_type_name(b));
    return 0;
}

void jv_sort(struct jinja_vm *vm, struct jv_pair *v, size_t n, bool reverse)
{
    struct jv_pair *to = jv_alloc(vm, n, sizeof(*to)), *from = v;
    for (size_t run = 1; to && run < n && !vm->rc; run *= 2) {
        for (size_t at = 0; at < n; at += 2 * run) {
            size_t mid = at + run < n ? at + run : n, end = mid + run < n ? mid + run : n;
            for (size_t i = at, j = mid, k = at; k < end; k++) {
                int c = i < mid && j < end ? jv_compare(vm, from[j].key, from[i].key) : 0;
                bool right = j < end && (i == mid || (reverse ? c > 0 : c < 0));
                to[k] = from[right ? j++ : i++];
            }
        }
        struct jv_pair *swap = from;
        from = to;
        to = swap;
    }
    if (from != v && n)
        memcpy(v, from, n * sizeof(*v));
}
