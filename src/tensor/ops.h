/* ops.h - recording functions, one per row of ops.def.
 *
 * Each checks shapes, records the op and returns its result, whose type is that of the first
 * activation (the tape's after op_rows), so that a part recorded from an f32 input stays f32. A
 * wrong shape fails the tape with a sentence that names the scope, the op, the shapes and, for
 * weights, the tensor's name. Optional tensors may be NULL.
 */
#ifndef LAR_TENSOR_OPS_H
#define LAR_TENSOR_OPS_H

#include "tensor/tape.h"

/* The same memory seen as another shape. One dimension may be -1. No op is recorded. */
struct tensor *op_reshape(struct tape *t, struct tensor *x, int n_dim, const int64_t *dim);
#define op_reshape2(t, x, a, b)       op_reshape(t, x, 2, (const int64_t[]){a, b})
#define op_reshape3(t, x, a, b, c)    op_reshape(t, x, 3, (const int64_t[]){a, b, c})
#define op_reshape4(t, x, a, b, c, d) op_reshape(t, x, 4, (const int64_t[]){a, b, c, d})

/* table [n_rows, c] (any type), ids [n] or [n, m] (DTYPE_I32, 0 <= id < n_rows) -> [n, (m,) c]. */
struct tensor *op_rows(struct tape *t, struct tensor *table, struct tensor *ids);

/* x [.., k], w [n, k] (any type), b [n] f32 or NULL -> [.., n]. */
struct tensor *op_linear(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *b);
/* The same plus residual, of the result's shape, rounded once. */
struct tensor *op_linear_add(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *b,
                             struct tensor *residual);

/* x [n, h, w, c], kernel [o, c, kh, kw] (any type), b [o] f32 or NULL -> [n, h', w', o] with
 * padding {top, left, bottom, right}: zeros, or the picture's other side where it wraps. */
struct conv2d {
    int stride;
    int pad[4];
    struct tensor *residual; /* added before rounding: the result's shape, or [n, o]; or NULL */
    enum wrap wrap;          /* padding is no larger than the picture there */
};
struct tensor *op_conv2d(struct tape *t, struct tensor *x, struct tensor *kernel, struct tensor *b,
                         struct conv2d p);

/* b's shape is a suffix of a's. */
struct tensor *op_add(struct tape *t, struct tensor *a, struct tensor *b);
struct tensor *op_scale(struct tape *t, struct tensor *x, float factor, float offset);

/* Activation functions, any shape. */
struct tensor *op_silu(struct tape *t, struct tensor *x);
struct tensor *op_gelu(struct tape *t, struct tensor *x); /* exact, with erf */
struct tensor *op_quick_gelu(struct tape *t, struct tensor *x);
struct tensor *op_relu(struct tape *t, struct tensor *x);
struct tensor *op_leaky_relu(struct tape *t, struct tensor *x, float slope);
struct tensor *op_prelu(struct tape *t, struct tensor *x, struct tensor *slope); /* [c] f32 */
struct tensor *op_soft_cap(struct tape *t, struct tensor *x, float cap); /* tanh(x / cap) * cap */
struct tensor *op_geglu(struct tape *t, struct tensor *x);               /* [.., 2n] -> [.., n] */

/* x [.., c], w and b [c] f32. */
struct tensor *op_layernorm(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *b,
                            float eps);
/* x [n, h, w, c], w and b [c] f32; c divisible by n_group. */
struct groupnorm {
    int n_group;
    float eps;
    bool silu;
    struct tensor *moments; /* taken in place of x's own: as of op_moments(); or NULL */
};
struct tensor *op_groupnorm(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *b,
                            struct groupnorm p);
/* x [n, h, w, c] without the first `top` and the last `bottom` of the h rows -> [n, n_group, 2]
 * f32: mean and variance of each group of channels. For pictures normalised band by band. */
struct tensor *op_moments(struct tape *t, struct tensor *x, int n_group, int top, int bottom);

/* q [n, tq, n_head * d], k and v [n, tk, n_head * d] -> [n, tq, n_head * d]. With `causal`, query i
 * sees keys 0 .. i. */
struct tensor *op_attention(struct tape *t, struct tensor *q, struct tensor *k, struct tensor *v,
                            int n_head, bool causal);

/* q [n, n_head * d_k], k [n, n_head_kv * d_k], v [n, n_head_kv * d_v] -> [n, n_head * d_v]. Each
 * run first adds its keys and values to the cache (tensor/kv.h), then each row attends to its own
 * sequence up to itself: weights softmax(cap(scale * q k)), cap(s) = softcap * tanh(s / softcap).
 * n_head / n_head_kv neighbouring heads share a head of the cache. */
struct attend {
    const struct kv_layer *cache; /* both borrowed by the tape */
    const struct kv_batch *batch;
    int n_head;
    float scale;
    float softcap;        /* 0: none */
    int window;           /* of the latest keys that a row sees, itself included; 0: all */
    struct tensor *sinks; /* [n_head] f32: one more score per head, with the value 0; or NULL */
};
struct tensor *op_attend(struct tape *t, struct tensor *q, struct tensor *k, struct tensor *v,
                         struct attend p);

/* [n, h, w, c] -> [n, h_out, w_out, c]; output row y is input row y h / h_out, rounded down. */
struct tensor *op_upsample(struct tape *t, struct tensor *x, int64_t h_out, int64_t w_out);
/* [n, h, w, c r r] -> [n, h r, w r, c], as PyTorch's PixelShuffle; h, w, c not multiples of r fail
 * the tape in the direction that needs it. */
struct tensor *op_pixel_shuffle(struct tape *t, struct tensor *x, int r);
struct tensor *op_pixel_unshuffle(struct tape *t, struct tensor *x, int r);
/* a [.., c1], b [.., c2] -> [.., c1 + c2]. */
struct tensor *op_concat(struct tape *t, struct tensor *a, struct tensor *b);
struct tensor *op_cast(struct tape *t, struct tensor *x, enum dtype type); /* f32 or bf16 */

/* x [.., c], w [c] f32 or NULL (Zhang and Sennrich, arXiv:1910.07467). */
struct tensor *op_rmsnorm(struct tape *t, struct tensor *x, struct tensor *w, float eps);

/* Rotary positions (Su et al., arXiv:2104.09864). positions [n] I32, freq [n_rot / 2] f32: radians
 * per position of each pair -> [n, n_rot] f32: factor * cosines, then factor * sines. */
struct tensor *op_rope_angles(struct tape *t, struct tensor *positions, struct tensor *freq,
                              float factor);
/* x [n, n_head * d], angles as above with n_rot <= d: turns the first n_rot elements of each head.
 * The pairs are (2 i, 2 i + 1) if interleaved, else (i, i + n_rot / 2). */
struct tensor *op_rope(struct tape *t, struct tensor *x, struct tensor *angles, int n_head,
                       bool interleaved);

/* gate and up [.., n] -> [.., n]; or gate [.., 2 n] with both, gate first, and up NULL. */
struct tensor *op_glu(struct tape *t, enum glu kind, struct tensor *gate, struct tensor *up);

/* A mixture of experts: the router's logits [n, n_expert] -> ids [n, k] I32, k <= n_expert; equal
 * elements in their order, NaN before all others so that it is noticed. */
struct tensor *op_top_k(struct tape *t, struct tensor *logits, int k);
/* logits [n, n_expert], ids [n, k] -> [n, k]: the softmax at ids, divided by its sum if `norm`. */
struct tensor *op_gates(struct tape *t, struct tensor *logits, struct tensor *ids, bool norm);

/* The same layer of several experts. */
struct experts {
    struct tensor *w;        /* [n_expert, n, k] */
    struct tensor *b;        /* [n_expert, n] f32 or NULL */
    const void *const *each; /* [n_expert]: where each one's [n, k] lies, w->data is unused; NULL:
                              * one after the other at w->data. Borrowed until the tape is freed */
};
/* x [n, k] for all of a row's experts or [n, n_used, k], ids [n, n_used] I32 -> [n, n_used, n_out].
 * Rows are grouped by expert; only the weights of those that ids name are read. */
struct tensor *op_experts(struct tape *t, struct tensor *x, struct tensor *ids,
                          const struct experts *w);
/* x [n, n_used, c], gates [n, n_used] f32, residual [n, c] or NULL -> [n, c]. */
struct tensor *op_mix(struct tape *t, struct tensor *x, struct tensor *gates,
                      struct tensor *residual);

#endif
