/* jinja_str_methods.c - the methods of str that change nothing; see jinja_builtins.h. */
#include "text/jinja_builtins.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "text/jinja_text.h"

#include <string.h>
#include <utf8proc.h>

size_t jinja_space(const char *p, size_t n)
{
    size_t k;
    if (!n)
        return 0;
    if ((unsigned char)*p < 0x80)
        return *p == ' ' || (*p >= '\t' && *p <= '\r') || (*p >= 0x1c && *p <= 0x1f);
    uint32_t c = utf8_decode(p, n, &k);
    bool space = c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
                 c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
    return space ? k : 0;
}

/* A part of s, as markup if s is. */
static struct jv part(struct jinja_vm *vm, struct jv s, size_t begin, size_t end)
{
    struct jv v = jv_str_ref(vm, s.u.str->p + begin, end - begin);
    if (v.type == JV_STR)
        v.u.str->markup = s.u.str->markup;
    return v;
}

static struct jv taken_like(struct jinja_vm *vm, struct buf *b, struct jv s)
{
    struct jv v = jv_str_take(vm, b);
    if (v.type == JV_STR)
        v.u.str->markup = s.u.str->markup;
    return v;
}

static bool text_arg(struct jinja_vm *vm, struct jv v)
{
    if (v.type != JV_STR)
        jv_fail(vm, "a string is expected, not '%s'", jv_type_name(v));
    return v.type == JV_STR;
}

/* The bytes of the character at p if it is to be stripped, else 0. */
static size_t strippable(const char *p, size_t n, const struct jv_str *chars)
{
    size_t k;
    if (!chars)
        return jinja_space(p, n);
    utf8_decode(p, n, &k);
    return memmem(chars->p, chars->n, p, k) ? k : 0;
}

struct jv jinja_strip(struct jinja_vm *vm, struct jv s, struct jv chars, int ends)
{
    if (vm->rc || (chars.type != JV_MISSING && chars.type != JV_NONE && !text_arg(vm, chars)))
        return jv_undefined();
    const struct jv_str *set = chars.type == JV_STR ? chars.u.str : NULL;
    const char *p = s.u.str->p;
    size_t begin = 0, end = s.u.str->n;
    if (!jv_step(vm, end / 16))
        return jv_undefined();
    for (size_t k; (ends & 1) && begin < end && (k = strippable(p + begin, end - begin, set));)
        begin += k;
    while ((ends & 2) && end > begin) {
        size_t at = end - 1;
        while (at > begin && ((unsigned char)p[at] & 0xc0) == 0x80)
            at--;
        if (!strippable(p + at, end - at, set))
            break;
        end = at;
    }
    return part(vm, s, begin, end);
}

struct jv jinja_replace(struct jinja_vm *vm, struct jv s, const struct jv from_to[2], int64_t most)
{
    if (!text_arg(vm, from_to[0]) || !text_arg(vm, from_to[1]) || !jv_step(vm, s.u.str->n / 16))
        return jv_undefined();
    const struct jv_str *from = from_to[0].u.str;
    const char *p = s.u.str->p, *end = p + s.u.str->n;
    struct buf b;
    jv_buf_init(vm, &b);
    while (most && p <= end && !buf_failed(&b) && jv_step(vm, 1)) {
        const char *at = from->n ? memmem(p, (size_t)(end - p), from->p, from->n) : p;
        if (!at)
            break;
        size_t keep = 0; /* with nothing to find, one character follows each insertion */
        if (!from->n && p < end)
            utf8_decode(p, (size_t)(end - p), &keep);
        buf_append(&b, p, (size_t)(at - p));
        jv_put_str(vm, &b, from_to[1]);
        buf_append(&b, at, keep);
        p = at + from->n + keep;
        most -= most > 0;
        if (!from->n && !keep)
            break;
    }
    if (p < end)
        buf_append(&b, p, (size_t)(end - p));
    return taken_like(vm, &b, s);
}

static void put_char(struct buf *b, uint32_t c)
{
    char text[4];
    buf_append(b, text, utf8_encode(c, text));
}

static void put_cased(struct buf *b, uint32_t c, bool upper)
{
    if (upper && c == 0xdf)
        buf_append_str(b, "SS"); /* the one letter of note whose upper case is two */
    else
        put_char(b, (uint32_t)(upper ? utf8proc_toupper((utf8proc_int32_t)c)
                                     : utf8proc_tolower((utf8proc_int32_t)c)));
}

struct jv jinja_case(struct jinja_vm *vm, struct jv s, bool upper)
{
    struct buf b;
    if (vm->rc || !jv_step(vm, s.u.str->n / 16))
        return jv_undefined();
    jv_buf_init(vm, &b);
    for (size_t i = 0, n; i < s.u.str->n; i += n)
        put_cased(&b, utf8_decode(s.u.str->p + i, s.u.str->n - i, &n), upper);
    return taken_like(vm, &b, s);
}

static bool is_letter(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

static bool is_digit(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

/* The first letter of the text, or of each word, in upper case, the others in lower. */
struct jv jinja_title(struct jinja_vm *vm, struct jv s, bool words)
{
    struct buf b;
    bool begin = true;
    if (vm->rc || !jv_step(vm, s.u.str->n / 16))
        return jv_undefined();
    jv_buf_init(vm, &b);
    for (size_t i = 0, n; i < s.u.str->n; i += n) {
        uint32_t c = utf8_decode(s.u.str->p + i, s.u.str->n - i, &n);
        put_cased(&b, c, begin);
        begin = words && !is_letter(c);
    }
    return taken_like(vm, &b, s);
}

static struct jv str_capitalize(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_title(vm, c->self, false);
}

static struct jv str_title(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_title(vm, c->self, true);
}

static struct jv str_upper(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_case(vm, c->self, true);
}

static struct jv str_lower(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_case(vm, c->self, false);
}

static struct jv str_strip(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_strip(vm, c->self, c->a[0], 3);
}

static struct jv str_lstrip(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_strip(vm, c->self, c->a[0], 1);
}

static struct jv str_rstrip(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_strip(vm, c->self, c->a[0], 2);
}

static struct jv str_replace(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_replace(vm, c->self, c->a, jv_is_integer(c->a[2]) ? jv_as_int(c->a[2]) : -1);
}

/* Does the text begin or end with this one, or with one of a tuple? */
static bool has_end(struct jinja_vm *vm, struct jv s, struct jv with, bool front)
{
    if (with.type == JV_TUPLE) {
        for (size_t i = 0; i < with.u.list->n && !vm->rc; i++)
            if (with.u.list->v[i].type != JV_TUPLE && has_end(vm, s, with.u.list->v[i], front))
                return true;
        return false;
    }
    if (!text_arg(vm, with) || with.u.str->n > s.u.str->n)
        return false;
    const char *at = front ? s.u.str->p : s.u.str->p + s.u.str->n - with.u.str->n;
    return memcmp(at, with.u.str->p, with.u.str->n) == 0;
}

static struct jv str_startswith(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_bool(has_end(vm, c->self, c->a[0], true));
}

static struct jv str_endswith(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_bool(has_end(vm, c->self, c->a[0], false));
}

static struct jv str_removeprefix(struct jinja_vm *vm, struct jv_call *c)
{
    bool has = has_end(vm, c->self, c->a[0], true);
    return vm->rc ? jv_undefined()
                  : part(vm, c->self, has ? c->a[0].u.str->n : 0, c->self.u.str->n);
}

static struct jv str_removesuffix(struct jinja_vm *vm, struct jv_call *c)
{
    bool has = has_end(vm, c->self, c->a[0], false);
    return vm->rc ? jv_undefined()
                  : part(vm, c->self, 0, c->self.u.str->n - (has ? c->a[0].u.str->n : 0));
}

/* Where the text last occurs before `end`, or NULL. */
static const char *find_back(const struct jv_str *s, size_t end, const struct jv_str *what)
{
    for (size_t i = end >= what->n ? end - what->n + 1 : 0; i > 0; i--)
        if (memcmp(s->p + i - 1, what->p, what->n) == 0)
            return s->p + i - 1;
    return NULL;
}

static struct jv reversed(struct jv list)
{
    for (size_t i = 0, j = list.u.list->n; i + 1 < j; i++) {
        struct jv swap = list.u.list->v[i];
        list.u.list->v[i] = list.u.list->v[--j];
        list.u.list->v[j] = swap;
    }
    return list;
}

static struct jv split_at(struct jinja_vm *vm, struct jv s, const struct jv_str *by, int64_t most,
                          bool back)
{
    struct jv list = jv_list(vm, JV_LIST, 0);
    const struct jv_str *t = s.u.str;
    size_t begin = 0, end = t->n;
    if (!by->n)
        return jv_fail(vm, "empty separator");
    for (; most && jv_step(vm, 1); most--) {
        const char *at = back ? find_back(t, end, by)
                              : memmem(t->p + begin, end - begin, by->p, by->n);
        if (!at)
            break;
        size_t i = (size_t)(at - t->p);
        jv_push(vm, list, back ? part(vm, s, i + by->n, end) : part(vm, s, begin, i));
        if (back)
            end = i;
        else
            begin = i + by->n;
    }
    jv_push(vm, list, part(vm, s, begin, end));
    return back && !vm->rc ? reversed(list) : list;
}

/* Words between white space. */
static struct jv split_words(struct jinja_vm *vm, struct jv s, int64_t most)
{
    struct jv list = jv_list(vm, JV_LIST, 0);
    const char *p = s.u.str->p;
    size_t i = 0, n = s.u.str->n, k;
    while (jv_step(vm, 1)) {
        while (i < n && (k = jinja_space(p + i, n - i)))
            i += k;
        if (i == n)
            break;
        size_t begin = i;
        if (!most--) {
            jv_push(vm, list, part(vm, s, begin, n));
            break;
        }
        while (i < n && !jinja_space(p + i, n - i))
            i++;
        jv_push(vm, list, part(vm, s, begin, i));
    }
    return list;
}

static struct jv split(struct jinja_vm *vm, struct jv_call *c, bool back)
{
    int64_t most = jv_is_integer(c->a[1]) ? jv_as_int(c->a[1]) : -1;
    if (c->a[0].type == JV_MISSING || c->a[0].type == JV_NONE) {
        if (back && most >= 0)
            return jv_fail(vm, "rsplit() with a limit wants a separator");
        return split_words(vm, c->self, most);
    }
    return text_arg(vm, c->a[0]) ? split_at(vm, c->self, c->a[0].u.str, most, back)
                                 : jv_undefined();
}

static struct jv str_split(struct jinja_vm *vm, struct jv_call *c)
{
    return split(vm, c, false);
}

static struct jv str_rsplit(struct jinja_vm *vm, struct jv_call *c)
{
    return split(vm, c, true);
}

static struct jv str_splitlines(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv list = jv_list(vm, JV_LIST, 0);
    const char *p = c->self.u.str->p;
    size_t n = c->self.u.str->n, begin = 0;
    for (size_t i = 0; i < n && jv_step(vm, 1);) {
        size_t k = p[i] == '\r' && i + 1 < n && p[i + 1] == '\n'
                       ? 2
                       : (p[i] >= '\n' && p[i] <= '\r') || (p[i] >= 0x1c && p[i] <= 0x1e);
        if (k) {
            jv_push(vm, list, part(vm, c->self, begin, i + (jv_truth(c->a[0]) ? k : 0)));
            begin = i + k;
        }
        i += k ? k : 1;
    }
    if (begin < n)
        jv_push(vm, list, part(vm, c->self, begin, n));
    return list;
}

static struct jv partition(struct jinja_vm *vm, struct jv_call *c, bool back)
{
    if (!text_arg(vm, c->a[0]))
        return jv_undefined();
    struct jv list = split_at(vm, c->self, c->a[0].u.str, 1, back);
    struct jv three = jv_list(vm, JV_TUPLE, 3), empty = jv_str_lit(vm, "");
    if (vm->rc)
        return list;
    bool found = list.u.list->n == 2;
    jv_push(vm, three, found || !back ? list.u.list->v[0] : empty);
    jv_push(vm, three, found ? c->a[0] : empty);
    jv_push(vm, three, found || back ? list.u.list->v[list.u.list->n - 1] : empty);
    return three;
}

static struct jv str_partition(struct jinja_vm *vm, struct jv_call *c)
{
    return partition(vm, c, false);
}

static struct jv str_rpartition(struct jinja_vm *vm, struct jv_call *c)
{
    return partition(vm, c, true);
}

static struct jv str_join(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv_iter it;
    struct jv item;
    struct buf b;
    if (!jv_iterate(vm, &it, c->a[0]))
        return jv_undefined();
    jv_buf_init(vm, &b);
    for (bool first = true; jv_next(vm, &it, &item) && text_arg(vm, item); first = false) {
        if (!first)
            jv_put_str(vm, &b, c->self);
        jv_put_str(vm, &b, item);
    }
    return taken_like(vm, &b, c->self);
}

/* The position of a text in characters, or -1; begin and end as in a slice. */
static int64_t find(struct jinja_vm *vm, struct jv_call *c, bool back)
{
    struct jv bounds[] = {c->a[1], c->a[2], jv_none()}, whole[] = {c->a[1], jv_none(), jv_none()};
    if (!text_arg(vm, c->a[0]))
        return -1;
    struct jv in = jinja_slice(vm, c->self, bounds), rest = jinja_slice(vm, c->self, whole);
    if (vm->rc || !jv_step(vm, in.u.str->n / 16))
        return -1;
    const char *at = back ? find_back(in.u.str, in.u.str->n, c->a[0].u.str)
                          : memmem(in.u.str->p, in.u.str->n, c->a[0].u.str->p, c->a[0].u.str->n);
    if (!at)
        return -1;
    struct jv_str before = {.p = in.u.str->p, .n = (size_t)(at - in.u.str->p), .n_chars = SIZE_MAX};
    return (int64_t)(jv_str_chars(c->self.u.str) - jv_str_chars(rest.u.str) +
                     jv_str_chars(&before));
}

static struct jv str_find(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_int(find(vm, c, false));
}

static struct jv str_rfind(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_int(find(vm, c, true));
}

static struct jv str_index(struct jinja_vm *vm, struct jv_call *c)
{
    int64_t i = find(vm, c, false);
    return i < 0 ? jv_fail(vm, "substring not found") : jv_int(i);
}

static struct jv str_rindex(struct jinja_vm *vm, struct jv_call *c)
{
    int64_t i = find(vm, c, true);
    return i < 0 ? jv_fail(vm, "substring not found") : jv_int(i);
}

static struct jv str_count(struct jinja_vm *vm, struct jv_call *c)
{
    if (!text_arg(vm, c->a[0]))
        return jv_undefined();
    if (!c->a[0].u.str->n)
        return jv_int((int64_t)jv_str_chars(c->self.u.str) + 1);
    struct jv list = split_at(vm, c->self, c->a[0].u.str, -1, false);
    return vm->rc ? list : jv_int((int64_t)list.u.list->n - 1);
}

static struct jv str_format(struct jinja_vm *vm, struct jv_call *c)
{
    return jinja_format(vm, c->self, c);
}

/* Filled up to a width: what is missing goes to the left, right or both sides. */
static struct jv pad(struct jinja_vm *vm, struct jv_call *c, int side)
{
    struct buf b;
    int64_t width = jv_is_integer(c->a[0]) ? jv_as_int(c->a[0]) : 0;
    int64_t missing = width - (int64_t)jv_str_chars(c->self.u.str);
    int64_t left = missing <= 0 ? 0
                   : side < 0   ? missing
                   : side > 0   ? 0
                                : missing / 2 + (missing & width & 1);
    if (c->a[1].type != JV_MISSING && !text_arg(vm, c->a[1]))
        return jv_undefined();
    jv_buf_init(vm, &b);
    const char *fill = c->a[1].type == JV_STR ? c->a[1].u.str->p : " ";
    size_t n = c->a[1].type == JV_STR ? c->a[1].u.str->n : 1;
    jv_buf_repeat(&b, fill, n, left);
    jv_put_str(vm, &b, c->self);
    jv_buf_repeat(&b, fill, n, missing - left);
    return taken_like(vm, &b, c->self);
}

static struct jv str_ljust(struct jinja_vm *vm, struct jv_call *c)
{
    return pad(vm, c, 1);
}

static struct jv str_rjust(struct jinja_vm *vm, struct jv_call *c)
{
    return pad(vm, c, -1);
}

static struct jv str_center(struct jinja_vm *vm, struct jv_call *c)
{
    return pad(vm, c, 0);
}

static struct jv str_zfill(struct jinja_vm *vm, struct jv_call *c)
{
    struct buf b;
    int64_t width = jv_is_integer(c->a[0]) ? jv_as_int(c->a[0]) : 0;
    int64_t missing = width - (int64_t)jv_str_chars(c->self.u.str);
    const struct jv_str *s = c->self.u.str;
    size_t sign = s->n && (s->p[0] == '-' || s->p[0] == '+');
    jv_buf_init(vm, &b);
    buf_append(&b, s->p, sign);
    jv_buf_repeat(&b, "0", 1, missing);
    buf_append(&b, s->p + sign, s->n - sign);
    return jv_str_take(vm, &b);
}

/* Is every character such, and is there one? */
static struct jv every(struct jv s, bool (*such)(uint32_t c))
{
    for (size_t i = 0, n; i < s.u.str->n; i += n)
        if (!such(utf8_decode(s.u.str->p + i, s.u.str->n - i, &n)))
            return jv_bool(false);
    return jv_bool(s.u.str->n > 0);
}

static bool is_alnum(uint32_t c)
{
    return is_letter(c) || is_digit(c);
}

static bool is_space(uint32_t c)
{
    char text[4];
    return jinja_space(text, utf8_encode(c, text)) > 0;
}

static struct jv str_isalpha(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return every(c->self, is_letter);
}

static struct jv str_isdigit(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return every(c->self, is_digit);
}

static struct jv str_isalnum(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return every(c->self, is_alnum);
}

static struct jv str_isspace(struct jinja_vm *vm, struct jv_call *c)
{
    (void)vm;
    return every(c->self, is_space);
}

static struct jv str_isupper(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_builtin_call(vm, jv_builtin_find(jinja_tests, "upper"), c);
}

static struct jv str_islower(struct jinja_vm *vm, struct jv_call *c)
{
    return jv_builtin_call(vm, jv_builtin_find(jinja_tests, "lower"), c);
}

const struct jv_builtin jinja_str_methods[] = {{"capitalize", "", str_capitalize},
                                               {"casefold", "", str_lower},
                                               {"center", "width fillchar?", str_center},
                                               {"count", "sub", str_count},
                                               {"endswith", "suffix", str_endswith},
                                               {"find", "sub start? end?", str_find},
                                               {"format", "*", str_format},
                                               {"index", "sub start? end?", str_index},
                                               {"isalnum", "", str_isalnum},
                                               {"isalpha", "", str_isalpha},
                                               {"isdecimal", "", str_isdigit},
                                               {"isdigit", "", str_isdigit},
                                               {"islower", "", str_islower},
                                               {"isnumeric", "", str_isdigit},
                                               {"isspace", "", str_isspace},
                                               {"isupper", "", str_isupper},
                                               {"join", "iterable", str_join},
                                               {"ljust", "width fillchar?", str_ljust},
                                               {"lower", "", str_lower},
                                               {"lstrip", "chars?", str_lstrip},
                                               {"partition", "sep", str_partition},
                                               {"removeprefix", "prefix", str_removeprefix},
                                               {"removesuffix", "suffix", str_removesuffix},
                                               {"replace", "old new count?", str_replace},
                                               {"rfind", "sub start? end?", str_rfind},
                                               {"rindex", "sub start? end?", str_rindex},
                                               {"rjust", "width fillchar?", str_rjust},
                                               {"rpartition", "sep", str_rpartition},
                                               {"rsplit", "sep? maxsplit?", str_rsplit},
                                               {"rstrip", "chars?", str_rstrip},
                                               {"split", "sep? maxsplit?", str_split},
                                               {"splitlines", "keepends?", str_splitlines},
                                               {"startswith", "prefix", str_startswith},
                                               {"strip", "chars?", str_strip},
                                               {"title", "", str_title},
                                               {"upper", "", str_upper},
                                               {"zfill", "width", str_zfill},
                                               {NULL, NULL, NULL}};
