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

static struct tensor *sampled(struct tape *t, const struct conv *c, enum vae_sampling sampling,
                              struct tensor *x)
{
    if (sampling == VAE_DOWN) /* only the encoder pads below and to the right alone */
        return op_conv2d(t, x, c->w, c->b, (struct conv2d){2, {0, 0, 1, 1}, NULL, tape_wraps(t)});
    if (sampling == VAE_UP)
        x = op_upsample(t, x, 2 * x->dim[1], 2 * x->dim[2]);
    return conv(t, c, x, 1);
}

/* The parts begin .. end - 1, where part 2 i are the resnets of block i and part 2 i + 1 is the
 * sampler after them. */
static struct tensor *blocks(struct tape *t, const struct vae_side *s, struct tensor *x, bool down,
                             int begin, int end)
{
    for (int i = begin; i < end; i++) {
        const struct vae_block *b = &s->blocks[i / 2];
        tape_push(t, "%s.%d", down ? "down_blocks" : "up_blocks", i / 2);
        for (int j = 0; i % 2 == 0 && j < b->n_layer; j++) {
            tape_push(t, "resnets.%d", j);
            x = tape_result(t, resnet(t, &b->resnets[j], x, NULL));
            tape_pop(t);
        }
        if (i % 2) {
            tape_push(t, down ? "downsamplers.0" : "upsamplers.0");
            x = tape_result(t, sampled(t, &b->sampler, down ? VAE_DOWN : VAE_UP, x));
            tape_pop(t);
        }
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

/* All parts of all blocks but the absent last sampler. */
static int n_parts(const struct vae_side *s)
{
    return 2 * s->n_block - 1;
}

/* The decoder up to part `end` of its blocks. */
static struct tensor *decode_to(struct tape *t, const struct vae *m, struct tensor *z, int end)
{
    struct tensor *x = op_cast(t, z, tape_type(t));
    if (m->post_quant.w)
        x = first(t, &m->post_quant, "post_quant_conv", x);
    tape_push(t, "decoder");
    x = first(t, &m->decoder.conv_in, "conv_in", x);
    x = blocks(t, &m->decoder, mid(t, &m->decoder.mid, x), false, 0, end);
    tape_pop(t);
    return x;
}

/* The encoder from part `begin` of its blocks on. */
static struct tensor *encode_from(struct tape *t, const struct vae *m, struct tensor *x, int begin)
{
    tape_push(t, "encoder");
    x = blocks(t, &m->encoder, x, true, begin, n_parts(&m->encoder));
    x = mid(t, &m->encoder.mid, x);
    x = head(t, &m->encoder, x);
    tape_pop(t);
    return m->quant.w ? first(t, &m->quant, "quant_conv", x) : x;
}

struct tensor *vae_decode(struct tape *t, const struct vae *m, struct tensor *z)
{
    struct tensor *x = decode_to(t, m, z, n_parts(&m->decoder));
    tape_push(t, "decoder");
    x = head(t, &m->decoder, x);
    tape_pop(t);
    return x;
}

struct tensor *vae_encode(struct tape *t, const struct vae *m, struct tensor *x)
{
    tape_push(t, "encoder");
    x = first(t, &m->encoder.conv_in, "conv_in", op_cast(t, x, tape_type(t)));
    tape_pop(t);
    return encode_from(t, m, x, 0);
}

/* ---- in steps ---- */

/* How many of the blocks with the most pixels are steps. */
static int n_stepped(const struct vae_side *s)
{
    return s->n_block > 2 ? 2 : s->n_block - 1;
}

int vae_decoder_steps(const struct vae *m, struct vae_step steps[VAE_MAX_STEP])
{
    const struct vae_side *s = &m->decoder;
    int n = 0, begin = s->n_block - n_stepped(s);
    for (int i = begin; i < s->n_block; i++) {
        const struct vae_block *b = &s->blocks[i];
        steps[n] = (struct vae_step){.first = &s->blocks[i - 1].sampler, .sampling = VAE_UP};
        if (i < s->n_block - 1)
            n++; /* the largest map of all is not kept but computed for each pass: see bands.h */
        for (int j = 0; j < b->n_layer; j++) {
            steps[n++].resnet = &b->resnets[j];
            steps[n] = (struct vae_step){0};
        }
    }
    if (n)
        steps[n++] = (struct vae_step){.norm = &s->norm_out, .conv = &s->conv_out};
    return n;
}

int vae_encoder_steps(const struct vae *m, struct vae_step steps[VAE_MAX_STEP])
{
    const struct vae_side *s = &m->encoder;
    int n = 0;
    steps[0] = (struct vae_step){.first = &s->conv_in};
    for (int i = 0; i < n_stepped(s); i++) {
        const struct vae_block *b = &s->blocks[i];
        for (int j = 0; j < b->n_layer; j++) {
            steps[n++].resnet = &b->resnets[j];
            steps[n] = (struct vae_step){0};
        }
        steps[n++] = (struct vae_step){.first = &b->sampler, .sampling = VAE_DOWN};
        steps[n] = (struct vae_step){0};
    }
    return n;
}

struct tensor *vae_decode_start(struct tape *t, const struct vae *m, struct tensor *z)
{
    return decode_to(t, m, z, n_parts(&m->decoder) - 2 * n_stepped(&m->decoder));
}

struct tensor *vae_encode_end(struct tape *t, const struct vae *m, struct tensor *x)
{
    return encode_from(t, m, x, 2 * n_stepped(&m->encoder));
}

const struct norm *vae_step_norm(const struct vae_step *s, int i)
{
    if (s->resnet)
        return i == 0 ? &s->resnet->norm1 : i == 1 ? &s->resnet->norm2 : NULL;
    return i == 0 ? s->norm : NULL;
}

int vae_step_halo(const struct vae_step *s)
{
    int n = (s->first ? 1 : 0) + (s->resnet ? 2 : 0) + (s->conv ? 1 : 0); /* 3x3 convolutions */
    return s->sampling == VAE_UP ? (n + 3) / 4 * 2 : (n + 1) / 2 * 2;
}

struct tensor *vae_step(struct tape *t, const struct vae_step *s, struct tensor *x,
                        struct tensor *const *moments, int n_moments)
{
    if (s->first)
        x = sampled(t, s->first, s->sampling, x);
    if (n_moments == 0)
        return x;
    if (s->norm) {
        struct norm norm = *s->norm;
        norm.moments = moments[0];
        return conv(t, s->conv, groupnorm_silu(t, &norm, x), 1);
    }
    struct resnet r = *s->resnet;
    r.norm1.moments = moments[0];
    if (n_moments == 1)
        return resnet_first(t, &r, x, NULL);
    r.norm2.moments = moments[1];
    return resnet(t, &r, x, NULL);
}
