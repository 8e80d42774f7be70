/* clip_vision.c - see clip_vision.h. */
#include "models/clip_vision.h"

#include "base/err.h"
#include "format/checkpoint.h"
#include "models/config.h"

#include <string.h>

/* The token that the picture is summed up in, as a matrix of one row. */
static void load_token(struct loader *l, struct clip_vision *m)
{
    struct tensor *x = m->token = load_vector(l, "embeddings.class_embedding", LOAD_ANY);
    if (!x)
        return;
    m->n_embd = x->dim[0];
    x->n_dim = 2;
    x->dim[0] = 1;
    x->dim[1] = m->n_embd;
    m->first = arena_alloc(&m->arena, sizeof(*m->first));
    *m->first = (struct tensor){
        .type = DTYPE_I32, .n_dim = 1, .dim = {1, 1, 1, 1}, .name = "first"};
    m->first->data = arena_alloc(&m->arena, sizeof(int32_t)); /* zeroed */
}

static void load_embeddings(struct loader *l, struct clip_vision *m)
{
    load_token(l, m);
    m->patch = load_weight(l, "embeddings.patch_embedding.weight", 4,
                           (int64_t[]){m->n_embd, 3, LOAD_ANY, LOAD_ANY});
    m->positions = load_matrix(l, "embeddings.position_embedding.weight", LOAD_ANY, m->n_embd);
    if (load_done(l))
        return;
    int64_t n = 1, size = m->patch->dim[2];
    while ((n + 1) * (n + 1) < m->positions->dim[0])
        n++;
    if (n * n + 1 != m->positions->dim[0] || m->patch->dim[3] != size || n * size > 4096)
        load_fail(l, "%s: %d positions are no square of patches and one more", l->scope,
                  (int)m->positions->dim[0]);
    m->side = (int)(n * size);
    m->patch_side = (int)size;
    m->patch->n_dim = 2; /* the same memory as a matrix */
    m->patch->dim[1] = 3 * size * size;
    m->patch->dim[2] = m->patch->dim[3] = 1;
}

/* Without a configuration: every published encoder but the smallest has 16 heads, and OpenAI's were
 * trained with its quick form of GELU. */
static void load_layers(struct loader *l, struct clip_vision *m, const struct config *c)
{
    struct clip_layer_params p = {
        .n_embd = m->n_embd,
        .n_head = config_int(c, "num_attention_heads", m->n_embd == 768 ? 12 : 16, 1, 1024),
        .eps = (float)config_real(c, "layer_norm_eps", 1e-5),
    };
    norm_load(l, &m->pre_norm, "pre_layrnorm", m->n_embd, p.eps);
    m->n_layer = load_count(l, "encoder.layers");
    if (m->n_layer < 2)
        load_fail(l, "%s has %d layers; at least 2 are needed", l->scope, m->n_layer);
    m->layers = arena_alloc(&m->arena, (size_t)m->n_layer * sizeof(*m->layers));
    for (int i = 0; i < m->n_layer && !load_done(l); i++) {
        load_push(l, "encoder.layers.%d", i);
        clip_layer_load(l, &m->layers[i], &p);
        load_pop(l);
    }
    norm_load(l, &m->post_norm, "post_layernorm", m->n_embd, p.eps);
    const char *usual = m->n_embd == 1024 || m->n_embd == 768 ? "quick_gelu" : "gelu";
    const char *act = config_text(c, "hidden_act", usual);
    m->quick_gelu = strcmp(act, "quick_gelu") == 0;
    if (!m->quick_gelu && strcmp(act, "gelu") != 0)
        load_fail(l, "%s: hidden_act \"%s\" is not supported", l->scope, act);
}

int clip_vision_open(struct clip_vision *m, const struct checkpoint *file, struct err *e)
{
    struct config c;
    struct loader l;
    *m = (struct clip_vision){0};
    int rc = config_open(&c, file, "image_encoder", e);
    if (rc)
        return rc;
    load_start(&l, file, &m->arena, "image_encoder", e);
    load_push(&l, "vision_model");
    load_embeddings(&l, m);
    load_layers(&l, m, &c);
    load_pop(&l);
    m->projection = load_matrix(&l, "visual_projection.weight", LOAD_ANY, m->n_embd);
    m->n_proj = m->projection ? m->projection->dim[0] : 0;
    config_close(&c);
    if (load_done(&l))
        clip_vision_close(m);
    return load_done(&l);
}

void clip_vision_close(struct clip_vision *m)
{
    arena_release(&m->arena);
    *m = (struct clip_vision){0};
}

void clip_vision_patches(const struct clip_vision *m, const float *pixels, float *out)
{
    int n = m->patch_side, across = m->side / n;
    for (int i = 0; i < across * across; i++)
        for (int k = 0; k < 3; k++)
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++)
                    *out++ = pixels[((i / across * n + y) * m->side + i % across * n + x) * 3 + k];
}

struct tensor *clip_vision_input(struct tape *t, const struct clip_vision *m)
{
    return tape_input(t, DTYPE_F32, "patches", 3,
                      (int64_t[]){1, m->positions->dim[0] - 1, m->patch->dim[1]});
}

/* [1, 1 + patches, n_embd] behind `n` layers. */
static struct tensor *encode(struct tape *t, const struct clip_vision *m, struct tensor *patches,
                             int n)
{
    tape_push(t, "vision_model");
    struct tensor *x = op_linear(t, op_cast(t, patches, tape_type(t)), m->patch, NULL);
    x = op_concat(t, op_cast(t, m->token, tape_type(t)), op_reshape2(t, x, 1, -1));
    x = op_add(t, op_reshape3(t, x, 1, -1, m->n_embd), m->positions);
    x = layernorm(t, &m->pre_norm, x);
    for (int i = 0; i < n; i++) {
        tape_push(t, "encoder.layers.%d", i);
        x = clip_layer(t, &m->layers[i], x, false, m->quick_gelu);
        tape_pop(t);
    }
    tape_pop(t);
    return x;
}

struct tensor *clip_vision_embed(struct tape *t, const struct clip_vision *m,
                                 struct tensor *patches)
{
    struct tensor *x = encode(t, m, patches, m->n_layer);
    x = op_rows(t, op_reshape2(t, x, -1, m->n_embd), m->first);
    return op_linear(t, layernorm(t, &m->post_norm, x), m->projection, NULL);
}

struct tensor *clip_vision_hidden(struct tape *t, const struct clip_vision *m,
                                  struct tensor *patches)
{
    return encode(t, m, patches, m->n_layer - 1);
}
