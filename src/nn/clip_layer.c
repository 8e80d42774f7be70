/* clip_layer.c - see clip_layer.h. */
#include "nn/clip_layer.h"

static const struct attention_names names = {"self_attn.q_proj", "self_attn.k_proj",
                                             "self_attn.v_proj", "self_attn.out_proj"};

void clip_layer_load(struct loader *l, struct clip_layer *x, const struct clip_layer_params *p)
{
    norm_load(l, &x->norm1, "layer_norm1", p->n_embd, p->eps);
    attention_load(l, &x->attn, &names, p->n_embd, p->n_embd, p->n_head);
    norm_load(l, &x->norm2, "layer_norm2", p->n_embd, p->eps);
    linear_load(l, &x->fc1, "mlp.fc1", LOAD_ANY, p->n_embd);
    linear_load(l, &x->fc2, "mlp.fc2", p->n_embd, x->fc1.w ? x->fc1.w->dim[0] : LOAD_ANY);
}

struct tensor *clip_layer(struct tape *t, const struct clip_layer *l, struct tensor *x, bool causal,
                          bool quick)
{
    x = attention(t, &l->attn, layernorm(t, &l->norm1, x), NULL, causal, x);
    struct tensor *h = linear(t, &l->fc1, layernorm(t, &l->norm2, x)); /* [n, tokens, 4 n_embd] */
    h = quick ? op_quick_gelu(t, h) : op_gelu(t, h);
    return tape_result(t, linear_add(t, &l->fc2, h, x));
}
