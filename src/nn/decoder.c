/* decoder.c - see decoder.h. */
#include "nn/decoder.h"

/* q, k and v, one below the other. */
static void load_fused(struct loader *l, struct decoder_attention *a, int64_t n_embd)
{
    int64_t q = (int64_t)a->n_head * a->d_k, k = (int64_t)a->n_head_kv * a->d_k;
    int64_t v = (int64_t)a->n_head_kv * a->d_v;
    load_matrix(l, "attn_qkv.weight", q + k + v, n_embd);
    a->q.w = load_rows(l, "attn_qkv.weight", 0, q, n_embd);
    a->k.w = load_rows(l, "attn_qkv.weight", q, k, n_embd);
    a->v.w = load_rows(l, "attn_qkv.weight", q + k, v, n_embd);
}

/* The norm of each head or of all together, as its length tells. */
static struct tensor *load_norm(struct loader *l, const char *name, int64_t d, int64_t all)
{
    return load_vector(l, name, load_dim(l, name, 0) == all ? all : d);
}

void decoder_attention_load(struct loader *l, struct decoder_attention *a, int64_t n_embd,
                            bool bias, bool norms)
{
    void (*load)(struct loader *, struct linear *, const char *, int64_t,
                 int64_t) = bias ? linear_load : linear_load_plain;
    int64_t q = (int64_t)a->n_head * a->d_k, k = (int64_t)a->n_head_kv * a->d_k;
    if (load_has(l, "attn_qkv.weight")) {
        load_fused(l, a, n_embd);
    } else {
        load(l, &a->q, "attn_q", q, n_embd);
        load(l, &a->k, "attn_k", k, n_embd);
        load(l, &a->v, "attn_v", (int64_t)a->n_head_kv * a->d_v, n_embd);
    }
    linear_load_plain(l, &a->out, "attn_output", n_embd, (int64_t)a->n_head * a->d_v);
    if (norms) {
        a->q_norm = load_norm(l, "attn_q_norm.weight", a->d_k, q);
        a->k_norm = load_norm(l, "attn_k_norm.weight", a->d_k, k);
    }
}

static struct tensor *normalise(struct tape *t, const struct decoder_attention *a, struct tensor *x,
                                struct tensor *w)
{
    int64_t n = x->dim[0], c = tensor_n_cols(x);
    if (!w)
        return x;
    struct tensor *heads = op_reshape3(t, x, n, -1, w->dim[0]);
    return op_reshape2(t, op_rmsnorm(t, heads, w, a->eps), n, c);
}

struct tensor *decoder_attention(struct tape *t, const struct decoder_attention *a,
                                 struct tensor *x, const struct decoder_place *at,
                                 struct tensor *residual)
{
    struct tensor *q = normalise(t, a, linear(t, &a->q, x), a->q_norm); /* [n, n_head * d_k] */
    struct tensor *k = normalise(t, a, linear(t, &a->k, x), a->k_norm); /* [n, n_head_kv * d_k] */
    struct tensor *v = linear(t, &a->v, x);                             /* [n, n_head_kv * d_v] */
    if (at->angles) {
        q = op_rope(t, q, at->angles, a->n_head, a->interleaved);
        k = op_rope(t, k, at->angles, a->n_head_kv, a->interleaved);
    }
    struct tensor *y = op_attend(t, q, k, v,
                                 (struct attend){.cache = at->cache,
                                                 .batch = at->batch,
                                                 .n_head = a->n_head,
                                                 .scale = a->scale,
                                                 .softcap = a->softcap,
                                                 .window = a->window,
                                                 .sinks = a->sinks});
    return linear_add(t, &a->out, y, residual); /* [n, n_embd] */
}
