/* layers.h - the smallest layers: a struct with the weights, a loader and a forward function each.
 *
 * Every *_load() reads the tensors "<name>.weight" and "<name>.bias" below the loader's scope. What
 * a tape adds to a weight (nn/adapter.h) is recorded with the layer.
 */
#ifndef LAR_NN_LAYERS_H
#define LAR_NN_LAYERS_H

#include "nn/loader.h"
#include "tensor/ops.h"

struct linear {
    struct tensor *w; /* [n_out, n_in] */
    struct tensor *b; /* [n_out] or NULL */
};
/* Either dimension may be LOAD_ANY. The second form is for layers whose bias may be absent. */
void linear_load(struct loader *l, struct linear *x, const char *name, int64_t n_out, int64_t n_in);
void linear_load_plain(struct loader *l, struct linear *x, const char *name, int64_t n_out,
                       int64_t n_in);
struct tensor *linear(struct tape *t, const struct linear *l, struct tensor *x);
/* x l + residual */
struct tensor *linear_add(struct tape *t, const struct linear *l, struct tensor *x,
                          struct tensor *residual);

struct conv {
    struct tensor *w; /* [n_out, n_in, kh, kw] */
    struct tensor *b; /* [n_out] or NULL */
};
void conv_load(struct loader *l, struct conv *x, const char *name, int64_t n_out, int64_t n_in,
               int size);
void conv_load_plain(struct loader *l, struct conv *x, const char *name, int64_t n_out,
                     int64_t n_in, int size);
/* Padding keeps height and width (size 3: 1, size 1: 0), before the stride; it is of zeros, or
 * wraps as the tape says. */
struct tensor *conv(struct tape *t, const struct conv *c, struct tensor *x, int stride);
/* conv(x) + residual, stride 1; the residual is NULL, of the result's shape or [n, c_out]. */
struct tensor *conv_add(struct tape *t, const struct conv *c, struct tensor *x,
                        struct tensor *residual);

struct norm {
    struct tensor *w, *b; /* [n] */
    float eps;
    int n_group;            /* GroupNorm */
    struct tensor *moments; /* GroupNorm: of the whole picture where x is a band; NULL: x's own */
};
void norm_load(struct loader *l, struct norm *x, const char *name, int64_t n, float eps);
struct tensor *layernorm(struct tape *t, const struct norm *n, struct tensor *x);
struct tensor *groupnorm(struct tape *t, const struct norm *n, struct tensor *x);
struct tensor *groupnorm_silu(struct tape *t, const struct norm *n, struct tensor *x);

#endif
