/* adapter.h - low-rank additions to the weights of a model (LoRA, Hu et al., arXiv:2106.09685), as
 * additional work instead of changed weights:
 *
 *     y = W x + b + up (scale_1 mid_1 down_1 x, scale_2 down_2 x, ...)
 *
 * A request owns its adapters; a tape that was told of them (tape_adapt()) records the additional
 * ops in linear() and conv(). So the model stays as it is mapped, and two requests may use one
 * model with different additions. The parts of several files on one weight share one `up`, so that
 * its result, the large one, is written once.
 *
 * A part whose rank would cost more than the weight itself, or that is no product at all, is told
 * as a whole new weight instead: adapters_replace().
 */
#ifndef LAR_NN_ADAPTER_H
#define LAR_NN_ADAPTER_H

#include "base/arena.h"
#include "base/map.h"
#include "tensor/ops.h"

struct err;

/* One file's addition to one weight. Tensors are [r, in] and [n_out, r] for linear layers and 1x1
 * convolutions; for others down or mid has the layer's window. Their data is borrowed. */
struct adapter_part {
    struct tensor down; /* [r, n_in] or [r, n_in, kh, kw] */
    struct tensor mid;  /* [r, r, kh, kw]; .data NULL without */
    struct tensor up;   /* [n_out, r] */
    float scale;
    struct adapter_part *next;
};

struct adapter {
    struct adapter_part *parts; /* in the order they were added; NULL: none */
    struct tensor *up;          /* [n_out, sum of r], see adapters_finish() */
    struct tensor *weight;      /* in place of the model's; NULL: that one */
};

/* A zeroed one is empty. Immutable after adapters_finish(): any thread may read it. */
struct adapters {
    struct arena arena;
    struct map by_weight; /* canonical tensor name -> struct adapter */
};

/* Adds a copy of the part to those of a weight: "unet.conv_in.weight". */
void adapters_add(struct adapters *a, const char *weight, const struct adapter_part *part);
/* The weight to use in place of the model's; *w is copied, its data borrowed. */
void adapters_replace(struct adapters *a, const char *weight, const struct tensor *w);
/* What adapters_replace() was told, or NULL. */
const struct tensor *adapters_weight(const struct adapters *a, const char *weight);
/* Joins the `up`s of weights with several parts. ERR_NOMEM. */
int adapters_finish(struct adapters *a, struct err *e);
void adapters_release(struct adapters *a);

/* What this tape adds to weight w, or NULL. */
const struct adapter *adapter_of(const struct tape *t, const struct tensor *w);

/* w, or what stands in its place, seen in w's shape. `a` may be NULL. */
struct tensor *adapter_weight(struct tape *t, const struct adapter *a, struct tensor *w);

/* What to pass as the residual of the layer itself: the addition for input x, plus `residual`,
 * which may be NULL. For `a` NULL it is `residual`. */
struct tensor *adapter_linear(struct tape *t, const struct adapter *a, struct tensor *x,
                              struct tensor *residual);
/* p as for the layer's own op_conv2d(). */
struct tensor *adapter_conv(struct tape *t, const struct adapter *a, struct tensor *x,
                            struct conv2d p);

#endif
