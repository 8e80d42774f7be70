/* jinja_operators.c - arithmetic and membership, with Python's rules; see jinja_builtins.h. */
#include "text/jinja_builtins.h"

#include "base/buf.h"
#include "text/jinja_lex.h"
#include "text/jinja_text.h"

#include <math.h>
#include <string.h>

static const char *spelling(int op)
{
    static const char *const one[] = {
        ['+'] = "+", ['-'] = "-", ['*'] = "*", ['/'] = "/", ['%'] = "%"};
    return op == JINJA_POW ? "**" : op == JINJA_FLOORDIV ? "//" : one[op];
}

static struct jv unsupported(struct jinja_vm *vm, int op, struct jv a, struct jv b)
{
    return jv_fail(vm, "unsupported operand type(s) for %s: '%s' and '%s'", spelling(op),
                   jv_type_name(a), jv_type_name(b));
}

static struct jv too_large(struct jinja_vm *vm)
{
    return jv_fail(vm, "an integer is beyond 64 bits");
}

static struct jv power(struct jinja_vm *vm, int64_t base, int64_t exponent)
{
    int64_t r = 1;
    if (exponent < 0)
        return base ? jv_float(pow((double)base, (double)exponent))
                    : jv_fail(vm, "0 to a negative power");
    while (exponent) {
        if ((exponent & 1) && __builtin_mul_overflow(r, base, &r))
            return too_large(vm);
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base))
            return too_large(vm);
    }
    return jv_int(r);
}

static struct jv integers(struct jinja_vm *vm, int op, int64_t a, int64_t b)
{
    int64_t r;
    if ((op == '/' || op == '%' || op == JINJA_FLOORDIV) && !b)
        return jv_fail(vm, "division by zero");
    if ((op == '%' || op == JINJA_FLOORDIV) && b == -1) /* INT64_MIN / -1 */
        return op == '%'                                   ? jv_int(0)
               : __builtin_sub_overflow((int64_t)0, a, &r) ? too_large(vm)
                                                           : jv_int(r);
    switch (op) {
    case '+':
        return __builtin_add_overflow(a, b, &r) ? too_large(vm) : jv_int(r);
    case '-':
        return __builtin_sub_overflow(a, b, &r) ? too_large(vm) : jv_int(r);
    case '*':
        return __builtin_mul_overflow(a, b, &r) ? too_large(vm) : jv_int(r);
    case '/':
        return jv_float((double)a / (double)b);
    case '%':
        r = a % b;
        return jv_int(r && (r < 0) != (b < 0) ? r + b : r);
    case JINJA_FLOORDIV:
        return jv_int(a / b - (a % b && (a < 0) != (b < 0)));
    default:
        return power(vm, a, b);
    }
}

static struct jv floats(struct jinja_vm *vm, int op, double a, double b)
{
    if ((op == '/' || op == '%' || op == JINJA_FLOORDIV) && b == 0)
        return jv_fail(vm, "division by zero");
    switch (op) {
    case '+':
        return jv_float(a + b);
    case '-':
        return jv_float(a - b);
    case '*':
        return jv_float(a * b);
    case '/':
        return jv_float(a / b);
    case '%': {
        double r = fmod(a, b);
        return jv_float(r != 0 && (r < 0) != (b < 0) ? r + b : r);
    }
    case JINJA_FLOORDIV:
        return jv_float(floor(a / b));
    default:
        return jv_float(pow(a, b));
    }
}

/* Text or a list, n times. */
static struct jv repeat(struct jinja_vm *vm, struct jv what, int64_t n)
{
    if (what.type == JV_STR) {
        struct buf b;
        jv_buf_init(vm, &b);
        jv_buf_repeat(&b, what.u.str->p, what.u.str->n, n);
        struct jv v = jv_str_take(vm, &b);
        if (v.type == JV_STR)
            v.u.str->markup = what.u.str->markup;
        return v;
    }
    if (what.u.list->n && n > 0 && (uint64_t)n > vm->heap_left / sizeof(what) / what.u.list->n)
        return jv_fail(vm, "rendering takes too much memory");
    struct jv list = jv_list(vm, what.type, 0);
    for (int64_t i = 0; i < n && what.u.list->n && !vm->rc; i++)
        for (size_t j = 0; j < what.u.list->n && jv_step(vm, 1); j++)
            jv_push(vm, list, what.u.list->v[j]);
    return list;
}

static struct jv add_lists(struct jinja_vm *vm, struct jv a, struct jv b)
{
    size_t n = a.u.list->n + b.u.list->n;
    struct jv list = jv_step(vm, n / 4) ? jv_list(vm, a.type, n) : jv_undefined();
    for (size_t i = 0; i < n && !vm->rc; i++)
        jv_push(vm, list, i < a.u.list->n ? a.u.list->v[i] : b.u.list->v[i - a.u.list->n]);
    return list;
}

/* Markup escapes what is added to it, on either side. */
static struct jv add_strs(struct jinja_vm *vm, struct jv a, struct jv b)
{
    bool markup = a.u.str->markup || b.u.str->markup;
    if (markup) {
        a = jv_escape(vm, a);
        b = jv_escape(vm, b);
    }
    struct jv v = vm->rc ? jv_undefined() : jv_str_join(vm, a, b);
    if (v.type == JV_STR)
        v.u.str->markup = markup;
    return v;
}

static bool repeats(struct jv v)
{
    return v.type == JV_STR || v.type == JV_LIST || v.type == JV_TUPLE;
}

struct jv jinja_binary(struct jinja_vm *vm, int op, struct jv a, struct jv b)
{
    if (vm->rc)
        return jv_undefined();
    if (op == '%' && a.type == JV_STR)
        return jinja_percent(vm, a, b);
    if (a.type == JV_UNDEFINED || b.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, a.type == JV_UNDEFINED ? a : b);
    if (jv_is_integer(a) && jv_is_integer(b))
        return integers(vm, op, jv_as_int(a), jv_as_int(b));
    if (jv_is_number(a) && jv_is_number(b))
        return floats(vm, op, jv_as_float(a), jv_as_float(b));
    if (op == '+' && a.type == JV_STR && b.type == JV_STR)
        return add_strs(vm, a, b);
    if (op == '+' && a.type == b.type && repeats(a))
        return add_lists(vm, a, b);
    if (op == '*' && repeats(a) && jv_is_integer(b))
        return repeat(vm, a, jv_as_int(b));
    if (op == '*' && repeats(b) && jv_is_integer(a))
        return repeat(vm, b, jv_as_int(a));
    if (op == '+' && a.type == JV_STR)
        return jv_fail(vm, "can only concatenate str (not \"%s\") to str", jv_type_name(b));
    return unsupported(vm, op, a, b);
}

struct jv jinja_negate(struct jinja_vm *vm, struct jv a)
{
    if (a.type == JV_UNDEFINED)
        return jv_fail_undefined(vm, a);
    if (jv_is_integer(a))
        return integers(vm, '-', 0, jv_as_int(a));
    if (a.type == JV_FLOAT)
        return jv_float(-a.u.f);
    return jv_fail(vm, "bad operand type for unary -: '%s'", jv_type_name(a));
}

bool jinja_contains(struct jinja_vm *vm, struct jv item, struct jv in)
{
    struct jv_iter it;
    struct jv other;
    if (vm->rc)
        return false;
    if (in.type == JV_STR) {
        if (item.type != JV_STR) {
            jv_fail(vm, "'in <string>' requires string as left operand, not %s",
                    jv_type_name(item));
            return false;
        }
        return jv_step(vm, in.u.str->n / 64) &&
               memmem(in.u.str->p, in.u.str->n, item.u.str->p, item.u.str->n);
    }
    if (in.type == JV_DICT) {
        if (!jv_hashable(item))
            jv_fail(vm, "unhashable type: '%s'", jv_type_name(item));
        return !vm->rc && jv_get(vm, in, item);
    }
    size_t n;
    if (in.type != JV_ITER && !jv_len(in, &n)) {
        jv_fail(vm, "argument of type '%s' is not iterable", jv_type_name(in));
        return false;
    }
    if (jv_iterate(vm, &it, in))
        while (jv_next(vm, &it, &other))
            if (jv_equal(vm, item, other))
                return true;
    return false;
}
