/* adapter.c - see adapter.h. */
#include "nn/adapter.h"

#include "base/err.h"
#include "tensor/quant.h"

#include <string.h>

void adapters_release(struct adapters *a)
{
    map_release(&a->by_weight);
    arena_release(&a->arena);
    *a = (struct adapters){0};
}

static struct adapter *entry(struct adapters *a, const char *weight)
{
    struct adapter *x = map_get_str(&a->by_weight, weight);
    if (!x) {
        x = arena_alloc(&a->arena, sizeof(*x));
        map_put(&a->by_weight, weight, strlen(weight), x);
    }
    return x;
}

void adapters_add(struct adapters *a, const char *weight, const struct adapter_part *part)
{
    struct adapter_part **last = &entry(a, weight)->parts;
    while (*last)
        last = &(*last)->next;
    *last = arena_alloc(&a->arena, sizeof(**last));
    **last = *part;
    (*last)->next = NULL;
}

void adapters_replace(struct adapters *a, const char *weight, const struct tensor *w)
{
    struct adapter *x = entry(a, weight);
    x->weight = arena_alloc(&a->arena, sizeof(*x->weight));
    *x->weight = *w;
}

const struct tensor *adapters_weight(const struct adapters *a, const char *weight)
{
    const struct adapter *x = map_get_str(&a->by_weight, weight);
    return x ? x->weight : NULL;
}

/* Puts the columns of every part's up side by side, in their type if they share one. */
static int join(struct adapters *a, struct adapter *x, struct err *e)
{
    const struct tensor *first = &x->parts->up;
    int64_t n_out = first->dim[0], rank = 0, at = 0;
    enum dtype type = first->type;
    for (const struct adapter_part *p = x->parts; p; p = p->next) {
        rank += p->up.dim[1];
        type = p->up.type == type ? type : DTYPE_F32;
    }
    size_t size = dtype_row_size(type, 1), row = size * (size_t)rank;
    char *data = arena_try_array(&a->arena, (size_t)n_out, row, "the LoRAs of one layer", e);
    if (!data)
        return ERR_NOMEM;
    for (const struct adapter_part *p = x->parts; p; p = p->next) {
        int64_t r = p->up.dim[1];
        for (int64_t i = 0; i < n_out; i++) {
            const char *from = (const char *)p->up.data + dtype_row_size(p->up.type, i * r);
            char *to = data + row * (size_t)i + size * (size_t)at;
            if (p->up.type == type)
                memcpy(to, from, size * (size_t)r);
            else
                quant_to_f32(p->up.type, from, (float *)(void *)to, r);
        }
        at += r;
    }
    x->up = arena_alloc(&a->arena, sizeof(*x->up));
    *x->up = *first;
    x->up->type = type;
    x->up->dim[1] = rank;
    x->up->data = data;
    return 0;
}

int adapters_finish(struct adapters *a, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < a->by_weight.cap; i++) {
        struct adapter *x = a->by_weight.slots[i].key ? a->by_weight.slots[i].value : NULL;
        if (!x || !x->parts)
            continue;
        if (x->parts->next)
            rc = join(a, x, e);
        else
            x->up = &x->parts->up;
    }
    return rc;
}

const struct adapter *adapter_of(const struct tape *t, const struct tensor *w)
{
    const struct adapters *a = tape_adapters(t);
    return a && w && w->name ? map_get_str(&a->by_weight, w->name) : NULL;
}

struct tensor *adapter_weight(struct tape *t, const struct adapter *a, struct tensor *w)
{
    return a && a->weight ? op_reshape(t, a->weight, w->n_dim, w->dim) : w;
}

static struct tensor *scaled(struct tape *t, struct tensor *h, float scale)
{
    return scale == 1 ? h : op_scale(t, h, scale, 0); /* NOLINT: 1 is exact, and usual */
}

static struct tensor *joined(struct tape *t, struct tensor *all, struct tensor *h)
{
    return all ? op_concat(t, all, h) : h;
}

struct tensor *adapter_linear(struct tape *t, const struct adapter *a, struct tensor *x,
                              struct tensor *residual)
{
    struct tensor *all = NULL; /* [.., sum of r] */
    if (!a || !a->parts)
        return residual;
    for (struct adapter_part *p = a->parts; p; p = p->next)
        all = joined(t, all, scaled(t, op_linear(t, x, &p->down, NULL), p->scale));
    return op_linear_add(t, all, a->up, NULL, residual);
}

/* A 1x1 window where the tensor is a matrix. */
static struct tensor *windowed(struct tape *t, struct tensor *w)
{
    return w->n_dim == 4 ? w : op_reshape4(t, w, w->dim[0], w->dim[1], 1, 1);
}

struct tensor *adapter_conv(struct tape *t, const struct adapter *a, struct tensor *x,
                            struct conv2d p)
{
    const struct conv2d plain = {.stride = 1}, last = {.stride = 1, .residual = p.residual};
    struct tensor *all = NULL; /* [n, h', w', sum of r] */
    if (!a || !a->parts)
        return p.residual;
    p.residual = NULL;
    for (struct adapter_part *part = a->parts; part; part = part->next) {
        struct tensor *down = windowed(t, &part->down), *h;
        if (part->mid.data)
            h = op_conv2d(t, op_conv2d(t, x, down, NULL, plain), &part->mid, NULL, p);
        else
            h = op_conv2d(t, x, down, NULL, p);
        all = joined(t, all, scaled(t, h, part->scale));
    }
    return op_conv2d(t, all, windowed(t, a->up), NULL, last);
}
