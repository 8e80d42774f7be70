/* decoder.h - the attention of language models: grouped heads over a cache of keys and values.
 *
 *     q, k, v = x Wq, x Wk, x Wv        q and k normalised, then turned by their positions
 *     x = out(attend(q, k, v))
 *
 * Grouped heads: Ainslie et al., arXiv:2305.13245. Names are GGUF's: attn_q, attn_k, attn_v (or
 * attn_qkv), attn_output, attn_q_norm, attn_k_norm, attn_sinks.
 */
#ifndef LAR_NN_DECODER_H
#define LAR_NN_DECODER_H

#include "nn/layers.h"

struct kv_batch;
struct kv_layer;

struct decoder_attention {
    struct linear q, k, v, out;
    struct tensor *q_norm, *k_norm; /* [d_k], for each head; or of all heads; or NULL */
    struct tensor *sinks;           /* [n_head] or NULL */
    int n_head, n_head_kv, d_k, d_v;
    float eps;   /* of the norms */
    float scale; /* of the scores */
    float softcap;
    int window;
    bool interleaved; /* rotary pairs */
};

/* Loads the weights; the numbers are set by the caller before. `bias`: q, k and v have one. */
void decoder_attention_load(struct loader *l, struct decoder_attention *a, int64_t n_embd,
                            bool bias, bool norms);

/* What a run attends to, where. */
struct decoder_place {
    struct tensor *angles; /* of op_rope_angles(); NULL: no rotation */
    const struct kv_layer *cache;
    const struct kv_batch *batch;
};

/* x [n, n_embd] -> [n, n_embd], plus residual if there is one. */
struct tensor *decoder_attention(struct tape *t, const struct decoder_attention *a,
                                 struct tensor *x, const struct decoder_place *at,
                                 struct tensor *residual);

#endif
