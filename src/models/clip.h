/* clip.h - CLIP text encoders (Radford et al., arXiv:2103.00020): CLIP-L, OpenCLIP-H and -bigG.
 *
 *     x = token_embedding[ids] + position_embedding
 *     each layer:  x += attention(layernorm(x)), causal
 *                  x += fc2(act(fc1(layernorm(x))))
 *     last = final_layer_norm(x)
 *
 * Source: transformers, models/clip/modeling_clip.py, CLIPTextTransformer.
 */
#ifndef LAR_MODELS_CLIP_H
#define LAR_MODELS_CLIP_H

#include "base/arena.h"
#include "nn/clip_layer.h"

struct checkpoint;

struct clip {
    struct arena arena;       /* owns everything below */
    struct tensor *tokens;    /* [n_vocab, n_embd] */
    struct tensor *positions; /* [n_ctx, n_embd] */
    struct clip_layer *layers;
    int n_layer;
    struct norm final_norm;
    struct tensor *projection; /* [n_proj, n_embd]; NULL without one */
    bool quick_gelu;
    int64_t n_vocab, n_ctx, n_embd;
};

/* component: "text_encoder" or "text_encoder_2". The weights stay in the checkpoint, which must
 * outlive the model. */
int clip_open(struct clip *m, const struct checkpoint *file, const char *component, struct err *e);
void clip_close(struct clip *m);

/* What a pipeline asks of the encoder. */
struct clip_output {
    int skip;           /* layers left out at the end: 0 all, 1 the penultimate state ... */
    bool final_norm;    /* normalise that state */
    struct tensor *eos; /* [n] I32: row of each prompt's end in [n * n_ctx]; NULL: nothing pooled */
    /* Vectors that are no token's (textual inversion): [n_vectors, n_embd] F32 or NULL, and what
     * stands where, [n, n_ctx] I32: a row of the n * n_ctx tokens of `ids`, or behind them one of
     * the vectors. */
    struct tensor *vectors, *select;
    struct tensor *hidden; /* result: [n, n_ctx, n_embd] */
    struct tensor *pooled; /* result: [n, n_proj] from the last layer; NULL if eos is NULL */
};

/* ids [n, n_ctx] I32. Records the forward pass; names follow the checkpoint ("text_model..."). */
void clip_forward(struct tape *t, const struct clip *m, struct tensor *ids, struct clip_output *o);

#endif
