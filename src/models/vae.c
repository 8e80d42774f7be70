/* vae.c - see vae.h. */
#include "models/vae.h"

#include "base/err.h"
#include "format/checkpoint.h"
#include "models/config.h"

#define EPS 1e-6f

static void load_mid(struct loader *l, struct vae_mid *m, int64_t width,
                     const struct resnet_params *p)
{
    load_push(l, "mid_block");
    for (int i = 0; i < 2; i++) {
        load_push(l, "resnets.%d", i);
        resnet_load(l, &m->resnets[i], width, p);
        load_pop(l);
    }
    if (load_has_any(l, "attentions.0")) {
        load_push(l, "attentions.0");
        norm_load(l, &m->norm, "group_norm", width, EPS);
        m->norm.n_group = p->n_group;
        attention_load(l, &m->attn, &attention_diffusers, width, width, 1);
        load_pop(l);
    }
    load_pop(l);
}

static int64_t load_block(struct loader *l, struct vae_block *b, int64_t width,
                          const struct resnet_params *p)
{
    b->n_layer = load_count(l, "resnets");
    if (b->n_layer < 1 || b->n_layer > VAE_MAX_LAYER)
        load_fail(l, "%s has %d resnets; 1 to %d are supported", l->scope, b->n_layer,
                  VAE_MAX_LAYER);
    for (int i = 0; i < b->n_layer && !load_done(l); i++) {
        load_push(l, "resnets.%d", i);
        resnet_load(l, &b->resnets[i], width, p);
        width = resnet_n_out(&b->resnets[i]);
        load_pop(l);
    }
    if (load_has_any(l, "downsamplers.0"))
        conv_load(l, &b->sampler, "downsamplers.0.conv", width, width, 3);
    if (load_has_any(l, "upsamplers.0"))
        conv_load(l, &b->sampler, "upsamplers.0.conv", width, width, 3);
    return width;
}

/* Loads "encoder" (blocks, then middle) or "decoder" (middle, then blocks). */
static void load_side(struct loader *l, struct vae_side *s, const char *name, const char *blocks,
                      const struct resnet_params *p)
{
    bool encoder = name[0] == 'e';
    load_push(l, "%s", name);
    conv_load(l, &s->conv_in, "conv_in", LOAD_ANY, LOAD_ANY, 3);
    int64_t width = s->conv_in.w ? s->conv_in.w->dim[0] : 0;
    if (!encoder)
        load_mid(l, &s->mid, width, p);
    s->n_block = load_count(l, blocks);
    if (s->n_block < 1 || s->n_block > VAE_MAX_BLOCK)
        load_fail(l, "%s has %d blocks; 1 to %d are supported", l->scope, s->n_block,
                  VAE_MAX_BLOCK);
    for (int i = 0; i < s->n_block && !load_done(l); i++) {
        load_push(l, "%s.%d", blocks, i);
        width = load_block(l, &s->blocks[i], width, p);
        load_pop(l);
        if (!load_done(l) && !s->blocks[i].sampler.w != (i == s->n_block - 1))
            load_fail(l, "%s: block %d lacks a sampler, or the last one has one", l->scope, i);
    }
    if (encoder)
        load_mid(l, &s->mid, width, p);
    norm_load(l, &s->norm_out, "conv_norm_out", width, EPS);
    s->norm_out.n_group = p->n_group;
    conv_load(l, &s->conv_out, "conv_out", LOAD_ANY, width, 3);
    load_pop(l);
}

static void load_sides(struct loader *l, struct vae *m, const struct config *c)
{
    struct resnet_params p = {.n_group = config_int(c, "norm_num_groups", 32, 1, 1024), .eps = EPS};
    m->has_encoder = load_has_any(l, "encoder");
    m->has_decoder = load_has_any(l, "decoder");
    if (!m->has_encoder && !m->has_decoder)
        load_fail(l, "no VAE: neither vae.encoder... nor vae.decoder...");
    if (m->has_encoder) {
        load_side(l, &m->encoder, "encoder", "down_blocks", &p);
        m->factor = 1 << (m->encoder.n_block > 0 ? m->encoder.n_block - 1 : 0);
        m->n_latent = m->encoder.conv_out.w ? m->encoder.conv_out.w->dim[0] / 2 : 0;
    }
    if (m->has_decoder) {
        load_side(l, &m->decoder, "decoder", "up_blocks", &p);
        m->factor = 1 << (m->decoder.n_block > 0 ? m->decoder.n_block - 1 : 0);
        m->n_latent = m->decoder.conv_in.w ? m->decoder.conv_in.w->dim[1] : 0;
    }
    if (load_has_any(l, "quant_conv"))
        conv_load(l, &m->quant, "quant_conv", 2 * m->n_latent, 2 * m->n_latent, 1);
    if (load_has_any(l, "post_quant_conv"))
        conv_load(l, &m->post_quant, "post_quant_conv", m->n_latent, m->n_latent, 1);
}

int vae_open(struct vae *m, const struct checkpoint *file, double scale, struct err *e)
{
    struct config c;
    struct loader l;
    *m = (struct vae){0};
    int rc = config_open(&c, file, "vae", e);
    if (rc)
        return rc;
    load_start(&l, file, &m->arena, "vae", e);
    load_sides(&l, m, &c);
    m->scale = config_real(&c, "scaling_factor", scale);
    m->shift = config_real(&c, "shift_factor", 0);
    if (!(m->scale > 0))
        load_fail(&l, "vae: scaling_factor %g is not positive", m->scale);
    config_close(&c);
    if (load_done(&l))
        vae_close(m);
    return load_done(&l);
}

void vae_close(struct vae *m)
{
    arena_release(&m->arena);
    *m = (struct vae){0};
}

static struct tensor *mid(struct tape *t, const struct vae_mid *m, struct tensor *x)
{
    tape_push(t, "mid_block");
    tape_push(t, "resnets.0");
    x = tape_result(t, resnet(t, &m->resnets[0], x, NULL));
    tape_pop(t);
    if (m->attn.q.w) {
        tape_push(t, "attentions.0");
        struct tensor *h = groupnorm(t, &m->norm, x);
        h = op_reshape3(t, h, x->dim[0], -1, x->dim[3]); /* pixels as tokens */
        struct tensor *residual = op_reshape(t, x, 3, h->dim);
        h = attention(t, &m->attn, h, NULL, false, residual);
        x = tape_result(t, op_reshape(t, h, 4, x->dim));
        tape_pop(t);
    }
    tape_push(t, "resnets.1");
    x = tape_result(t, resnet(t, &m->resnets[1], x, NULL));
    tape_pop(t);
    tape_pop(t);
    return x;
}

static struct tensor *sample(struct tape *t, const struct conv *c, struct tensor *x, bool down)
{
    tape_push(t, down ? "downsamplers.0" : "upsamplers.0");
    if (down) /* only the encoder pads below and to the right alone */
        x = op_conv2d(t, x, c->w, c->b, (struct conv2d){2, {0, 0, 1, 1}, NULL});
    else
        x = conv(t, c, op_upsample(t, x, 2 * x->dim[1], 2 * x->dim[2]), 1);
    tape_result(t, x);
    tape_pop(t);
    return x;
}

static struct tensor *blocks(struct tape *t, const struct vae_side *s, struct tensor *x, bool down)
{
    for (int i = 0; i < s->n_block; i++) {
        const struct vae_block *b = &s->blocks[i];
        tape_push(t, "%s.%d", down ? "down_blocks" : "up_blocks", i);
        for (int j = 0; j < b->n_layer; j++) {
            tape_push(t, "resnets.%d", j);
            x = tape_result(t, resnet(t, &b->resnets[j], x, NULL));
            tape_pop(t);
        }
        if (b->sampler.w)
            x = sample(t, &b->sampler, x, down);
        tape_pop(t);
    }
    return x;
}

static struct tensor *head(struct tape *t, const struct vae_side *s, struct tensor *x)
{
    tape_push(t, "conv_out");
    x = tape_result(t, conv(t, &s->conv_out, groupnorm_silu(t, &s->norm_out, x), 1));
    tape_pop(t);
    return x;
}

static struct tensor *first(struct tape *t, const struct conv *c, const char *name,
                            struct tensor *x)
{
    tape_push(t, "%s", name);
    x = tape_result(t, conv(t, c, x, 1));
    tape_pop(t);
    return x;
}

struct tensor *vae_decode(struct tape *t, const struct vae *m, struct tensor *z)
{
    struct tensor *x = op_cast(t, z, tape_type(t));
    if (m->post_quant.w)
        x = first(t, &m->post_quant, "post_quant_conv", x);
    tape_push(t, "decoder");
    x = first(t, &m->decoder.conv_in, "conv_in", x);
    x = blocks(t, &m->decoder, mid(t, &m->decoder.mid, x), false);
    x = head(t, &m->decoder, x);
    tape_pop(t);
    return x;
}

struct tensor *vae_encode(struct tape *t, const struct vae *m, struct tensor *x)
{
    tape_push(t, "encoder");
    x = first(t, &m->encoder.conv_in, "conv_in", op_cast(t, x, tape_type(t)));
    x = mid(t, &m->encoder.mid, blocks(t, &m->encoder, x, true));
    x = head(t, &m->encoder, x);
    tape_pop(t);
    return m->quant.w ? first(t, &m->quant, "quant_conv", x) : x;
}
