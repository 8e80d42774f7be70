/* jinja_value.h - values of a rendering template; private to the interpreter.
 *
 * A value is a tag and a word. What it points to lives in the arena of the rendering, is never
 * changed once another value can see it (but for namespaces and the position of iterators) and goes
 * all at once. Types and their behaviour are Python's.
 */
#ifndef LAR_TEXT_JINJA_VALUE_H
#define LAR_TEXT_JINJA_VALUE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct map;
struct json_t;
struct tm;

enum jv_type {
    JV_MISSING, /* an argument that was not given; no template sees it */
    JV_UNDEFINED,
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_FLOAT,
    JV_STR,
    JV_LIST,
    JV_TUPLE,
    JV_RANGE,
    JV_DICT,
    JV_VIEW, /* what dict.items(), keys() and values() give: a list that cannot be indexed */
    JV_ITER, /* a generator: what map(), select() and the like give; can be read once */
    JV_NAMESPACE,
    JV_LOOP,
    JV_MACRO,
    JV_BUILTIN, /* a global function */
    JV_METHOD   /* a builtin bound to a value */
};

struct jv {
    enum jv_type type;
    union {
        bool b;
        int64_t i;
        double f;
        struct jv_str *str;
        struct jv_list *list; /* LIST, TUPLE, VIEW */
        struct jv_range *range;
        struct jv_dict *dict; /* DICT, NAMESPACE */
        struct jv_iter *iter;
        struct jv_undefined *undefined; /* NULL: no more is known */
        struct jinja_loop *loop;
        struct jinja_macro *macro;
        struct jv_method *method; /* BUILTIN, METHOD */
    } u;
};

struct jv_str {
    const char *p;  /* UTF-8, no NUL behind it */
    size_t n;       /* bytes */
    size_t n_chars; /* SIZE_MAX: not counted yet */
    bool markup;    /* went through the filter safe: adding text to it escapes HTML, as in Python */
};

struct jv_list {
    struct jv *v;
    size_t n, cap;
    const char *view; /* of a VIEW: "dict_items" and so on */
};

struct jv_range {
    int64_t begin, end, step;
    size_t n;
};

struct jv_pair {
    struct jv key, value;
};

struct jv_dict { /* in order of insertion; searched from the front: they are small */
    struct jv_pair *v;
    size_t n, cap;
};

struct jv_undefined {
    const char *hint; /* the whole message, or NULL */
    const char *name; /* of the variable or attribute */
    struct jv of;     /* whose attribute; JV_MISSING for a variable */
};

/* Reads anything iterable, item by item. */
struct jv_iter {
    struct jv of;
    size_t i; /* the next item; of a string: the next byte */
};

/* One rendering. Failing is sticky: the first fault is stored in `e`, every function then returns
 * undefined or false at once, and who loops asks `rc`. One thread. */
struct jinja_vm {
    struct arena heap;
    size_t heap_left;        /* bytes */
    int64_t steps_left;      /* nodes and items */
    int depth;               /* of nested nodes, calls and values */
    int line;                /* of the node at work */
    int rc;                  /* 0 or ERR_* */
    char *tail, *tail_end;   /* free bytes behind the newest string: makes appending linear */
    struct buf *out;         /* where text goes: the caller's, or that of a macro */
    const struct map *names; /* the names of the template, interned */
    const struct tm *now;
    struct err *e;
};

/* Deep enough for every honest template, small enough for a thread's stack under ASan. */
#define JINJA_MAX_DEPTH 1000

/* Positional and named arguments, and those bound to the builtin's parameters. */
struct jv_named {
    const char *name;
    struct jv v;
};

struct jv_call {
    struct jv self; /* of a method; the input of a filter or test */
    const struct jv *args;
    size_t n_args;
    const struct jv_named *named;
    size_t n_named;
    struct jv a[6]; /* by parameter; JV_MISSING where not given */
};

/* A function of the language in C. `params` lists the names of parameters, a trailing '?' marks an
 * optional one; "*" takes whatever comes, unbound. */
struct jv_builtin {
    const char *name, *params;
    struct jv (*call)(struct jinja_vm *vm, struct jv_call *c);
};

struct jv_method {
    const struct jv_builtin *builtin;
    struct jv self;
};

/* Tables end with a row without a name. */
const struct jv_builtin *jv_builtin_find(const struct jv_builtin *table, const char *name);
/* Binds the arguments to the builtin's parameters and calls it. */
struct jv jv_builtin_call(struct jinja_vm *vm, const struct jv_builtin *f, struct jv_call *c);

/* Stores the failure with the line in front and returns undefined. */
struct jv jv_fail(struct jinja_vm *vm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct jv jv_fail_undefined(struct jinja_vm *vm, struct jv v); /* "'x' is undefined" */
bool jv_step(struct jinja_vm *vm, size_t n); /* pays for work; false when all is spent */
bool jv_enter(struct jinja_vm *vm);          /* one level deeper; false: do not, and do not leave */
void jv_leave(struct jinja_vm *vm);
void *jv_alloc(struct jinja_vm *vm, size_t n, size_t size); /* zeroed; NULL: failed */

static inline struct jv jv_undefined(void)
{
    return (struct jv){.type = JV_UNDEFINED};
}

static inline struct jv jv_none(void)
{
    return (struct jv){.type = JV_NONE};
}

static inline struct jv jv_bool(bool b)
{
    return (struct jv){.type = JV_BOOL, .u.b = b};
}

static inline struct jv jv_int(int64_t i)
{
    return (struct jv){.type = JV_INT, .u.i = i};
}

static inline struct jv jv_float(double f)
{
    return (struct jv){.type = JV_FLOAT, .u.f = f};
}

struct jv jv_undefined_name(struct jinja_vm *vm, const char *name, struct jv of);
struct jv jv_undefined_hint(struct jinja_vm *vm, const char *hint);

struct jv jv_str(struct jinja_vm *vm, const char *p, size_t n);     /* copies */
struct jv jv_str_ref(struct jinja_vm *vm, const char *p, size_t n); /* borrows until the end */
struct jv jv_str_lit(struct jinja_vm *vm, const char *s);           /* borrows until the end */
/* Takes the bytes of a buffer and releases it; a failed buffer is the fault "too long". */
struct jv jv_str_take(struct jinja_vm *vm, struct buf *b);
struct jv jv_str_join(struct jinja_vm *vm, struct jv a, struct jv b); /* of two strings */
void jv_buf_init(struct jinja_vm *vm, struct buf *b); /* bounded by what the heap has left */
/* Appends n bytes so many times; what cannot fit fails the buffer at once. */
void jv_buf_repeat(struct buf *b, const char *p, size_t n, int64_t times);
bool jv_str_is(struct jv v, const char *s);
size_t jv_str_chars(const struct jv_str *s); /* code points */
/* The bytes of the code points [begin, end). */
struct jv jv_str_cut(struct jinja_vm *vm, struct jv s, size_t begin, size_t end);

struct jv jv_list(struct jinja_vm *vm, enum jv_type type, size_t cap); /* LIST, TUPLE or VIEW */
void jv_push(struct jinja_vm *vm, struct jv list, struct jv v);
struct jv jv_pair(struct jinja_vm *vm, struct jv a, struct jv b); /* a tuple */
struct jv jv_list_of(struct jinja_vm *vm, struct jv iterable);    /* a list of its items */
struct jv jv_generator(struct jinja_vm *vm, struct jv list);

struct jv jv_dict(struct jinja_vm *vm, enum jv_type type); /* DICT or NAMESPACE */
void jv_put(struct jinja_vm *vm, struct jv dict, struct jv key, struct jv value);
const struct jv *jv_get(struct jinja_vm *vm, struct jv dict, struct jv key); /* or NULL */
const struct jv *jv_get_name(struct jv dict, const char *name, size_t n);    /* or NULL */
bool jv_hashable(struct jv v);

struct jv jv_from_json(struct jinja_vm *vm, const struct json_t *json); /* strings are borrowed */

const char *jv_type_name(struct jv v); /* Python's: "str", "NoneType" */
bool jv_truth(struct jv v);
bool jv_len(struct jv v, size_t *n);                                   /* false: it has none */
bool jv_iterate(struct jinja_vm *vm, struct jv_iter *it, struct jv v); /* false: failed */
bool jv_next(struct jinja_vm *vm, struct jv_iter *it, struct jv *item);

static inline bool jv_is_number(struct jv v)
{
    return v.type == JV_BOOL || v.type == JV_INT || v.type == JV_FLOAT;
}

static inline bool jv_is_integer(struct jv v) /* a bool is one, as in Python */
{
    return v.type == JV_BOOL || v.type == JV_INT;
}

static inline int64_t jv_as_int(struct jv v)
{
    return v.type == JV_BOOL ? v.u.b : v.u.i;
}

static inline double jv_as_float(struct jv v)
{
    return v.type == JV_FLOAT ? v.u.f : (double)jv_as_int(v);
}

#endif
