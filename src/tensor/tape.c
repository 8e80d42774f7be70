/* tape.c - recording, planning and running; see tape.h. */
#include "tensor/tape.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "tensor/backend.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN        64
#define MAX_DEPTH    16
#define MAX_ELEMENTS ((int64_t)1 << 46)

struct tensor_list {
    struct tensor **x;
    size_t n, cap;
};

struct tape {
    struct arena arena;
    enum dtype type;
    struct op *ops;
    size_t n_ops, cap_ops;
    struct tensor_list owners; /* of planned memory */
    struct tensor_list views;  /* a view comes after its base */
    char scope[256];
    size_t scope_len[MAX_DEPTH];
    int depth;
    const struct adapters *adapters; /* borrowed; or NULL */
    enum wrap wrap;
    bool fast;
    struct err err; /* the first recording error */
    struct tensor dummy;
    char *memory;
    size_t memory_size;
    bool ran; /* since tape_plan(): constants are there */
    tape_observer *observer;
    void *observer_ctx;
};

static const char *const op_names[] = {
#define OP(NAME, function, text) #function,
#include "tensor/ops.def"
#undef OP
    "reshape", /* N_OP: not recorded, but it can fail */
};

const char *op_name(enum op_kind kind)
{
    return op_names[kind];
}

struct tape *tape_new(enum dtype activation)
{
    struct tape *t = mem_alloc(sizeof(*t));
    t->type = activation;
    t->dummy = (struct tensor){.type = activation, .n_dim = 1, .dim = {1, 1, 1, 1}, .name = "-"};
    return t;
}

void tape_free(struct tape *t)
{
    if (!t)
        return;
    arena_release(&t->arena);
    mem_free_aligned(t->memory);
    free(t->ops);
    free(t->owners.x);
    free(t->views.x);
    free(t);
}

enum dtype tape_type(const struct tape *t)
{
    return t->type;
}

bool tape_failed(const struct tape *t)
{
    return t->err.code != 0;
}

struct tensor *tape_fail(struct tape *t, enum op_kind kind, const char *fmt, ...)
{
    if (!t->err.code) {
        va_list args;
        va_start(args, fmt);
        err_vset(&t->err, ERR_FORMAT, fmt, args);
        va_end(args);
        err_prefix(&t->err, "%s (%s)", t->depth ? t->scope : "model", op_name(kind));
    }
    return &t->dummy;
}

/* True when the elements of this shape can be counted and addressed, with room to spare. */
static bool is_sane(int n_dim, const int64_t *dim)
{
    int64_t n = 1;
    bool sane = n_dim >= 1 && n_dim <= TENSOR_MAX_DIM;
    for (int i = 0; sane && i < n_dim; i++)
        sane = dim[i] >= 1 && !__builtin_mul_overflow(n, dim[i], &n) && n <= MAX_ELEMENTS;
    return sane;
}

/* NULL, and the tape has failed, for a shape that no memory could hold. */
static struct tensor *new_tensor(struct tape *t, enum op_kind kind, enum dtype type, int n_dim,
                                 const int64_t *dim)
{
    struct tensor *x = arena_alloc(&t->arena, sizeof(*x));
    *x = (struct tensor){
        .type = type, .n_dim = n_dim, .dim = {1, 1, 1, 1}, .first_op = -1, .last_op = -1};
    memcpy(x->dim, dim, (size_t)(n_dim < TENSOR_MAX_DIM ? n_dim : TENSOR_MAX_DIM) * sizeof(*dim));
    if (is_sane(n_dim, dim))
        return x;
    char text[TENSOR_SHAPE_TEXT];
    x->n_dim = n_dim < TENSOR_MAX_DIM ? n_dim : TENSOR_MAX_DIM;
    tape_fail(t, kind, "no tensor can have the shape %s", tensor_shape_text(x, text));
    return NULL;
}

static void list_add(struct tensor_list *l, struct tensor *x)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 256;
        l->x = mem_realloc(l->x, l->cap * sizeof(*l->x));
    }
    l->x[l->n++] = x;
}

struct tensor *tape_input(struct tape *t, enum dtype type, const char *name, int n_dim,
                          const int64_t *dim)
{
    struct tensor *x = new_tensor(t, N_OP, type, n_dim, dim);
    if (!x)
        return &t->dummy;
    x->name = arena_strdup(&t->arena, name);
    x->kept = x->planned = true;
    list_add(&t->owners, x);
    return x;
}

struct tensor *tape_constant(struct tape *t, enum dtype type, const char *name, int n_dim,
                             const int64_t *dim)
{
    struct tensor *x = tape_input(t, type, name, n_dim, dim);
    if (x != &t->dummy)
        x->constant = true;
    return x;
}

void tape_adapt(struct tape *t, const struct adapters *a)
{
    t->adapters = a;
}

const struct adapters *tape_adapters(const struct tape *t)
{
    return t->adapters;
}

void tape_wrap(struct tape *t, enum wrap wrap)
{
    t->wrap = wrap;
}

void tape_set_fast(struct tape *t, bool fast)
{
    t->fast = fast;
}

bool tape_fast(const struct tape *t)
{
    return t->fast;
}

enum wrap tape_wraps(const struct tape *t)
{
    return t->wrap;
}

static struct tensor *owner_of(struct tensor *x)
{
    while (x->base)
        x = x->base;
    return x;
}

struct tensor *tape_keep(struct tape *t, struct tensor *x)
{
    (void)t;
    owner_of(x)->kept = true;
    return x;
}

void tape_push(struct tape *t, const char *fmt, ...)
{
    size_t n = t->depth ? strlen(t->scope) : 0;
    if (t->depth == MAX_DEPTH)
        abort(); /* our own bug: unbalanced scopes */
    t->scope_len[t->depth++] = n;
    if (n && n + 1 < sizeof(t->scope))
        t->scope[n++] = '.';
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->scope + n, sizeof(t->scope) - n, fmt, args);
    va_end(args);
}

void tape_pop(struct tape *t)
{
    t->scope[t->scope_len[--t->depth]] = '\0';
}

struct tensor *tape_result(struct tape *t, struct tensor *x)
{
    char *name = arena_strdup(&t->arena, t->scope);
    for (struct tensor *y = x; y && y != &t->dummy; y = y->base)
        y->name = name;
    return x;
}

/* Updates the operands of op number `index`. Returns true if the result is constant: at least one
 * operand lives on the tape, and all that do are constant. Constants that others need are kept. */
static bool use_operands(const struct op *op, int index)
{
    bool any = false, all = true;
    struct tensor *src[OP_MAX_SRC] = {0};
    for (int i = 0; i < OP_MAX_SRC; i++) {
        src[i] = op->src[i] ? owner_of(op->src[i]) : NULL;
        if (!src[i] || !src[i]->planned) { /* a weight: other tapes may use it at the same time */
            src[i] = NULL;
            continue;
        }
        src[i]->last_op = index;
        any = true;
        all = all && src[i]->constant;
    }
    for (int i = 0; i < OP_MAX_SRC && !all; i++)
        if (src[i] && src[i]->constant)
            src[i]->kept = true;
    return any && all;
}

struct tensor *tape_record(struct tape *t, const struct op *op, enum dtype type, int n_dim,
                           const int64_t *dim)
{
    if (t->err.code)
        return &t->dummy;
    if (t->n_ops == t->cap_ops) {
        t->cap_ops = t->cap_ops ? t->cap_ops * 2 : 256;
        t->ops = mem_realloc(t->ops, t->cap_ops * sizeof(*t->ops));
    }
    int index = (int)t->n_ops;
    struct tensor *out = new_tensor(t, op->kind, type, n_dim, dim);
    if (!out)
        return &t->dummy;
    out->name = arena_printf(&t->arena, "%s/%s", t->depth ? t->scope : "", op_name(op->kind));
    out->first_op = out->last_op = index;
    out->planned = true;
    list_add(&t->owners, out);
    out->constant = use_operands(op, index);
    t->ops[t->n_ops] = *op;
    t->ops[t->n_ops++].out = out;
    return out;
}

struct tensor *tape_view(struct tape *t, struct tensor *x, int n_dim, const int64_t *dim)
{
    if (t->err.code)
        return &t->dummy;
    struct tensor *v = new_tensor(t, N_OP, x->type, n_dim, dim);
    if (!v)
        return &t->dummy;
    v->name = x->name;
    v->base = x;
    v->data = x->data; /* of a weight; others follow in tape_plan() */
    list_add(&t->views, v);
    return v;
}

size_t tape_n_ops(const struct tape *t)
{
    return t->n_ops;
}

const struct op *tape_op(const struct tape *t, size_t i)
{
    return &t->ops[i];
}

static size_t aligned_size(const struct tensor *x)
{
    return (tensor_size(x) + ALIGN - 1) / ALIGN * ALIGN;
}

/* Larger tensors are placed first: they are the hardest to fit. Ties keep record order. */
static int by_size(const void *a, const void *b)
{
    const struct tensor *x = *(struct tensor *const *)a, *y = *(struct tensor *const *)b;
    size_t sx = aligned_size(x), sy = aligned_size(y);
    if (sx != sy)
        return sx < sy ? 1 : -1;
    return (x->first_op > y->first_op) - (x->first_op < y->first_op);
}

/* The lowest offset at which x overlaps no already placed tensor that lives at the same time.
 * `placed` is sorted by offset. */
static size_t find_gap(const struct tensor *x, struct tensor *const *placed, size_t n)
{
    size_t offset = 0, size = aligned_size(x);
    for (size_t i = 0; i < n; i++) {
        const struct tensor *p = placed[i];
        if (p->last_op < x->first_op || x->last_op < p->first_op)
            continue;
        if (p->offset >= offset + size)
            break;
        if (p->offset + aligned_size(p) > offset)
            offset = p->offset + aligned_size(p);
    }
    return offset;
}

static size_t place_all(const struct tensor_list *owners)
{
    size_t n = owners->n, total = 0;
    struct tensor **order = mem_alloc(n * sizeof(struct tensor *));
    struct tensor **placed = mem_alloc(n * sizeof(struct tensor *));
    for (size_t i = 0; i < n; i++)
        order[i] = owners->x[i];
    qsort(order, n, sizeof(*order), by_size);
    for (size_t i = 0; i < n; i++) {
        struct tensor *x = order[i];
        x->offset = find_gap(x, placed, i);
        if (x->offset + aligned_size(x) > total)
            total = x->offset + aligned_size(x);
        size_t j = i;
        for (; j > 0 && placed[j - 1]->offset > x->offset; j--)
            placed[j] = placed[j - 1];
        placed[j] = x;
    }
    free(order);
    free(placed);
    return total;
}

int tape_measure(struct tape *t, size_t *bytes, struct err *e)
{
    if (t->err.code)
        return err_set(e, t->err.code, "%s", t->err.text);
    for (size_t i = 0; i < t->owners.n; i++)
        if (t->owners.x[i]->kept) {
            t->owners.x[i]->first_op = -1;
            t->owners.x[i]->last_op = INT_MAX;
        }
    *bytes = place_all(&t->owners);
    return 0;
}

int tape_plan(struct tape *t, struct err *e)
{
    int rc = tape_measure(t, &t->memory_size, e);
    t->ran = false;
    if (rc)
        return rc;
    t->memory = mem_try_aligned(t->memory_size, "the model's activations", e);
    if (!t->memory)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->owners.n; i++)
        t->owners.x[i]->data = t->memory + t->owners.x[i]->offset;
    for (size_t i = 0; i < t->views.n; i++)
        t->views.x[i]->data = t->views.x[i]->base->data;
    return 0;
}

void tape_unplan(struct tape *t)
{
    mem_free_aligned(t->memory);
    t->memory = NULL;
    for (size_t i = 0; i < t->owners.n; i++)
        t->owners.x[i]->data = NULL;
    for (size_t i = 0; i < t->views.n; i++)
        t->views.x[i]->data = t->views.x[i]->base->data;
}

size_t tape_memory(const struct tape *t)
{
    return t->memory_size;
}

void tape_observe(struct tape *t, tape_observer *fn, void *ctx)
{
    t->observer = fn;
    t->observer_ctx = ctx;
}

int tape_run(struct tape *t, struct backend *b, struct err *e)
{
    for (size_t i = 0; i < t->n_ops; i++) {
        const struct op *op = &t->ops[i];
        if (t->ran && op->out->constant)
            continue;
        int rc = b->run(b, op, e);
        if (rc) {
            err_prefix(e, "%s", op->out->name);
            return rc;
        }
        if (t->observer && (rc = t->observer(op, t->observer_ctx)))
            return err_set(e, rc, "stopped at %s", op->out->name);
    }
    t->ran = true;
    return 0;
}
