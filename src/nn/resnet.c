/* resnet.c - see resnet.h. */
#include "nn/resnet.h"

void resnet_load(struct loader *l, struct resnet *r, int64_t n_in, const struct resnet_params *p)
{
    norm_load(l, &r->norm1, "norm1", n_in, p->eps);
    if (r->norm1.w)
        n_in = r->norm1.w->dim[0];
    conv_load(l, &r->conv1, "conv1", LOAD_ANY, n_in, 3);
    int64_t n_out = resnet_n_out(r);
    if (p->n_time)
        linear_load(l, &r->time, "time_emb_proj", n_out, p->n_time);
    norm_load(l, &r->norm2, "norm2", n_out, p->eps);
    conv_load(l, &r->conv2, "conv2", n_out, n_out, 3);
    if (n_in != n_out || load_has_any(l, "conv_shortcut"))
        conv_load(l, &r->shortcut, "conv_shortcut", n_out, n_in, 1);
    r->norm1.n_group = r->norm2.n_group = p->n_group;
}

int64_t resnet_n_out(const struct resnet *r)
{
    return r->conv1.w ? r->conv1.w->dim[0] : 0;
}

struct tensor *resnet_first(struct tape *t, const struct resnet *r, struct tensor *x,
                            struct tensor *emb)
{
    struct tensor *shift = r->time.w ? linear(t, &r->time, emb) : NULL; /* [n, c_out] */
    return conv_add(t, &r->conv1, groupnorm_silu(t, &r->norm1, x), shift);
}

struct tensor *resnet(struct tape *t, const struct resnet *r, struct tensor *x, struct tensor *emb)
{
    struct tensor *h = resnet_first(t, r, x, emb);
    if (r->shortcut.w)
        x = conv(t, &r->shortcut, x, 1);
    return conv_add(t, &r->conv2, groupnorm_silu(t, &r->norm2, h), x);
}
