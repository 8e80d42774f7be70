/* language.c - decoder-only transformers: llama, mistral, mixtral, qwen, gemma, phi, smollm, olmo,
 * gpt-oss.
 *
 *     x = embed(tokens)
 *     each layer:  x += attention(norm(x))        rope, grouped heads, norms of q and k
 *                  x += feed_forward(norm(x))     a gated unit or a mixture of them
 *     logits = head(norm(x))
 *
 * Norms stand before the layers, after them (before the sum), or both, as the architecture has it;
 * language_params.c has a row for each.
 */
#include "models/language.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "models/language_params.h"
#include "nn/decoder.h"
#include "nn/experts.h"
#include "tensor/kv.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A table of rotations. */
struct rope {
    struct tensor *freq; /* [n_rot / 2] */
    float factor;
};

struct layer {
    struct tensor *attn_norm, *attn_post; /* [n_embd]; NULL where there is none */
    struct tensor *ffn_norm, *ffn_post;
    struct decoder_attention attention;
    struct moe moe; /* moe.router.w NULL: dense */
    struct mlp mlp;
    bool rotated;
};

struct language_model {
    struct arena arena;
    struct language_config c;
    struct tensor *embed; /* [n_vocab, n_embd] */
    struct tensor *norm;  /* [n_embd] */
    struct linear head;   /* embed, where tied */
    struct layer *layers;
    struct rope rope, local; /* of layers without and with a window */
    struct rope long_rope;   /* freq NULL: the same */
};

static struct tensor *load_norm(struct loader *l, const struct language_model *m, const char *stem)
{
    char name[64];
    snprintf(name, sizeof(name), "%s.weight", stem);
    return load_vector(l, name, m->c.p.n_embd);
}

/* Gemma's norms, as Hugging Face stores them, lack 1. */
static void complete_norm(struct tensor *w)
{
    for (int64_t i = 0; w && i < tensor_n(w); i++)
        ((float *)w->data)[i] += 1;
}

static void load_layer(struct loader *l, const struct language_model *m, int i)
{
    const struct language_config *c = &m->c;
    const struct language_kind *k = c->kind;
    struct layer *x = &m->layers[i];
    x->rotated = c->rotated[i];
    x->attention = (struct decoder_attention){.n_head = c->p.n_head,
                                              .n_head_kv = c->p.n_head_kv,
                                              .d_k = c->p.d_k,
                                              .d_v = c->p.d_v,
                                              .eps = c->eps,
                                              .scale = c->scale,
                                              .softcap = c->softcap,
                                              .window = c->p.window[i],
                                              .interleaved = c->interleaved};
    decoder_attention_load(l, &x->attention, c->p.n_embd, k->qkv_bias, k->qk_norm);
    if (k->sinks)
        x->attention.sinks = load_vector(l, "attn_sinks.weight", c->p.n_head);
    if (k->pre_norm) {
        x->attn_norm = load_norm(l, m, "attn_norm");
        x->ffn_norm = load_norm(l, m, k->ffn_norm ? k->ffn_norm : "ffn_norm");
    }
    if (k->post_norm) {
        x->attn_post = load_norm(l, m, "post_attention_norm");
        x->ffn_post = load_norm(l, m, "post_ffw_norm");
    }
    if (c->norms_lack_one) {
        struct tensor *norms[] = {x->attn_norm, x->attn_post,        x->ffn_norm,
                                  x->ffn_post,  x->attention.q_norm, x->attention.k_norm};
        for (size_t j = 0; j < sizeof(norms) / sizeof(norms[0]); j++)
            complete_norm(norms[j]);
    }
    x->mlp.glu = x->moe.glu = k->glu;
    x->moe.n_used = c->p.n_expert_used;
    x->moe.norm = c->gate_norm;
    if (load_has(l, "ffn_gate_inp.weight"))
        moe_load(l, &x->moe, c->p.n_embd);
    else
        mlp_load(l, &x->mlp, c->p.n_embd);
}

static struct rope make_rope(struct loader *l, const struct rope_params *p)
{
    int n = p->n_rot / 2;
    struct tensor *freq = arena_alloc(l->arena, sizeof(*freq));
    *freq = (struct tensor){
        .type = DTYPE_F32, .n_dim = 1, .dim = {n, 1, 1, 1}, .name = "rotations"};
    freq->data = arena_alloc(l->arena, (size_t)n * sizeof(float));
    rope_frequencies(p, freq->data);
    return (struct rope){freq, rope_attention_factor(p)};
}

/* GGUF files have factors of their own as tensors: of llama 3's scaling and of longrope. */
static void load_ropes(struct loader *l, struct language_model *m)
{
    struct rope_params r = m->c.rope;
    const float *long_divisors = m->c.long_divisors;
    const char *name = load_has(l, "rope_freqs.weight") ? "rope_freqs.weight"
                                                        : "rope_factors_short.weight";
    if (load_has(l, "%s", name)) {
        struct tensor *short_factors = load_vector(l, name, r.n_rot / 2);
        r.divisors = short_factors ? short_factors->data : NULL;
    }
    if (load_has(l, "rope_factors_long.weight")) {
        struct tensor *long_factors = load_vector(l, "rope_factors_long.weight", r.n_rot / 2);
        long_divisors = long_factors ? long_factors->data : NULL;
        r.scaling = ROPE_LONG;
        r.factor = m->c.p.n_ctx_train / r.n_ctx_orig;
    }
    m->rope = make_rope(l, &r);
    m->local = m->c.kind->local_base > 0 ? make_rope(l, &m->c.local) : m->rope;
    r.divisors = long_divisors;
    if (long_divisors)
        m->long_rope = make_rope(l, &r);
}

static void load_model(struct loader *l, struct language_model *m)
{
    struct language_params *p = &m->c.p;
    m->embed = load_matrix(l, "token_embd.weight", LOAD_ANY, p->n_embd);
    m->norm = load_norm(l, m, "output_norm");
    if (m->c.norms_lack_one)
        complete_norm(m->norm);
    if (!m->embed)
        return;
    p->n_vocab = (int)m->embed->dim[0];
    m->head.w = m->embed;
    if (m->c.tied == 0 || (m->c.tied < 0 && load_has(l, "output.weight")))
        linear_load_plain(l, &m->head, "output", p->n_vocab, p->n_embd);
    load_ropes(l, m);
    m->layers = arena_alloc(l->arena, (size_t)p->n_layer * sizeof(*m->layers));
    for (int i = 0; i < p->n_layer && !load_done(l); i++) {
        load_push(l, "blk.%d", i);
        load_layer(l, m, i);
        load_pop(l);
        if (m->layers[i].moe.router.w)
            p->n_expert = (int)m->layers[i].moe.router.w->dim[0];
    }
}

/* Of what one token reads, experts count by how many are used, and of the embeddings one row. */
static void count_sizes(struct language_model *m, const struct checkpoint *file)
{
    struct language_params *p = &m->c.p;
    double active = 0;
    for (size_t i = 0; i < checkpoint_n(file); i++) {
        const struct ckpt_tensor *t = checkpoint_at(file, i);
        bool embed = strcmp(t->name, "token_embd.weight") == 0,
             block = !strncmp(t->name, "blk.", 4);
        if (!embed && !block && strncmp(t->name, "output", 6) != 0)
            continue; /* of another part of the model */
        uint64_t n = 1;
        for (int j = 0; j < t->n_dim; j++)
            n *= (uint64_t)t->dim[j];
        const char *gate = strstr(t->name, ".ffn_");
        bool expert = gate && (strstr(gate, "_exps") || strpbrk(gate, "0123456789"));
        p->n_weights += n;
        p->size += t->size;
        if (expert && p->n_expert)
            active += (double)t->size * p->n_expert_used / p->n_expert;
        else if (!embed || m->head.w == m->embed)
            active += (double)t->size;
    }
    p->active_size = (uint64_t)active;
}

int language_open(struct language_model **out, const struct checkpoint *file, struct err *e)
{
    struct language_model *m = mem_alloc(sizeof(*m));
    struct loader l;
    *out = NULL;
    load_start(&l, file, &m->arena, "", e);
    int64_t n_embd = load_dim(&l, "token_embd.weight", 1);
    int rc = language_params_read(&m->c, file, n_embd < INT_MAX ? (int)n_embd : 0, &m->arena, e);
    if (!rc) {
        load_model(&l, m);
        rc = load_done(&l);
    }
    if (rc) {
        language_close(m);
        return rc;
    }
    count_sizes(m, file);
    *out = m;
    return 0;
}

void language_close(struct language_model *m)
{
    if (m)
        arena_release(&m->arena);
    free(m);
}

const struct language_params *language_params(const struct language_model *m)
{
    return &m->c.p;
}

static struct tensor *rmsnorm(struct tape *t, const struct language_model *m, struct tensor *x,
                              struct tensor *w)
{
    return w ? op_rmsnorm(t, x, w, m->c.eps) : x;
}

static struct tensor *feed_forward(struct tape *t, const struct layer *l, struct tensor *x,
                                   struct tensor *residual)
{
    return l->moe.router.w ? moe(t, &l->moe, x, residual) : mlp(t, &l->mlp, x, residual);
}

/* x [n, n_embd]. Where a norm follows, the residual is added after it. */
static struct tensor *forward_layer(struct tape *t, const struct language_model *m,
                                    const struct layer *l, struct tensor *x,
                                    const struct decoder_place *at)
{
    struct tensor *y = rmsnorm(t, m, x, l->attn_norm);
    y = decoder_attention(t, &l->attention, y, at, l->attn_post ? NULL : x);
    x = l->attn_post ? op_add(t, x, rmsnorm(t, m, y, l->attn_post)) : y;
    y = feed_forward(t, l, rmsnorm(t, m, x, l->ffn_norm), l->ffn_post ? NULL : x);
    return l->ffn_post ? op_add(t, x, rmsnorm(t, m, y, l->ffn_post)) : y;
}

struct tensor *language_forward(struct tape *t, const struct language_model *m,
                                const struct language_batch *b)
{
    const struct language_config *c = &m->c;
    bool is_long = m->long_rope.freq && b->n_ctx > c->rope.n_ctx_orig;
    const struct rope *rope = is_long ? &m->long_rope : &m->rope;
    struct tensor *angles = op_rope_angles(t, b->positions, rope->freq, rope->factor);
    struct tensor *local = angles;
    if (c->kind->local_base > 0)
        local = op_rope_angles(t, b->positions, m->local.freq, m->local.factor);
    struct tensor *x = op_rows(t, m->embed, b->tokens); /* [n, n_embd] */
    if (c->kind->scaled_input)
        x = op_scale(t, x, sqrtf((float)c->p.n_embd), 0);
    for (int i = 0; i < c->p.n_layer; i++) {
        const struct layer *l = &m->layers[i];
        struct decoder_place at = {c->p.window[i] ? local : angles, &b->kv[i], b->batch};
        if (!l->rotated)
            at.angles = NULL;
        tape_push(t, "blk.%d", i);
        x = tape_result(t, forward_layer(t, m, l, x, &at));
        tape_pop(t);
    }
    x = op_rows(t, x, b->outputs); /* only those that somebody wants logits of */
    struct tensor *logits = linear(t, &m->head,
                                   rmsnorm(t, m, x, m->norm)); /* [n_outputs, n_vocab] */
    return c->final_softcap > 0 ? op_soft_cap(t, logits, c->final_softcap) : logits;
}
