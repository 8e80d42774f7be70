/* ip_adapter.c - see ip_adapter.h. */
#include "models/ip_adapter.h"

#include "base/err.h"
#include "format/checkpoint.h"
#include "models/unet.h"
#include "tensor/quant.h"

#include <string.h>

#define NORM_EPS  1e-5f
#define HEAD_SIZE 64

static void load_plain(struct loader *l, struct ip_adapter *m)
{
    m->kind = IP_ADAPTER_PLAIN;
    norm_load(l, &m->norm, "norm", LOAD_ANY, NORM_EPS);
    m->n_context = m->norm.w ? m->norm.w->dim[0] : 0;
    linear_load(l, &m->proj, "proj", LOAD_ANY, LOAD_ANY);
    if (load_done(l))
        return;
    if (m->proj.w->dim[0] % m->n_context)
        load_fail(l, "%s: %d values are no whole number of tokens of %d", l->scope,
                  (int)m->proj.w->dim[0], (int)m->n_context);
    m->n_token = m->proj.w->dim[0] / m->n_context;
}

static void load_full(struct loader *l, struct ip_adapter *m)
{
    m->kind = IP_ADAPTER_FULL;
    linear_load(l, &m->proj, "proj.0", LOAD_ANY, LOAD_ANY);
    linear_load(l, &m->mlp, "proj.2", LOAD_ANY, m->proj.w ? m->proj.w->dim[0] : LOAD_ANY);
    m->n_context = m->mlp.w ? m->mlp.w->dim[0] : 0;
    norm_load(l, &m->norm, "proj.3", m->n_context, NORM_EPS);
}

/* k and v stacked by rows. */
static void load_kv(struct loader *l, struct attention *a, int64_t inner, int64_t width)
{
    struct tensor *both = load_matrix(l, "to_kv.weight", 2 * inner, width);
    if (!both)
        return;
    struct tensor *half = arena_alloc(l->arena, 2 * sizeof(*half));
    half[0] = half[1] = *both;
    half[0].dim[0] = half[1].dim[0] = inner;
    half[1].data = (char *)both->data + tensor_size(&half[0]);
    a->k.w = &half[0];
    a->v.w = &half[1];
}

static void load_layer(struct loader *l, struct ip_adapter_layer *x, int64_t width)
{
    load_push(l, "0");
    norm_load(l, &x->norm_x, "norm1", width, NORM_EPS);
    norm_load(l, &x->norm_latents, "norm2", width, NORM_EPS);
    linear_load_plain(l, &x->attn.q, "to_q", LOAD_ANY, width);
    int64_t inner = x->attn.q.w ? x->attn.q.w->dim[0] : 0;
    load_kv(l, &x->attn, inner, width);
    linear_load_plain(l, &x->attn.out, "to_out", width, inner);
    x->attn.n_head = (int)(inner / HEAD_SIZE);
    if (!load_done(l) && (x->attn.n_head < 1 || inner % HEAD_SIZE))
        load_fail(l, "%s: %d is no whole number of heads of %d", l->scope, (int)inner, HEAD_SIZE);
    load_pop(l);
    load_push(l, "1");
    norm_load(l, &x->norm_ff, "0", width, NORM_EPS);
    linear_load_plain(l, &x->ff1, "1", LOAD_ANY, width);
    linear_load_plain(l, &x->ff2, "3", width, x->ff1.w ? x->ff1.w->dim[0] : LOAD_ANY);
    load_pop(l);
}

/* A weight that is an activation: f32. */
static void load_latents(struct loader *l, struct ip_adapter *m, int64_t width)
{
    struct tensor *w = load_weight(l, "latents", 3, (int64_t[]){1, LOAD_ANY, width});
    if (!w)
        return;
    struct tensor *x = m->latents = arena_alloc(l->arena, sizeof(*x));
    *x = (struct tensor){.n_dim = 3, .dim = {1, w->dim[1], width, 1}, .name = w->name};
    x->data = arena_try_array(l->arena, (size_t)tensor_n(x), sizeof(float), w->name, l->err);
    if (x->data)
        quant_to_f32(w->type, w->data, x->data, tensor_n(x));
    else
        l->rc = ERR_NOMEM;
    x->type = DTYPE_F32;
    m->n_token = x->dim[1];
}

static void load_plus(struct loader *l, struct ip_adapter *m)
{
    m->kind = IP_ADAPTER_PLUS;
    linear_load(l, &m->proj, "proj_in", LOAD_ANY, LOAD_ANY);
    int64_t width = m->proj.w ? m->proj.w->dim[0] : 0;
    load_latents(l, m, width);
    m->n_layer = load_count(l, "layers");
    if (m->n_layer > IP_ADAPTER_MAX_LAYER)
        load_fail(l, "%s has %d layers; up to %d are supported", l->scope, m->n_layer,
                  IP_ADAPTER_MAX_LAYER);
    for (int i = 0; i < m->n_layer && !load_done(l); i++) {
        load_push(l, "layers.%d", i);
        load_layer(l, &m->layers[i], width);
        load_pop(l);
    }
    linear_load(l, &m->mlp, "proj_out", LOAD_ANY, width);
    m->n_context = m->mlp.w ? m->mlp.w->dim[0] : 0;
    norm_load(l, &m->norm, "norm_out", m->n_context, NORM_EPS);
}

/* Tokens for each cross-attention. The files count all attentions of the UNet, so that only odd
 * numbers occur: 1, 3, 5, ... */
static void load_sources(struct loader *l, struct ip_adapter *m)
{
    load_push(l, "ip_adapter");
    int n = 0;
    while (load_has_any(l, "%d", 2 * n + 1))
        n++;
    m->sources = arena_alloc(l->arena, ((size_t)n + 1) * sizeof(*m->sources));
    for (int i = 0; i < n && !load_done(l); i++) {
        load_push(l, "%d", 2 * i + 1);
        linear_load_plain(l, &m->sources[i].k, "to_k_ip", LOAD_ANY, m->n_context);
        linear_load_plain(l, &m->sources[i].v, "to_v_ip", LOAD_ANY, m->n_context);
        load_pop(l);
    }
    m->n_source = n;
    load_pop(l);
}

/* Face recognition in place of CLIP: FaceID's files come with LoRAs and take 512 numbers. */
static bool is_face_id(const struct loader *l)
{
    return load_has_any(l, "ip_adapter.0.to_q_lora") || load_has_any(l, "ip_adapter.1.to_q_lora") ||
           load_has_any(l, "image_proj.perceiver_resampler") ||
           load_has_any(l, "image_proj.id_embedding_mapping") ||
           (load_has_any(l, "image_proj.proj.0") && load_has_any(l, "image_proj.norm"));
}

bool ip_adapter_present(const struct checkpoint *file)
{
    return checkpoint_find(file, "ip_adapter.ip_adapter.1.to_k_ip.weight") != NULL;
}

int ip_adapter_open(struct ip_adapter *m, const struct checkpoint *file, struct err *e)
{
    struct loader l;
    *m = (struct ip_adapter){0};
    load_start(&l, file, &m->arena, "ip_adapter", e);
    if (is_face_id(&l))
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: is an IP-Adapter FaceID, which needs the face embeddings of insightface "
            "and cannot be used; use an ip-adapter-plus-face or -full-face file",
            checkpoint_path(file));
    if (!ip_adapter_present(file))
        return err_set(e, ERR_FORMAT,
                       "%s: is no IP-Adapter (ip_adapter.1.to_k_ip.weight is missing)",
                       checkpoint_path(file));
    load_push(&l, "image_proj");
    if (load_has_any(&l, "latents") || load_has_any(&l, "proj_in"))
        load_plus(&l, m);
    else if (load_has_any(&l, "proj.3"))
        load_full(&l, m);
    else
        load_plain(&l, m);
    load_pop(&l);
    m->n_in = m->proj.w ? m->proj.w->dim[1] : 0;
    load_sources(&l, m);
    if (load_done(&l))
        ip_adapter_close(m);
    return load_done(&l);
}

void ip_adapter_close(struct ip_adapter *m)
{
    arena_release(&m->arena);
    *m = (struct ip_adapter){0};
}

int ip_adapter_check(const struct ip_adapter *m, const struct unet *u, const char *name,
                     struct err *e)
{
    bool same = m->n_context == u->n_context && m->n_source == u->n_cross;
    for (int i = 0; same && i < u->n_cross; i++)
        same = m->sources[i].k.w->dim[0] == u->cross_width[i] &&
               m->sources[i].v.w->dim[0] == u->cross_width[i];
    if (same)
        return 0;
    return err_set(
        e, ERR_ARG,
        "%s: this IP-Adapter is for another family of models: %d attentions to tokens of "
        "width %d, the model has %d to %d; use one made for the model",
        name, m->n_source, (int)m->n_context, u->n_cross, (int)u->n_context);
}

static int64_t dim(const struct checkpoint *c, const char *name, int i)
{
    const struct ckpt_tensor *t = checkpoint_find(c, name);
    return t && i < t->n_dim ? t->dim[i] : 0;
}

bool ip_adapter_fits(const struct checkpoint *adapter, const struct checkpoint *encoder)
{
    int64_t embedding = dim(adapter, "ip_adapter.image_proj.proj.weight", 1);
    int64_t plus = dim(adapter, "ip_adapter.image_proj.proj_in.weight", 1);
    int64_t full = dim(adapter, "ip_adapter.image_proj.proj.0.weight", 1);
    if (embedding)
        return embedding == dim(encoder, "image_encoder.visual_projection.weight", 0);
    int64_t width = dim(encoder, "image_encoder.vision_model.embeddings.class_embedding", 0);
    return width && width == (plus ? plus : full);
}

/* The latents attend to the picture and to themselves. latents [1, n_token, width]. */
static struct tensor *layer(struct tape *t, const struct ip_adapter_layer *l, struct tensor *x,
                            struct tensor *latents)
{
    int64_t width = latents->dim[2];
    struct tensor *q = layernorm(t, &l->norm_latents, latents);
    struct tensor *all = op_concat(t, op_reshape2(t, layernorm(t, &l->norm_x, x), 1, -1),
                                   op_reshape2(t, q, 1, -1));
    latents = attention(t, &l->attn, q, op_reshape3(t, all, 1, -1, width), false, latents);
    struct tensor *h = linear(t, &l->ff1, layernorm(t, &l->norm_ff, latents));
    return linear_add(t, &l->ff2, op_gelu(t, h), latents);
}

struct tensor *ip_adapter_project(struct tape *t, const struct ip_adapter *m, struct tensor *x)
{
    tape_push(t, "image_proj");
    x = linear(t, &m->proj, x);
    if (m->kind == IP_ADAPTER_FULL)
        x = linear(t, &m->mlp, op_gelu(t, x));
    if (m->kind == IP_ADAPTER_PLUS) {
        struct tensor *latents = op_cast(t, m->latents, tape_type(t));
        for (int i = 0; i < m->n_layer; i++)
            latents = layer(t, &m->layers[i], x, latents);
        x = linear(t, &m->mlp, latents);
    }
    x = tape_result(t, layernorm(t, &m->norm, op_reshape3(t, x, 1, -1, m->n_context)));
    tape_pop(t);
    return x;
}
