/* jinja_filters.c - filters of one value: text, numbers, JSON; see jinja_builtins.h. */
#include "text/jinja_builtins.h"

#include "base/buf.h"
#include "text/jinja_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct jv filter_abs(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv v = c->self;
    if (v.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, v);
    if (v.type == JV_FLOAT)
        return jv_float(fabs(v.u.f));
    if (!jv_is_integer(v))
        return jv_fail(vm, "bad operand type for abs(): '%s'", jv_type_name(v));
    return jv_as_int(v) < 0 ? jinja_negate(vm, v) : jv_int(jv_as_int(v));
}

static struct jv filter_attr(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv name = c->a[0];
    if (name.type != JV_STR)
        return jv_fail(vm, "attr() wants the name of an attribute");
    if (c->self.type == JV_DICT) /* of a dictionary, only Python's own attributes: its methods */
        return jv_undefined_name(vm, "attr", c->self);
    return jinja_item(vm, c->self, name);
}

static struct jv filter_capitalize(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_title(vm, jv_to_str(vm, c->self), false);
}

static struct jv filter_title(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_title(vm, jv_to_str(vm, c->self), true);
}

static struct jv filter_upper(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_case(vm, jv_to_str(vm, c->self), true);
}

static struct jv filter_lower(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_case(vm, jv_to_str(vm, c->self), false);
}

static struct jv filter_default(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    bool absent = c->self.type == JV_UNDEFINED || (jv_truth(c->a[1]) && !jv_truth(c->self));
    return !absent ? c->self : c->a[0].type == JV_MISSING ? jv_str_lit(vm, "") : c->a[0];
}

static struct jv filter_escape(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_escape(vm, c->self);
}

static struct jv filter_safe(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv v = jv_to_str(vm, c->self);
    if (vm->rc)
        return v;
    v = jv_str_ref(vm, v.u.str->p, v.u.str->n);
    if (v.type == JV_STR)
        v.u.str->markup = true;
    return v;
}

static struct jv filter_string(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_to_str(vm, c->self);
}

static struct jv filter_length(struct jinja_vm *vm, struct jv_call *c)
{
    size_t n;
    if (!jv_len(c->self, &n))
        return jv_fail(vm, "object of type '%s' has no len()", jv_type_name(c->self));
    return jv_int((int64_t)n);
}

static struct jv filter_trim(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_strip(vm, jv_to_str(vm, c->self), c->a[0], 3);
}

static struct jv filter_replace(struct jinja_vm *vm, struct jv_call *c)
{
    int64_t most = jv_is_integer(c->a[2]) ? jv_as_int(c->a[2]) : -1;
    struct jv from_to[] = {jv_to_str(vm, c->a[0]), jv_to_str(vm, c->a[1])};
    struct jv s = jv_to_str(vm, c->self);
    if (vm->rc)
        return s;
    return jinja_replace(vm, jv_str_ref(vm, s.u.str->p, s.u.str->n), from_to, most);
}

static struct jv filter_format(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv args = jv_list(vm, JV_TUPLE, c->n_args);
    for (size_t i = 0; i < c->n_args; i++)
        jv_push(vm, args, c->args[i]);
    if (c->n_named) {
        args = jv_dict(vm, JV_DICT);
        for (size_t i = 0; i < c->n_named && !vm->rc; i++)
            jv_put(vm, args, jv_str_lit(vm, c->named[i].name), c->named[i].v);
    }
    struct jv s = jv_to_str(vm, c->self);
    return vm->rc ? s : jinja_percent(vm, s, args);
}

/* Lines get `width` spaces, or a text, in front: but for the first, and for blank ones. */
static struct jv filter_indent(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv s = jv_to_str(vm, c->self);
    bool first = jv_truth(c->a[1]), blank = jv_truth(c->a[2]);
    int64_t width = c->a[0].type == JV_MISSING ? 4
                    : jv_is_integer(c->a[0])   ? jv_as_int(c->a[0])
                                               : 0;
    struct buf b;
    if (vm->rc)
        return s;
    jv_buf_init(vm, &b);
    const char *p = s.u.str->p, *end = p + s.u.str->n;
    for (int line = 0; p < end && jv_step(vm, 1); line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        if (line ? blank || stop > p : first) {
            if (c->a[0].type == JV_STR)
                jv_put_str(vm, &b, c->a[0]);
            jv_buf_repeat(&b, " ", 1, width);
        }
        buf_append(&b, p, (size_t)(stop - p) + (stop < end));
        p = stop + (stop < end);
    }
    return jv_str_take(vm, &b);
}

/* Python's int(text, base): the whole text, but for white space around it and underscores in it. */
static bool parse_int(struct jv s, int base, int64_t *v)
{
    char text[72], *stop;
    size_t n = 0;
    for (size_t i = 0; i < s.u.str->n; i++) {
        char ch = s.u.str->p[i];
        if (n == sizeof text - 1)
            return false;
        if (ch != '_')
            text[n++] = ch;
    }
    while (n && jinja_space(text + n - 1, 1))
        n--;
    text[n] = '\0';
    const char *p = text + strspn(text, " \t\n\r\f\v");
    if (base == 10 && !strchr("+-0123456789", *p))
        return false;
    if (!*p || !p[strspn(p, "+-")])
        return false;
    *v = strtoll(p, &stop, base);
    return !*stop && stop > p;
}

static bool parse_float(struct jv s, double *v)
{
    char text[128], *stop;
    size_t n = s.u.str->n;
    while (n && jinja_space(s.u.str->p + n - 1, 1))
        n--;
    if (!n || n >= sizeof text)
        return false;
    memcpy(text, s.u.str->p, n);
    text[n] = '\0';
    if (strpbrk(text, "xXpP("))
        return false;
    *v = strtod(text, &stop);
    return !*stop && stop > text;
}

static struct jv filter_int(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv v = c->self, otherwise = c->a[0].type == JV_MISSING ? jv_int(0) : c->a[0];
    int base = jv_is_integer(c->a[1]) ? (int)jv_as_int(c->a[1]) : 10;
    int64_t i;
    double f;
    if (v.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, v);
    if (jv_is_integer(v))
        return jv_int(jv_as_int(v));
    if (base != 0 && (base < 2 || base > 36))
        return otherwise;
    if (v.type == JV_STR && parse_int(v, base, &i))
        return jv_int(i);
    if (v.type == JV_STR && parse_float(v, &f))
        v = jv_float(f);
    if (v.type == JV_FLOAT && isfinite(v.u.f) && fabs(v.u.f) < 9e18)
        return jv_int((int64_t)v.u.f);
    return otherwise;
}

static struct jv filter_float(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv v = c->self;
    double f;
    if (v.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, v);
    if (jv_is_number(v))
        return jv_float(jv_as_float(v));
    if (v.type == JV_STR && parse_float(v, &f))
        return jv_float(f);
    return c->a[0].type == JV_MISSING ? jv_float(0) : c->a[0];
}

static struct jv filter_round(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv v = c->self;
    int64_t precision = jv_is_integer(c->a[0]) ? jv_as_int(c->a[0]) : 0;
    if (v.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, v);
    if (!jv_is_number(v) || precision > 300 || precision < -300)
        return jv_fail(vm, "round() wants a number");
    double scale = pow(10, (double)precision), x = jv_as_float(v);
    if (c->a[1].type == JV_MISSING || jv_str_is(c->a[1], "common")) {
        if (jv_is_integer(v) && precision >= 0)
            return jv_int(jv_as_int(v));
        if (precision < 0)
            return jv_float(nearbyint(x * scale) / scale);
        char text[400]; /* correctly rounded to even, as Python does it */
        struct buf b;
        buf_init(&b, sizeof text);
        buf_printf(&b, "%.*f", (int)precision, x);
        x = strtod(buf_str(&b), NULL);
        buf_release(&b);
        return jv_float(x);
    }
    bool up = jv_str_is(c->a[1], "ceil");
    if (!up && !jv_str_is(c->a[1], "floor"))
        return jv_fail(vm, "method must be common, ceil or floor");
    return jv_float((up ? ceil(x * scale) : floor(x * scale)) / scale);
}

/* A separator of json.dumps(separators=(item, key)). */
static bool separator(struct jv pair, size_t i, const char **text, size_t *n)
{
    if ((pair.type != JV_TUPLE && pair.type != JV_LIST) || pair.u.list->n != 2 ||
        pair.u.list->v[i].type != JV_STR)
        return false;
    *text = pair.u.list->v[i].u.str->p;
    *n = pair.u.list->v[i].u.str->n;
    return true;
}

static struct jv filter_tojson(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv indent = c->a[1];
    struct jv_json_style style = {.ascii = jv_truth(c->a[0]),
                                  .sort_keys = jv_truth(c->a[3]),
                                  .indent = -1,
                                  .item_separator = ", ",
                                  .item_separator_n = 2,
                                  .key_separator = ": ",
                                  .key_separator_n = 2};
    if (indent.type == JV_STR) {
        style.indent_text = indent.u.str->p;
        style.indent_text_n = indent.u.str->n;
    } else if (jv_is_integer(indent)) {
        int64_t n = jv_as_int(indent);
        style.indent = n < 0 ? 0 : n > 1000 ? 1000 : (int)n;
    }
    if (style.indent >= 0 || style.indent_text)
        style.item_separator_n = 1; /* the line break follows */
    if (c->a[2].type != JV_MISSING && c->a[2].type != JV_NONE &&
        (!separator(c->a[2], 0, &style.item_separator, &style.item_separator_n) ||
         !separator(c->a[2], 1, &style.key_separator, &style.key_separator_n)))
        return jv_fail(vm, "separators must be two strings");
    struct buf b;
    jv_buf_init(vm, &b);
    jv_put_json(vm, &b, c->self, &style);
    return jv_str_take(vm, &b);
}

static struct jv filter_wordcount(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv s = jv_to_str(vm, c->self);
    int64_t words = 0;
    bool inside = false;
    for (size_t i = 0; !vm->rc && i < s.u.str->n; i++) {
        bool space = jinja_space(s.u.str->p + i, s.u.str->n - i) > 0;
        words += !space && !inside;
        inside = !space;
    }
    return jv_int(words);
}

const struct jv_builtin jinja_filters[] = {
    {"abs", "", filter_abs},
    {"attr", "name", filter_attr},
    {"capitalize", "", filter_capitalize},
    {"count", "", filter_length},
    {"d", "default_value? boolean?", filter_default},
    {"default", "default_value? boolean?", filter_default},
    {"e", "", filter_escape},
    {"escape", "", filter_escape},
    {"float", "default?", filter_float},
    {"forceescape", "", filter_escape},
    {"format", "*", filter_format},
    {"indent", "width? first? blank?", filter_indent},
    {"int", "default? base?", filter_int},
    {"length", "", filter_length},
    {"lower", "", filter_lower},
    {"replace", "old new count?", filter_replace},
    {"round", "precision? method?", filter_round},
    {"safe", "", filter_safe},
    {"string", "", filter_string},
    {"title", "", filter_title},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", filter_tojson},
    {"trim", "chars?", filter_trim},
    {"upper", "", filter_upper},
    {"wordcount", "", filter_wordcount},
    {NULL, NULL, NULL}};

const struct jv_builtin *jinja_filter_find(const char *name)
{
    const struct jv_builtin *f = jv_builtin_find(jinja_filters, name);
    return f ? f : jv_builtin_find(jinja_list_filters, name);
}
