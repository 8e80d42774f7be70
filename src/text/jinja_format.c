/* jinja_format.c - "..." % values and "...".format(values); see jinja_builtins.h. */
#include "text/jinja_builtins.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "text/jinja_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How one value is to be written: [[fill]align][sign][#][0][width][,][.precision][type], in both
 * languages. */
struct spec {
    char fill[5];
    char align; /* '<' '>' '^' '=', 0: as the type likes it */
    char sign;  /* '+' ' ' 0 */
    char type;  /* s d i f F e E g G x X o b c r a % or 0 */
    char group; /* ',' '_' 0 */
    bool alternate;
    int width, precision; /* -1: none */
};

#define MAX_WIDTH 100000

static bool one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

static int take_number(const char **p, const char *end)
{
    int v = -1;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p)
        v = v > MAX_WIDTH ? v : (v < 0 ? 0 : v * 10) + (**p - '0');
    return v;
}

/* The digits of a number's absolute value. */
static void put_digits(struct jinja_vm *vm, struct buf *b, struct jv v, const struct spec *s)
{
    char text[512], format[16];
    if (s->type == 'd' || s->type == 'i' || s->type == 'x' || s->type == 'X' || s->type == 'o') {
        int64_t i = v.type == JV_FLOAT ? (int64_t)v.u.f : jv_as_int(v);
        uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        const char *how = s->type == 'x'   ? "%llx"
                          : s->type == 'X' ? "%llX"
                          : s->type == 'o' ? "%llo"
                                           : "%llu";
        buf_printf(b, how, (unsigned long long)u);
        return;
    }
    double f = fabs(jv_as_float(v));
    if (isnan(f) || isinf(f)) {
        buf_append_str(b, isnan(f) ? "nan" : "inf");
        return;
    }
    snprintf(format, sizeof format, "%%.*%c", s->type == '%' ? 'f' : s->type);
    int precision = s->precision < 0 ? 6 : s->precision > 100 ? 100 : s->precision;
    int n = snprintf(text, sizeof text, format, precision, s->type == '%' ? f * 100 : f);
    if (n < 0 || n >= (int)sizeof text)
        jv_fail(vm, "a number is too long to format");
    else
        buf_append(b, text, (size_t)n);
    if (s->type == '%')
        buf_append_char(b, '%');
}

/* Thousands apart. */
static void put_grouped(struct buf *b, const struct buf *digits, char group)
{
    const char *text = buf_str(digits);
    size_t whole = strspn(text, "0123456789");
    for (size_t i = 0; i < digits->len; i++) {
        if (group && i && i < whole && (whole - i) % 3 == 0)
            buf_append_char(b, group);
        buf_append_char(b, text[i]);
    }
}

static void put_padded(struct buf *b, const char *sign, const struct buf *body,
                       const struct spec *s, char align)
{
    struct jv_str text = {.p = buf_str(body), .n = body->len, .n_chars = SIZE_MAX};
    int64_t missing = s->width - (int64_t)jv_str_chars(&text) - (int64_t)strlen(sign);
    int64_t left = missing <= 0 ? 0 : align == '<' ? 0 : align == '^' ? missing / 2 : missing;
    if (align == '=')
        buf_append_str(b, sign);
    for (int64_t i = 0; i < left && !buf_failed(b); i++)
        buf_append_str(b, s->fill[0] ? s->fill : " ");
    if (align != '=')
        buf_append_str(b, sign);
    buf_append(b, text.p, text.n);
    for (int64_t i = left; i < missing && !buf_failed(b); i++)
        buf_append_str(b, s->fill[0] ? s->fill : " ");
}

static void put_number(struct jinja_vm *vm, struct buf *b, struct jv v, const struct spec *s)
{
    struct buf digits, body;
    bool negative = v.type == JV_FLOAT ? signbit(v.u.f) : jv_as_int(v) < 0;
    const char *sign = negative ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
    jv_buf_init(vm, &digits);
    jv_buf_init(vm, &body);
    put_digits(vm, &digits, v, s);
    if (s->alternate && (s->type == 'x' || s->type == 'X' || s->type == 'o'))
        buf_printf(&body, "0%c", s->type);
    put_grouped(&body, &digits, s->group);
    put_padded(b, sign, &body, s, s->align ? s->align : '>');
    buf_release(&digits);
    buf_release(&body);
}

static void put_text(struct jinja_vm *vm, struct buf *b, struct jv v, const struct spec *s,
                     char align)
{
    struct buf body;
    jv_buf_init(vm, &body);
    if (s->type == 'r' || s->type == 'a')
        jv_put_repr(vm, &body, v);
    else
        jv_put_str(vm, &body, v);
    if (s->precision >= 0 && !buf_failed(&body)) {
        size_t i = 0;
        for (int chars = 0; i < body.len && chars < s->precision; chars++)
            for (i++; i < body.len && ((unsigned char)body.data[i] & 0xc0) == 0x80;)
                i++;
        body.len = i < body.len ? i : body.len;
    }
    put_padded(b, "", &body, s, s->align ? s->align : align);
    buf_release(&body);
}

static void put_char(struct jinja_vm *vm, struct buf *b, struct jv v, const struct spec *s)
{
    char text[4];
    if (v.type == JV_STR && jv_str_chars(v.u.str) == 1) {
        put_text(vm, b, v, s, '>');
        return;
    }
    if (!jv_is_integer(v) || jv_as_int(v) < 0 || jv_as_int(v) > 0x10ffff) {
        jv_fail(vm, "%%c requires an int in range or a single character");
        return;
    }
    uint32_t c = (uint32_t)jv_as_int(v);
    size_t n = utf8_encode(c >= 0xd800 && c < 0xe000 ? UTF8_REPLACEMENT : c, text);
    struct spec plain = *s;
    plain.type = 's';
    plain.precision = -1;
    put_text(vm, b, jv_str(vm, text, n), &plain, '>');
}

/* One %-conversion. */
static void put_conversion(struct jinja_vm *vm, struct buf *b, struct jv v, const struct spec *s)
{
    if (vm->rc)
        return;
    if (s->type == 'c') {
        put_char(vm, b, v, s);
    } else if (one_of(s->type, "sra")) {
        put_text(vm, b, v, s, '>');
    } else if (v.type == JV_UNDEFINED) {
        jv_fail_undefined(vm, v);
    } else if (!jv_is_number(v) || (one_of(s->type, "xXo") && v.type == JV_FLOAT)) {
        jv_fail(vm, "%%%c format: a number is required, not %s", s->type, jv_type_name(v));
    } else {
        put_number(vm, b, v, s);
    }
}

/* %[(name)][flags][width][.precision]type; p stands behind the per cent sign. */
static const char *read_conversion(const char *p, const char *end, struct spec *s)
{
    *s = (struct spec){.precision = -1};
    bool zero = false;
    for (; p < end && one_of(*p, "-+ #0"); p++) {
        if (*p == '-')
            s->align = '<';
        else if (*p == '0')
            zero = true;
        else if (*p == '#')
            s->alternate = true;
        else
            s->sign = *p;
    }
    int width = take_number(&p, end);
    s->width = width < 0 ? 0 : width;
    if (p < end && *p == '.') {
        p++;
        s->precision = take_number(&p, end);
        s->precision = s->precision < 0 ? 0 : s->precision;
    }
    while (p < end && one_of(*p, "hlL"))
        p++;
    if (p == end || !one_of(*p, "sradiuxXofFeEgGc%"))
        return NULL;
    s->type = *p == 'u' ? 'd' : *p;
    if (zero && !s->align && !one_of(s->type, "srac")) {
        s->align = '=';
        s->fill[0] = '0';
    }
    return s->width > MAX_WIDTH ? NULL : p + 1;
}

/* The next argument of a %-format: by name, of a tuple, or the value itself. */
static struct jv next_argument(struct jinja_vm *vm, struct jv args, struct jv name, size_t *used)
{
    if (name.type == JV_STR) {
        const struct jv *v = args.type == JV_DICT ? jv_get(vm, args, name) : NULL;
        return v ? *v : jv_fail(vm, "format requires a mapping with this key");
    }
    if (args.type == JV_TUPLE ? *used >= args.u.list->n : *used > 0)
        return jv_fail(vm, "not enough arguments for format string");
    ++*used;
    return args.type == JV_TUPLE ? args.u.list->v[*used - 1] : args;
}

struct jv jinja_percent(struct jinja_vm *vm, struct jv format, struct jv args)
{
    const char *p = format.u.str->p, *end = p + format.u.str->n;
    size_t used = 0;
    bool named = false;
    struct buf b;
    jv_buf_init(vm, &b);
    while (p < end && jv_step(vm, 1)) {
        const char *at = memchr(p, '%', (size_t)(end - p));
        buf_append(&b, p, (size_t)((at ? at : end) - p));
        if (!at)
            break;
        struct jv name = {.type = JV_MISSING};
        p = at + 1;
        if (p < end && *p == '(') {
            const char *close = memchr(p, ')', (size_t)(end - p));
            if (!close) {
                jv_fail(vm, "incomplete format key");
                break;
            }
            name = jv_str_ref(vm, p + 1, (size_t)(close - p - 1));
            named = true;
            p = close + 1;
        }
        struct spec s;
        p = read_conversion(p, end, &s);
        if (!p) {
            jv_fail(vm, "unsupported format character");
            break;
        }
        if (s.type == '%')
            buf_append_char(&b, '%');
        else
            put_conversion(vm, &b, next_argument(vm, args, name, &used), &s);
    }
    if (!vm->rc && !named && args.type != JV_DICT &&
        used < (args.type == JV_TUPLE ? args.u.list->n : 1))
        jv_fail(vm, "not all arguments converted during string formatting");
    struct jv v = jv_str_take(vm, &b);
    if (v.type == JV_STR)
        v.u.str->markup = format.u.str->markup;
    return v;
}

/* format() */

/* [[fill]align][sign][#][0][width][grouping][.precision][type] */
static bool read_spec(const char *p, const char *end, struct spec *s)
{
    size_t n = 0;
    if (p < end)
        utf8_decode(p, (size_t)(end - p), &n);
    if (n && p + n < end && one_of(p[n], "<>^=")) {
        memcpy(s->fill, p, n);
        s->align = p[n];
        p += n + 1;
    } else if (p < end && one_of(*p, "<>^=")) {
        s->align = *p++;
    }
    if (p < end && one_of(*p, "+- "))
        s->sign = *p++;
    if (p < end && *p == '#') {
        s->alternate = true;
        p++;
    }
    if (p < end && *p == '0' && !s->align) {
        s->align = '=';
        s->fill[0] = '0';
    }
    int width = take_number(&p, end);
    s->width = width < 0 ? 0 : width;
    if (p < end && one_of(*p, ",_"))
        s->group = *p++;
    if (p < end && *p == '.') {
        p++;
        s->precision = take_number(&p, end);
        if (s->precision < 0)
            return false;
    }
    if (p < end && one_of(*p, "sdxXofFeEgGc%"))
        s->type = *p++;
    return p == end && s->width <= MAX_WIDTH;
}

static void put_formatted(struct jinja_vm *vm, struct buf *b, struct jv v, struct spec s,
                          bool has_spec)
{
    if (vm->rc)
        return;
    if (!has_spec) {
        jv_put_str(vm, b, v);
    } else if (jv_is_number(v) && v.type != JV_BOOL && s.type != 's') {
        if (s.type == 'c') {
            put_char(vm, b, v, &s);
            return;
        }
        if (!s.type && v.type == JV_FLOAT && s.precision < 0) { /* as str() writes it */
            struct jv text = jv_to_str(vm, v);
            if (!vm->rc)
                put_text(vm, b, text, &s, '>');
            return;
        }
        s.type = s.type ? s.type : v.type == JV_FLOAT ? 'g' : 'd';
        if (v.type == JV_FLOAT && one_of(s.type, "dxXo"))
            jv_fail(vm, "Unknown format code '%c' for object of type 'float'", s.type);
        else
            put_number(vm, b, v, &s);
    } else if (s.type && s.type != 's') {
        jv_fail(vm, "Unknown format code '%c' for object of type '%s'", s.type, jv_type_name(v));
    } else {
        put_text(vm, b, v, &s, '<');
    }
}

/* The value of a field: a number or name, then .attributes and [items]. */
static struct jv field_value(struct jinja_vm *vm, const char *p, const char *end,
                             const struct jv_call *c, size_t *next)
{
    const char *stop = p;
    struct jv v = {.type = JV_MISSING};
    while (stop < end && *stop != '.' && *stop != '[')
        stop++;
    const char *digits = p;
    int index = take_number(&digits, stop);
    if (p == stop)
        index = (int)(*next)++;
    if (p == stop || digits == stop) {
        if (index < 0 || (size_t)index >= c->n_args)
            return jv_fail(vm, "Replacement index %d out of range for positional args tuple",
                           index);
        v = c->args[index];
    }
    for (size_t i = 0; v.type == JV_MISSING && i < c->n_named; i++)
        if (strlen(c->named[i].name) == (size_t)(stop - p) &&
            memcmp(c->named[i].name, p, (size_t)(stop - p)) == 0)
            v = c->named[i].v;
    if (v.type == JV_MISSING)
        return jv_fail(vm, "format() has no argument '%.*s'", (int)(stop - p), p);
    for (p = stop; p < end && !vm->rc; p = stop) {
        bool item = *p == '[';
        for (stop = ++p; stop < end && (item ? *stop != ']' : *stop != '.' && *stop != '[');)
            stop++;
        const char *number = p;
        int i = take_number(&number, stop);
        struct jv key = number == stop && stop > p ? jv_int(i)
                                                   : jv_str_ref(vm, p, (size_t)(stop - p));
        v = jinja_item(vm, v, key);
        stop += item && stop < end;
    }
    return v;
}

/* One {field!conversion:spec}; [p, end) is between the braces. */
static void put_field(struct jinja_vm *vm, struct buf *b, const char *p, const char *end,
                      const struct jv_call *c, size_t *next)
{
    const char *colon = memchr(p, ':', (size_t)(end - p));
    const char *stop = colon ? colon : end, *bang = memchr(p, '!', (size_t)(stop - p));
    struct spec s = {.precision = -1};
    struct jv v = field_value(vm, p, bang ? bang : stop, c, next);
    if (vm->rc)
        return;
    if (bang && (stop - bang != 2 || !one_of(bang[1], "rsa")))
        jv_fail(vm, "Unknown conversion specifier in format()");
    else if (bang && bang[1] != 's') {
        struct buf text;
        jv_buf_init(vm, &text);
        jv_put_repr(vm, &text, v);
        v = jv_str_take(vm, &text);
    } else if (bang)
        v = jv_to_str(vm, v);
    if (colon && !read_spec(colon + 1, end, &s))
        jv_fail(vm, "Invalid format specifier");
    put_formatted(vm, b, v, s, colon && colon + 1 < end);
}

struct jv jinja_format(struct jinja_vm *vm, struct jv format, const struct jv_call *c)
{
    const char *p = format.u.str->p, *end = p + format.u.str->n;
    size_t next = 0;
    struct buf b;
    jv_buf_init(vm, &b);
    while (p < end && jv_step(vm, 1)) {
        if (*p != '{' && *p != '}') {
            buf_append_char(&b, *p++);
        } else if (p + 1 < end && p[1] == *p) {
            buf_append_char(&b, *p);
            p += 2;
        } else {
            const char *close = *p == '{' ? memchr(p, '}', (size_t)(end - p)) : NULL;
            if (!close || memchr(p + 1, '{', (size_t)(close - p - 1))) {
                jv_fail(vm, "a single or nested brace in a format string");
                break;
            }
            put_field(vm, &b, p + 1, close, c, &next);
            p = close + 1;
        }
    }
    struct jv v = jv_str_take(vm, &b);
    if (v.type == JV_STR)
        v.u.str->markup = format.u.str->markup;
    return v;
}
