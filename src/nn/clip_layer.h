/* clip_layer.h - the layer of CLIP's encoders, for text and for pictures.
 *
 *     x += attention(layer_norm1(x))
 *     x += fc2(act(fc1(layer_norm2(x))))
 *
 * Source: transformers, models/clip/modeling_clip.py, CLIPEncoderLayer.
 */
#ifndef LAR_NN_CLIP_LAYER_H
#define LAR_NN_CLIP_LAYER_H

#include "nn/attention.h"

struct clip_layer {
    struct norm norm1, norm2;
    struct attention attn;
    struct linear fc1, fc2;
};

struct clip_layer_params {
    int64_t n_embd;
    int n_head;
    float eps;
};

/* Loads below the scope. */
void clip_layer_load(struct loader *l, struct clip_layer *x, const struct clip_layer_params *p);

/* x [n, tokens, n_embd] -> the same shape. `quick`: OpenAI's x sigmoid(1.702 x) in place of GELU.
 */
struct tensor *clip_layer(struct tape *t, const struct clip_layer *l, struct tensor *x, bool causal,
                          bool quick);

#endif
