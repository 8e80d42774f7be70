/* unet.c - see unet.h. */
#include "models/unet.h"

#include "base/err.h"
#include "format/checkpoint.h"
#include "models/config.h"

#include <math.h>

struct unet_loader {
    struct loader l;
    struct unet *m;
    struct config c;
    struct resnet_params resnet;
    bool fixed_head_size; /* without a configuration: heads of 64, as in SD 2.x and XL */
};

/* The key attention_head_dim holds the number of heads, not their size: a misnomer that diffusers
 * keeps for its old files. SD 1.x has 8 everywhere and projects with 1x1 convolutions; later
 * models have linear projections and heads of 64. */
static int n_heads(const struct unet_loader *u, int block, int64_t width)
{
    int standard = u->fixed_head_size ? (int)((width + 63) / 64) : 8;
    return config_int_at(&u->c, "num_attention_heads", block,
                         config_int_at(&u->c, "attention_head_dim", block, standard));
}

static void load_attention(struct unet_loader *u, struct unet_block *b, int i, int block)
{
    int64_t width = resnet_n_out(&b->resnets[i]);
    if (!load_has_any(&u->l, "attentions.%d", i) || load_done(&u->l))
        return;
    b->attentions[i] = arena_alloc(&u->m->arena, sizeof(*b->attentions[i]));
    struct transformer_params p = {
        .n_embd = width,
        .n_context = u->m->n_context ? u->m->n_context : LOAD_ANY,
        .n_head = n_heads(u, block, width),
        .n_group = u->resnet.n_group,
    };
    load_push(&u->l, "attentions.%d", i);
    transformer_load(&u->l, b->attentions[i], &p);
    load_pop(&u->l);
    if (!load_done(&u->l) && b->attentions[i]->n_block)
        u->m->n_context = b->attentions[i]->blocks[0].attn2.k.w->dim[1];
}

/* Loads the block whose scope was pushed. `width` is what enters; the widths after concatenation in
 * up blocks come from the file. `block` counts blocks of the down path, for the heads. */
static void load_block(struct unet_loader *u, struct unet_block *b, int64_t width, int block)
{
    b->n_layer = load_count(&u->l, "resnets");
    if (b->n_layer < 1 || b->n_layer > UNET_MAX_LAYER)
        load_fail(&u->l, "%s has %d resnets; 1 to %d are supported", u->l.scope, b->n_layer,
                  UNET_MAX_LAYER);
    for (int i = 0; i < b->n_layer && !load_done(&u->l); i++) {
        load_push(&u->l, "resnets.%d", i);
        resnet_load(&u->l, &b->resnets[i], width, &u->resnet);
        load_pop(&u->l);
        load_attention(u, b, i, block);
        if (width != LOAD_ANY)
            width = resnet_n_out(&b->resnets[i]);
    }
    width = b->n_layer > 0 ? resnet_n_out(&b->resnets[b->n_layer - 1]) : 0;
    if (load_has_any(&u->l, "downsamplers.0"))
        conv_load(&u->l, &b->sampler, "downsamplers.0.conv", width, width, 3);
    if (load_has_any(&u->l, "upsamplers.0"))
        conv_load(&u->l, &b->sampler, "upsamplers.0.conv", width, width, 3);
}

static int64_t block_width(const struct unet_block *b)
{
    return b->n_layer > 0 ? resnet_n_out(&b->resnets[b->n_layer - 1]) : 0;
}

static void load_down(struct unet_loader *u)
{
    struct unet *m = u->m;
    struct loader *l = &u->l;
    int64_t width = m->conv_in.w ? m->conv_in.w->dim[0] : 0;
    m->n_block = load_count(l, "down_blocks");
    if (m->n_block < 1 || m->n_block > UNET_MAX_BLOCK)
        load_fail(l, "%s has %d down blocks; 1 to %d are supported", l->scope, m->n_block,
                  UNET_MAX_BLOCK);
    for (int i = 0; i < m->n_block && !load_done(l); i++) {
        load_push(l, "down_blocks.%d", i);
        load_block(u, &m->down[i], width, i);
        width = block_width(&m->down[i]);
        load_pop(l);
    }
    load_push(l, "mid_block");
    load_block(u, &m->mid, width, m->n_block - 1);
    load_pop(l);
    for (int i = 0; i < m->n_block && !load_done(l); i++)
        if (!m->down[i].sampler.w != (i == m->n_block - 1))
            load_fail(l, "%s: block %d lacks a sampler, or the last one has one", l->scope, i);
    if (!load_done(l) && m->mid.n_layer != 2)
        load_fail(l, "%s.mid_block has %d resnets, not 2", l->scope, m->mid.n_layer);
}

/* Every layer of the up path takes one skip of the down path, and blocks must sample where their
 * counterparts do, or the feature maps will not meet. */
static void load_up(struct unet_loader *u)
{
    struct unet *m = u->m;
    struct loader *l = &u->l;
    int pushed = 1, popped = 0;
    for (int i = 0; i < m->n_block && !load_done(l); i++) {
        load_push(l, "up_blocks.%d", i);
        load_block(u, &m->up[i], LOAD_ANY, m->n_block - 1 - i);
        load_pop(l);
        pushed += m->down[i].n_layer + (m->down[i].sampler.w ? 1 : 0);
        popped += m->up[i].n_layer;
        if (!load_done(l) && !m->up[i].sampler.w != (i == m->n_block - 1))
            load_fail(l, "unet: block %d lacks a sampler, or the last one has one", i);
    }
    if (!load_done(l) && pushed != popped)
        load_fail(l, "unet: %d skips go down but %d come up", pushed, popped);
}

static void load_embeddings(struct unet_loader *u)
{
    struct unet *m = u->m;
    struct loader *l = &u->l;
    linear_load(l, &m->time1, "time_embedding.linear_1", LOAD_ANY, LOAD_ANY);
    int64_t n_emb = m->time1.w ? m->time1.w->dim[0] : 0;
    m->n_time = m->time1.w ? m->time1.w->dim[1] : 0;
    linear_load(l, &m->time2, "time_embedding.linear_2", n_emb, n_emb);
    if (load_has_any(l, "add_embedding")) {
        linear_load(l, &m->add1, "add_embedding.linear_1", n_emb, LOAD_ANY);
        linear_load(l, &m->add2, "add_embedding.linear_2", n_emb, n_emb);
        m->n_add = m->add1.w ? m->add1.w->dim[1] : 0;
    }
    u->resnet.n_time = n_emb;
}

static bool is_standard(const struct unet_loader *u)
{
    const struct config *c = &u->c;
    return config_bool(c, "flip_sin_to_cos", true) && config_int(c, "freq_shift", 0, -9, 9) == 0 &&
           !config_bool(c, "dual_cross_attention", false);
}

static int number_block(struct unet *m, const struct unet_block *b, int n)
{
    for (int i = 0; i < b->n_layer; i++)
        for (int j = 0; b->attentions[i] && j < b->attentions[i]->n_block; j++) {
            struct transformer_block *x = &b->attentions[i]->blocks[j];
            if (m->cross_width)
                m->cross_width[n] = x->attn2.q.w->dim[0];
            x->index = n++;
        }
    return n;
}

static int number_blocks(struct unet *m)
{
    int n = 0;
    for (int i = 0; i < m->n_block; i++)
        n = number_block(m, &m->down[i], n);
    for (int i = 0; i < m->n_block; i++)
        n = number_block(m, &m->up[i], n);
    return number_block(m, &m->mid, n);
}

/* Numbers the attentions to the prompt; once to count them, once to keep their widths. */
static void number_attentions(struct unet *m)
{
    m->n_cross = number_blocks(m);
    m->cross_width = arena_alloc(&m->arena, ((size_t)m->n_cross + 1) * sizeof(*m->cross_width));
    number_blocks(m);
}

/* What unet_open() and unet_open_encoder() share; the loader goes on from here. */
static int start(struct unet_loader *u, struct unet *m, const struct checkpoint *file,
                 const char *component, struct err *e)
{
    *u = (struct unet_loader){.m = m};
    *m = (struct unet){0};
    int rc = config_open(&u->c, file, component, e);
    if (rc)
        return rc;
    load_start(&u->l, file, &m->arena, component, e);
    if (!is_standard(u))
        load_fail(&u->l, "%s: the configuration asks for a variant that is not supported",
                  component);
    u->resnet = (struct resnet_params){.n_group = config_int(&u->c, "norm_num_groups", 32, 1, 1024),
                                       .eps = (float)config_real(&u->c, "norm_eps", 1e-5)};
    u->fixed_head_size = load_dim(&u->l, "mid_block.attentions.0.proj_in.weight", 2) == 0;
    load_embeddings(u);
    conv_load(&u->l, &m->conv_in, "conv_in", LOAD_ANY, LOAD_ANY, 3);
    m->n_in = m->conv_in.w ? m->conv_in.w->dim[1] : 0;
    load_down(u);
    return 0;
}

static int finish(struct unet_loader *u)
{
    config_close(&u->c);
    if (load_done(&u->l))
        unet_close(u->m);
    return load_done(&u->l);
}

int unet_open_encoder(struct unet *m, const struct checkpoint *file, const char *component,
                      struct err *e)
{
    struct unet_loader u;
    int rc = start(&u, m, file, component, e);
    return rc ? rc : finish(&u);
}

int unet_open(struct unet *m, const struct checkpoint *file, struct err *e)
{
    struct unet_loader u;
    int rc = start(&u, m, file, "unet", e);
    if (rc)
        return rc;
    load_up(&u);
    int64_t width = block_width(&m->up[m->n_block > 0 ? m->n_block - 1 : 0]);
    norm_load(&u.l, &m->norm_out, "conv_norm_out", width, u.resnet.eps);
    m->norm_out.n_group = u.resnet.n_group;
    conv_load(&u.l, &m->conv_out, "conv_out", LOAD_ANY, width, 3);
    m->n_out = m->conv_out.w ? m->conv_out.w->dim[0] : 0;
    if (!load_done(&u.l))
        number_attentions(m);
    return finish(&u);
}

void unet_close(struct unet *m)
{
    arena_release(&m->arena);
    *m = (struct unet){0};
}

void unet_sinusoid(double t, float *out, int64_t n)
{
    int64_t half = n / 2;
    for (int64_t i = 0; i < half; i++) {
        float w = expf(-9.210340371976184f * (float)i / (float)half); /* ln 10000 */
        out[i] = cosf((float)t * w);
        out[half + i] = sinf((float)t * w);
    }
    if (n % 2)
        out[n - 1] = 0;
}

/* SiLU of the sum of all embeddings, [n, n_emb] f32: every resnet starts from it, so that rounding
 * here would shift them all alike. */
static struct tensor *embed(struct tape *t, const struct unet *m, const struct unet_input *in)
{
    tape_push(t, "time_embedding");
    struct tensor *e = op_silu(t, linear(t, &m->time1, in->time));
    e = tape_result(t, linear(t, &m->time2, e));
    tape_pop(t);
    if (m->add1.w) {
        tape_push(t, "add_embedding");
        struct tensor *a = op_silu(t, linear(t, &m->add1, in->add));
        a = tape_result(t, linear(t, &m->add2, a));
        tape_pop(t);
        e = op_add(t, e, a);
    }
    return op_silu(t, e);
}

static struct tensor *layer(struct tape *t, const struct unet_block *b, int i, struct tensor *x,
                            struct tensor *emb, const struct attended *to)
{
    tape_push(t, "resnets.%d", i);
    x = tape_result(t, resnet(t, &b->resnets[i], x, emb));
    tape_pop(t);
    if (b->attentions[i]) {
        tape_push(t, "attentions.%d", i);
        x = transformer(t, b->attentions[i], x, to);
        tape_pop(t);
    }
    return x;
}

static struct tensor *down_block(struct tape *t, const struct unet_block *b, struct tensor *x,
                                 struct tensor *emb, const struct attended *to,
                                 struct unet_skips *s)
{
    for (int i = 0; i < b->n_layer; i++)
        s->x[s->n++] = x = layer(t, b, i, x, emb, to);
    if (b->sampler.w) {
        tape_push(t, "downsamplers.0");
        s->x[s->n++] = x = tape_result(t, conv(t, &b->sampler, x, 2));
        tape_pop(t);
    }
    return x;
}

static struct tensor *mid_block(struct tape *t, const struct unet_block *b, struct tensor *x,
                                struct tensor *emb, const struct attended *to)
{
    tape_push(t, "mid_block");
    for (int i = 0; i < b->n_layer; i++)
        x = layer(t, b, i, x, emb, to);
    tape_pop(t);
    return x;
}

static struct tensor *up_block(struct tape *t, const struct unet_block *b, struct tensor *x,
                               struct tensor *emb, const struct attended *to, struct unet_skips *s)
{
    for (int i = 0; i < b->n_layer; i++)
        x = layer(t, b, i, op_concat(t, x, s->x[--s->n]), emb, to);
    if (b->sampler.w) {
        /* The size of the next skip: twice this one, or one less where halving rounded up. */
        const struct tensor *next = s->x[s->n - 1];
        tape_push(t, "upsamplers.0");
        x = op_upsample(t, x, next->dim[1], next->dim[2]); /* NOLINT: load checked the counts */
        x = tape_result(t, conv(t, &b->sampler, x, 1));
        tape_pop(t);
    }
    return x;
}

/* Everything behind the inputs' casts. emb [n, n_emb]. */
static void encode(struct tape *t, const struct unet *m, const struct unet_input *in,
                   struct tensor *emb, const struct attended *to, struct unet_skips *s)
{
    struct tensor *x = op_cast(t, in->x, tape_type(t));
    tape_push(t, "conv_in");
    x = tape_result(t, conv(t, &m->conv_in, x, 1));
    if (in->hint)
        x = op_add(t, x, op_cast(t, in->hint, tape_type(t)));
    tape_pop(t);
    s->x[0] = x;
    s->n = 1;
    for (int i = 0; i < m->n_block; i++) {
        tape_push(t, "down_blocks.%d", i);
        x = down_block(t, &m->down[i], x, emb, to, s);
        tape_pop(t);
    }
    s->mid = mid_block(t, &m->mid, x, emb, to);
}

static struct attended attended(struct tape *t, const struct unet_input *in)
{
    return (struct attended){in->context ? op_cast(t, in->context, tape_type(t)) : NULL, in->more,
                             in->n_more};
}

void unet_encode(struct tape *t, const struct unet *m, const struct unet_input *in,
                 struct unet_skips *s)
{
    struct tensor *emb = embed(t, m, in);
    struct attended to = attended(t, in);
    encode(t, m, in, emb, &to, s);
}

static void add_control(struct tape *t, struct unet_skips *s, const struct unet_skips *control)
{
    tape_push(t, "control");
    for (int i = 0; i < s->n && i < control->n; i++)
        s->x[i] = op_add(t, s->x[i], control->x[i]);
    s->mid = op_add(t, s->mid, control->mid);
    tape_pop(t);
}

struct tensor *unet_forward(struct tape *t, const struct unet *m, const struct unet_input *in)
{
    struct unet_skips s = {.n = 0};
    struct tensor *emb = embed(t, m, in); /* [n, n_emb] */
    struct attended to = attended(t, in);
    encode(t, m, in, emb, &to, &s);
    if (in->control)
        add_control(t, &s, in->control);
    struct tensor *x = s.mid;
    for (int i = 0; i < m->n_block; i++) {
        tape_push(t, "up_blocks.%d", i);
        x = up_block(t, &m->up[i], x, emb, &to, &s);
        tape_pop(t);
    }
    tape_push(t, "conv_out");
    x = tape_result(t, conv(t, &m->conv_out, groupnorm_silu(t, &m->norm_out, x), 1));
    tape_pop(t);
    return x;
}
