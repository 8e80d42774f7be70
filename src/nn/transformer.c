/* transformer.c - see transformer.h. */
#include "nn/transformer.h"

#include "base/arena.h"

static void load_block(struct loader *l, struct transformer_block *b,
                       const struct transformer_params *p)
{
    norm_load(l, &b->norm1, "norm1", p->n_embd, 1e-5f);
    load_push(l, "attn1");
    attention_load(l, &b->attn1, &attention_diffusers, p->n_embd, p->n_embd, p->n_head);
    load_pop(l);
    norm_load(l, &b->norm2, "norm2", p->n_embd, 1e-5f);
    load_push(l, "attn2");
    attention_load(l, &b->attn2, &attention_diffusers, p->n_embd, p->n_context, p->n_head);
    load_pop(l);
    norm_load(l, &b->norm3, "norm3", p->n_embd, 1e-5f);
    linear_load(l, &b->ff1, "ff.net.0.proj", LOAD_ANY, p->n_embd);
    linear_load(l, &b->ff2, "ff.net.2", p->n_embd, b->ff1.w ? b->ff1.w->dim[0] / 2 : LOAD_ANY);
}

void transformer_load(struct loader *l, struct transformer *x, const struct transformer_params *p)
{
    norm_load(l, &x->norm, "norm", p->n_embd, 1e-6f);
    x->norm.n_group = p->n_group;
    linear_load(l, &x->proj_in, "proj_in", p->n_embd, p->n_embd);
    x->n_block = load_count(l, "transformer_blocks");
    x->blocks = arena_alloc(l->arena, (size_t)x->n_block * sizeof(*x->blocks));
    for (int i = 0; i < x->n_block && !load_done(l); i++) {
        load_push(l, "transformer_blocks.%d", i);
        load_block(l, &x->blocks[i], p);
        load_pop(l);
    }
    linear_load(l, &x->proj_out, "proj_out", p->n_embd, p->n_embd);
}

static struct tensor *block(struct tape *t, const struct transformer_block *b, struct tensor *x,
                            const struct attended *to)
{
    x = attention(t, &b->attn1, layernorm(t, &b->norm1, x), NULL, false, x);
    x = attention_to(t, &b->attn2, layernorm(t, &b->norm2, x), to, b->index, x);
    struct tensor *h = op_geglu(t, linear(t, &b->ff1, layernorm(t, &b->norm3, x)));
    return tape_result(t, linear_add(t, &b->ff2, h, x));
}

struct tensor *transformer(struct tape *t, const struct transformer *m, struct tensor *x,
                           const struct attended *to)
{
    struct tensor *h = linear(t, &m->proj_in, groupnorm(t, &m->norm, x));
    h = op_reshape3(t, h, x->dim[0], -1, x->dim[3]); /* [n, h * w, c] */
    for (int i = 0; i < m->n_block; i++) {
        tape_push(t, "transformer_blocks.%d", i);
        h = block(t, &m->blocks[i], h, to);
        tape_pop(t);
    }
    h = linear_add(t, &m->proj_out, h, op_reshape(t, x, 3, h->dim));
    return tape_result(t, op_reshape(t, h, 4, x->dim));
}
