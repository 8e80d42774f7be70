/* attention.h - multi-head attention with separate q, k, v and output projections. */
#ifndef LAR_NN_ATTENTION_H
#define LAR_NN_ATTENTION_H

#include "nn/layers.h"

struct attention {
    struct linear q, k, v; /* [n_head * d, n_embd or n_context] */
    struct linear out;     /* [n_embd, n_head * d] */
    int n_head;
};

/* The four tensor names below the scope: {"to_q", "to_k", "to_v", "to_out.0"}, say. n_context is
 * the width of what is attended to: n_embd for self-attention, or LOAD_ANY. */
struct attention_names {
    const char *q, *k, *v, *out;
};
extern const struct attention_names attention_diffusers; /* to_q, to_k, to_v, to_out.0 */

void attention_load(struct loader *l, struct attention *a, const struct attention_names *names,
                    int64_t n_embd, int64_t n_context, int n_head);

/* x [n, tokens, n_embd]; context [n, context tokens, n_context], or NULL for self-attention; the
 * residual [n, tokens, n_embd] is added to the result. */
struct tensor *attention(struct tape *t, const struct attention *a, struct tensor *x,
                         struct tensor *context, bool causal, struct tensor *residual);

/* Something else to attend to with the same queries, added to the result (IP-Adapter's decoupled
 * cross-attention, arXiv:2308.06721). */
struct attention_source {
    struct linear k, v; /* [n_head * d, n_context] */
};
struct attention_more {
    const struct attention_source *sources; /* one for each cross-attention of the model */
    struct tensor *tokens;                  /* [n, tokens, n_context] */
    float weight;
};

/* What the pixels of a feature map attend to beside each other. */
struct attended {
    struct tensor *context;            /* [n, tokens, n_context]: the prompt */
    const struct attention_more *more; /* [n_more] */
    int n_more;
};

/* attention() to the context, plus that to the `index`-th source of each of the others. */
struct tensor *attention_to(struct tape *t, const struct attention *a, struct tensor *x,
                            const struct attended *to, int index, struct tensor *residual);

#endif
