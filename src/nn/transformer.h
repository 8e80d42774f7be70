/* transformer.h - the spatial transformer of Stable Diffusion's UNets: attention over the pixels
 * of a feature map and from them to the prompt.
 *
 *     h = proj_in(norm(x))                              pixels as tokens
 *     each block:  h += attn1(norm1(h))                 among pixels
 *                  h += attn2(norm2(h), context)        to the prompt
 *                  h += ff2(geglu(ff1(norm3(h))))
 *     x += proj_out(h)
 *
 * Source: diffusers, models/transformers/transformer_2d.py and models/attention.py.
 */
#ifndef LAR_NN_TRANSFORMER_H
#define LAR_NN_TRANSFORMER_H

#include "nn/attention.h"

struct transformer_block {
    struct norm norm1, norm2, norm3;
    struct attention attn1, attn2;
    struct linear ff1, ff2;
    int index; /* of attn2 among the model's cross-attentions; set by the model */
};

struct transformer {
    struct norm norm;
    struct linear proj_in, proj_out; /* 1x1 convolutions in older checkpoints: the same thing */
    struct transformer_block *blocks;
    int n_block;
};

struct transformer_params {
    int64_t n_embd;
    int64_t n_context; /* or LOAD_ANY */
    int n_head, n_group;
};

void transformer_load(struct loader *l, struct transformer *x, const struct transformer_params *p);

/* x [n, h, w, c] -> [n, h, w, c]. */
struct tensor *transformer(struct tape *t, const struct transformer *m, struct tensor *x,
                           const struct attended *to);

#endif
