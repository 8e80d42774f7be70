/* json_schema_number.c - see json_schema_writer.h: numbers between bounds, digit by digit.
 *
 * A bound splits what may follow at each digit: as long as a number's digits are those of the bound
 * it is "tight", and the next digit may not pass the bound's; once it differs, any digits may
 * follow.
 */
#include "text/json_schema_writer.h"

#include "base/err.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIGITS 15 /* of a number with bounds: as many as a double tells apart */

/* A bound without its sign: digits around the point. */
struct bound {
    bool given, minus, exclusive;
    char whole[MAX_DIGITS + 2];    /* "0", or no zero in front */
    char fraction[MAX_DIGITS + 1]; /* no zero at the end */
};

static bool is_zero(const struct bound *b)
{
    return b->whole[0] == '0' && b->fraction[0] == '\0';
}

static int too_fine(struct schema_writer *w, const char *key)
{
    return schema_fail(w, ERR_UNSUPPORTED, "\"%s\" has more than %d digits", key, MAX_DIGITS);
}

/* Plain decimal notation of a number with up to MAX_DIGITS digits. */
static int read_bound(struct schema_writer *w, const json_t *v, const char *key, bool upper,
                      struct bound *b)
{
    if (!json_is_number(v))
        return schema_fail(w, ERR_FORMAT, "\"%s\" is no number", key);
    double d = json_number_value(v);
    char text[64];
    int decimals = 0;
    if (fabs(d) >= 1e15 && (d > 0) == upper) { /* numbers with more digits are not written anyway */
        d = upper ? 999999999999999 : -999999999999999;
        b->exclusive = false;
    }
    if (!(fabs(d) < 1e15))
        return too_fine(w, key);
    for (; decimals <= MAX_DIGITS; decimals++) {
        snprintf(text, sizeof text, "%.*f", decimals, fabs(d));
        if (strtod(text, NULL) == fabs(d))
            break;
    }
    char *point = strchr(text, '.');
    size_t n_whole = point ? (size_t)(point - text) : strlen(text);
    if (decimals > MAX_DIGITS || n_whole + (size_t)decimals > MAX_DIGITS)
        return too_fine(w, key);
    b->given = true;
    b->minus = d < 0;
    memcpy(b->whole, text, n_whole);
    b->whole[n_whole] = '\0';
    snprintf(b->fraction, sizeof b->fraction, "%s", point ? point + 1 : "");
    return 0;
}

static double value_of(const struct bound *b)
{
    char text[2 * MAX_DIGITS + 4];
    snprintf(text, sizeof text, "%s%s.%s", b->minus ? "-" : "", b->whole, b->fraction);
    return strtod(text, NULL);
}

/* The tighter of the inclusive and the exclusive keyword. */
static int read_bounds(struct schema_writer *w, const json_t *s, bool upper, struct bound *b)
{
    const char *keys[] = {upper ? "maximum" : "minimum",
                          upper ? "exclusiveMaximum" : "exclusiveMinimum"};
    *b = (struct bound){0};
    for (int i = 0; i < 2; i++) {
        const json_t *v = json_object_get(s, keys[i]);
        struct bound x = {.exclusive = i == 1};
        if (!v)
            continue;
        int rc = read_bound(w, v, keys[i], upper, &x);
        if (rc)
            return rc;
        double was = b->given ? value_of(b) : 0, now = value_of(&x);
        if (!b->given || (upper ? now <= was : now >= was))
            *b = x;
    }
    return 0;
}

/* For whole numbers every bound is the nearest whole one, inclusive. */
static void make_whole(struct bound *b, bool upper)
{
    if (!b->given)
        return;
    double d = value_of(b), whole = upper ? floor(d) : ceil(d);
    if (b->exclusive && whole == d)
        whole += upper ? -1 : 1;
    *b = (struct bound){.given = true, .minus = whole < 0};
    snprintf(b->whole, sizeof b->whole, "%.0f", fabs(whole));
}

/* A range of magnitudes. `hi` may be absent. */
struct span {
    const struct bound *lo, *hi;
    bool integer;
    size_t n_whole; /* digits before the point now being written */
};

static char digit(const char *s, size_t i)
{
    return i < strlen(s) ? s[i] : '0';
}

static bool only_zeros(const struct bound *b, size_t from)
{
    return from >= strlen(b->fraction); /* it has no zeros at its end */
}

/* Whatever comes is no smaller than the zeros that the lower bound goes on with. */
static bool at_least_zeros(const struct span *x, size_t at)
{
    return only_zeros(x->lo, at) && !x->lo->exclusive;
}

/* Whether the number may stop after `at` digits of its fraction. */
static bool may_stop(const struct span *x, size_t at, bool tight_lo, bool tight_hi)
{
    bool lo = !tight_lo || at_least_zeros(x, at);
    bool hi = !tight_hi || !only_zeros(x->hi, at) || !x->hi->exclusive;
    return lo && hi;
}

/* Appends "d rest" for one digit or "[c-d] rest" for several, as an alternative. */
static void add_way(struct buf *out, char from, char to, const struct buf *rest)
{
    buf_append_str(out, out->len ? " | " : "");
    if (from == to)
        buf_printf(out, "\"%c\" %s", from, buf_str(rest));
    else
        buf_printf(out, "[%c-%c] %s", from, to, buf_str(rest));
}

static bool tails(const struct span *x, size_t at, bool tight_lo, bool tight_hi, struct buf *out);

typedef bool rest_fn(const struct span *x, size_t at, bool tight_lo, bool tight_hi,
                     struct buf *out);

/* One digit that stays within the bounds while it is tight, then what follows by `rest`. */
static bool digit_ways(const struct span *x, size_t at, const char tight[2], rest_fn *rest,
                       struct buf *out)
{
    bool lo = tight[0] != 0, hi = tight[1] != 0, some = false;
    char from = tight[0], to = tight[1];
    struct buf ways, after;
    buf_init(&ways, 1 << 16);
    buf_init(&after, 1 << 16);
    if (lo && hi && from == to) {
        some = rest(x, at + 1, true, true, &after);
        if (some)
            add_way(&ways, from, from, &after);
        from++;
    } else {
        if (lo && rest(x, at + 1, true, false, &after)) {
            add_way(&ways, from, from, &after);
            some = true;
        }
        buf_reset(&after);
        if (hi && rest(x, at + 1, false, true, &after)) {
            add_way(&ways, to, to, &after);
            some = true;
        }
        buf_reset(&after);
        from = lo ? (char)(from + 1) : '0';
        to = hi ? (char)(to - 1) : '9';
        if (!lo && at == 0 && rest != tails && x->n_whole > 1)
            from = '1';
        if (from <= to && rest(x, at + 1, false, false, &after)) {
            add_way(&ways, from, to, &after);
            some = true;
        }
    }
    if (some)
        buf_printf(out, "(%s)", buf_str(&ways));
    buf_release(&ways);
    buf_release(&after);
    return some;
}

/* What may come after `at` >= 0 digits of the fraction; false where nothing may. At 0 the point
 * stands already, and a digit must come. */
static bool tails(const struct span *x, size_t at, bool tight_lo, bool tight_hi, struct buf *out)
{
    size_t left = MAX_DIGITS > x->n_whole + at ? MAX_DIGITS - x->n_whole - at : 0;
    tight_lo = tight_lo && !at_least_zeros(x, at);
    if (!tight_lo && !tight_hi) {
        buf_printf(out, "[0-9]{%d,%zu}", at == 0, left ? left : at == 0);
        return true;
    }
    bool stop = at > 0 && may_stop(x, at, tight_lo, tight_hi);
    if (left == 0 || (tight_hi && only_zeros(x->hi, at)))
        return stop;
    const char tight[2] = {tight_lo ? digit(x->lo->fraction, at) : '\0',
                           tight_hi ? digit(x->hi->fraction, at) : '\0'};
    struct buf more;
    buf_init(&more, 1 << 16);
    bool goes_on = (!tight_lo || !tight_hi || tight[0] <= tight[1]) &&
                   digit_ways(x, at, tight, tails, &more);
    if (goes_on)
        buf_printf(out, stop ? "%s?" : "%s", buf_str(&more));
    buf_release(&more);
    return goes_on || stop;
}

/* After the last digit before the point. */
static bool fraction(const struct span *x, bool tight_lo, bool tight_hi, struct buf *out)
{
    bool stop = may_stop(x, 0, tight_lo, tight_hi);
    if (x->integer)
        return stop;
    struct buf more;
    buf_init(&more, 1 << 16);
    bool goes_on = x->n_whole < MAX_DIGITS && tails(x, 0, tight_lo, tight_hi, &more);
    if (goes_on)
        buf_printf(out, stop ? "(\".\" %s)?" : "(\".\" %s)", buf_str(&more));
    buf_release(&more);
    return goes_on || stop;
}

/* What may come after `at` digits of x->n_whole before the point. */
static bool wholes(const struct span *x, size_t at, bool tight_lo, bool tight_hi, struct buf *out)
{
    if (at == x->n_whole)
        return fraction(x, tight_lo, tight_hi, out);
    if (!tight_lo && !tight_hi && at > 0) {
        buf_printf(out, "[0-9]{%zu} ", x->n_whole - at);
        return fraction(x, false, false, out);
    }
    const char tight[2] = {tight_lo ? x->lo->whole[at] : '\0', tight_hi ? x->hi->whole[at] : '\0'};
    if (tight_lo && tight_hi && tight[0] > tight[1])
        return false;
    return digit_ways(x, at, tight, wholes, out);
}

/* All magnitudes from lo to hi as alternatives, behind `sign`. */
static void magnitudes(struct span x, const char *sign, struct buf *out)
{
    size_t n_lo = strlen(x.lo->whole), n_hi = x.hi ? strlen(x.hi->whole) : MAX_DIGITS;
    for (size_t n = n_lo; n <= n_hi; n++) {
        struct buf one;
        buf_init(&one, 1 << 16);
        x.n_whole = n;
        if (wholes(&x, 0, n == n_lo, x.hi && n == n_hi, &one))
            buf_printf(out, "%s%s%s", out->len ? " | " : "", sign, buf_str(&one));
        buf_release(&one);
    }
}

static bool crossed(const struct bound *lo, const struct bound *hi)
{
    if (!lo->given || !hi->given)
        return false;
    double a = value_of(lo), b = value_of(hi);
    return a > b || (a == b && (lo->exclusive || hi->exclusive));
}

int schema_number(struct schema_writer *w, const json_t *s, bool integer, struct buf *out)
{
    struct bound lo, hi, zero = {.given = true, .whole = "0"}, one = {.given = true, .whole = "1"};
    int rc = read_bounds(w, s, false, &lo);
    if (!rc)
        rc = read_bounds(w, s, true, &hi);
    if (rc)
        return rc;
    if (!lo.given && !hi.given) {
        buf_append_str(out, integer ? "integer" : "number");
        return 0;
    }
    if (integer) {
        make_whole(&lo, false);
        make_whole(&hi, true);
    }
    if (crossed(&lo, &hi))
        return schema_fail(w, ERR_FORMAT, "no number lies between the bounds");
    struct buf ways;
    buf_init(&ways, 1 << 20);
    if (!hi.given || !hi.minus) { /* from 0 up */
        struct bound from = lo.given && !lo.minus ? lo : zero;
        magnitudes((struct span){&from, hi.given ? &hi : NULL, integer, 0}, "", &ways);
    }
    if (!lo.given || lo.minus) { /* from 0 down */
        struct bound from = hi.given && hi.minus ? hi : integer ? one : zero;
        from.exclusive |= hi.given && is_zero(&hi) && hi.exclusive;
        magnitudes((struct span){&from, lo.given ? &lo : NULL, integer, 0}, "\"-\" ", &ways);
    }
    if (ways.len == 0 || buf_failed(&ways))
        rc = schema_fail(w, ERR_FORMAT, "no number lies between the bounds");
    else
        buf_printf(out, "%s", buf_str(&ways));
    buf_release(&ways);
    return rc;
}
