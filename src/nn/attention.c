/* attention.c - see attention.h (Vaswani et al., arXiv:1706.03762). */
#include "nn/attention.h"

const struct attention_names attention_diffusers = {"to_q", "to_k", "to_v", "to_out.0"};

typedef void load_fn(struct loader *l, struct linear *x, const char *name, int64_t n_out,
                     int64_t n_in);

void attention_load(struct loader *l, struct attention *a, const struct attention_names *names,
                    int64_t n_embd, int64_t n_context, int n_head)
{
    bool bias = load_has(l, "%s.bias", names->q) || load_has(l, "%s.bias", names->k) ||
                load_has(l, "%s.bias", names->v); /* all of them have one, or none */
    load_fn *load = bias ? linear_load : linear_load_plain;
    load(l, &a->q, names->q, LOAD_ANY, n_embd);
    int64_t inner = a->q.w ? a->q.w->dim[0] : LOAD_ANY;
    load(l, &a->k, names->k, inner, n_context);
    load(l, &a->v, names->v, inner, n_context);
    linear_load(l, &a->out, names->out, n_embd, inner);
    a->n_head = n_head;
    if (!load_done(l) && (n_head < 1 || inner % n_head))
        load_fail(l, "%s: %d attention heads do not divide a width of %d", l->scope, n_head,
                  (int)inner);
}

struct tensor *attention(struct tape *t, const struct attention *a, struct tensor *x,
                         struct tensor *context, bool causal, struct tensor *residual)
{
    struct tensor *from = context ? context : x;
    struct tensor *q = linear(t, &a->q, x);    /* [n, tokens, n_head * d] */
    struct tensor *k = linear(t, &a->k, from); /* [n, context tokens, n_head * d] */
    struct tensor *v = linear(t, &a->v, from);
    return linear_add(t, &a->out, op_attention(t, q, k, v, a->n_head, causal), residual);
}

struct tensor *attention_to(struct tape *t, const struct attention *a, struct tensor *x,
                            const struct attended *to, int index, struct tensor *residual)
{
    if (to->n_more == 0)
        return attention(t, a, x, to->context, false, residual);
    struct tensor *q = linear(t, &a->q, x);
    struct tensor *k = linear(t, &a->k, to->context), *v = linear(t, &a->v, to->context);
    struct tensor *sum = op_attention(t, q, k, v, a->n_head, false);
    for (int i = 0; i < to->n_more; i++) {
        const struct attention_more *m = &to->more[i];
        const struct attention_source *s = &m->sources[index];
        k = linear(t, &s->k, m->tokens);
        v = linear(t, &s->v, m->tokens);
        if (m->weight != 1) /* of a few tokens, in place of the many pixels */
            v = op_scale(t, v, m->weight, 0);
        sum = op_add(t, sum, op_attention(t, q, k, v, a->n_head, false));
    }
    return linear_add(t, &a->out, sum, residual);
}
