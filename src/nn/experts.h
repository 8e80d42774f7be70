/* experts.h - feed-forward layers of language models: one gated unit, or a mixture of several.
 *
 *     mlp      x = down(activation(gate(x)) * up(x))        Shazeer, arXiv:2002.05202
 *     moe      the same of the n_used experts with the largest router logits, mixed by their
 * softmax
 *
 * Names are GGUF's: ffn_gate, ffn_up, ffn_down; ffn_gate_inp for the router. The weights of experts
 * come as one tensor (ffn_up_exps), apart (ffn_up.3, as in Hugging Face folders and old GGUF files)
 * or as gpt-oss has them in Hugging Face folders (ffn_gate_up_exps), which is rewritten.
 */
#ifndef LAR_NN_EXPERTS_H
#define LAR_NN_EXPERTS_H

#include "nn/layers.h"

struct mlp {
    struct linear gate; /* gate.w NULL: the upper half of up */
    struct linear up, down;
    enum glu glu;
};
void mlp_load(struct loader *l, struct mlp *m, int64_t n_embd);
/* x [n, n_embd] -> [n, n_embd], plus residual if there is one. */
struct tensor *mlp(struct tape *t, const struct mlp *m, struct tensor *x, struct tensor *residual);

struct moe {
    struct linear router; /* [n_expert, n_embd] */
    struct experts gate, up, down;
    enum glu glu;
    int n_used;
    bool norm; /* the weights of the chosen add up to 1 */
};
void moe_load(struct loader *l, struct moe *m, int64_t n_embd);
struct tensor *moe(struct tape *t, const struct moe *m, struct tensor *x, struct tensor *residual);

#endif
