/* layers.c - see layers.h. */
#include "nn/layers.h"

#include "nn/adapter.h"

#include <stdio.h>

#define NAME_SIZE 128

static struct tensor *load_bias(struct loader *l, const char *name, const struct tensor *w)
{
    char bias[NAME_SIZE];
    snprintf(bias, sizeof(bias), "%s.bias", name);
    return w ? load_vector(l, bias, w->dim[0]) : NULL;
}

static struct tensor *load_bias_if(struct loader *l, const char *name, const struct tensor *w)
{
    return load_has(l, "%s.bias", name) ? load_bias(l, name, w) : NULL;
}

static struct tensor *load_linear_weight(struct loader *l, const char *name, int64_t n_out,
                                         int64_t n_in)
{
    char weight[NAME_SIZE];
    snprintf(weight, sizeof(weight), "%s.weight", name);
    return load_matrix(l, weight, n_out, n_in);
}

void linear_load(struct loader *l, struct linear *x, const char *name, int64_t n_out, int64_t n_in)
{
    x->w = load_linear_weight(l, name, n_out, n_in);
    x->b = load_bias(l, name, x->w);
}

void linear_load_plain(struct loader *l, struct linear *x, const char *name, int64_t n_out,
                       int64_t n_in)
{
    x->w = load_linear_weight(l, name, n_out, n_in);
    x->b = load_bias_if(l, name, x->w);
}

struct tensor *linear(struct tape *t, const struct linear *l, struct tensor *x)
{
    return linear_add(t, l, x, NULL);
}

struct tensor *linear_add(struct tape *t, const struct linear *l, struct tensor *x,
                          struct tensor *residual)
{
    const struct adapter *a = adapter_of(t, l->w);
    residual = adapter_linear(t, a, x, residual);
    return op_linear_add(t, x, adapter_weight(t, a, l->w), l->b, residual);
}

static struct tensor *load_conv_weight(struct loader *l, const char *name, int64_t n_out,
                                       int64_t n_in, int size)
{
    char weight[NAME_SIZE];
    snprintf(weight, sizeof(weight), "%s.weight", name);
    return load_weight(l, weight, 4, (int64_t[]){n_out, n_in, size, size});
}

void conv_load(struct loader *l, struct conv *x, const char *name, int64_t n_out, int64_t n_in,
               int size)
{
    x->w = load_conv_weight(l, name, n_out, n_in, size);
    x->b = load_bias(l, name, x->w);
}

void conv_load_plain(struct loader *l, struct conv *x, const char *name, int64_t n_out,
                     int64_t n_in, int size)
{
    x->w = load_conv_weight(l, name, n_out, n_in, size);
    x->b = load_bias_if(l, name, x->w);
}

static struct tensor *convolve(struct tape *t, const struct conv *c, struct tensor *x, int stride,
                               struct tensor *residual)
{
    int p = (int)c->w->dim[2] / 2;
    struct conv2d how = {stride, {p, p, p, p}, residual, tape_wraps(t)};
    const struct adapter *a = adapter_of(t, c->w);
    how.residual = adapter_conv(t, a, x, how);
    return op_conv2d(t, x, adapter_weight(t, a, c->w), c->b, how);
}

struct tensor *conv(struct tape *t, const struct conv *c, struct tensor *x, int stride)
{
    return convolve(t, c, x, stride, NULL);
}

struct tensor *conv_add(struct tape *t, const struct conv *c, struct tensor *x,
                        struct tensor *residual)
{
    return convolve(t, c, x, 1, residual);
}

void norm_load(struct loader *l, struct norm *x, const char *name, int64_t n, float eps)
{
    char weight[NAME_SIZE];
    snprintf(weight, sizeof(weight), "%s.weight", name);
    x->w = load_vector(l, weight, n);
    x->b = load_bias(l, name, x->w);
    x->eps = eps;
}

struct tensor *layernorm(struct tape *t, const struct norm *n, struct tensor *x)
{
    return op_layernorm(t, x, n->w, n->b, n->eps);
}

struct tensor *groupnorm(struct tape *t, const struct norm *n, struct tensor *x)
{
    return op_groupnorm(t, x, n->w, n->b,
                        (struct groupnorm){n->n_group, n->eps, false, n->moments});
}

struct tensor *groupnorm_silu(struct tape *t, const struct norm *n, struct tensor *x)
{
    return op_groupnorm(t, x, n->w, n->b, (struct groupnorm){n->n_group, n->eps, true, n->moments});
}
