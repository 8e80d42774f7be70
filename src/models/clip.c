/* clip.c - see clip.h. */
#include "models/clip.h"

#include "base/err.h"
#include "format/checkpoint.h"
#include "models/config.h"

#include <string.h>

static void load_text_model(struct loader *l, struct clip *m, const struct config *c)
{
    struct clip_layer_params p = {.eps = (float)config_real(c, "layer_norm_eps", 1e-5)};
    load_push(l, "text_model");
    m->tokens = load_matrix(l, "embeddings.token_embedding.weight", LOAD_ANY, LOAD_ANY);
    if (m->tokens) {
        m->n_vocab = m->tokens->dim[0];
        m->n_embd = m->tokens->dim[1];
    }
    m->positions = load_matrix(l, "embeddings.position_embedding.weight", LOAD_ANY, m->n_embd);
    m->n_ctx = m->positions ? m->positions->dim[0] : 0;
    p.n_embd = m->n_embd;
    p.n_head = config_int(c, "num_attention_heads", (int)(m->n_embd / 64), 1, 1024);
    m->n_layer = load_count(l, "encoder.layers");
    if (m->n_layer == 0)
        load_fail(l, "%s has no layers", l->scope);
    m->layers = arena_alloc(&m->arena, (size_t)m->n_layer * sizeof(*m->layers));
    for (int i = 0; i < m->n_layer && !load_done(l); i++) {
        load_push(l, "encoder.layers.%d", i);
        clip_layer_load(l, &m->layers[i], &p);
        load_pop(l);
    }
    norm_load(l, &m->final_norm, "final_layer_norm", m->n_embd, p.eps);
    load_pop(l);
}

/* The activation is in the configuration; without one the names tell: OpenCLIP was trained with
 * GELU, OpenAI's CLIP with its quick form. */
static bool from_open_clip(const struct loader *l)
{
    char name[64];
    size_t n = (size_t)snprintf(name, sizeof(name), "%s.text_model.encoder.layers.0.mlp.fc1.weight",
                                l->scope);
    const struct ckpt_tensor *t = n < sizeof(name) ? checkpoint_find(l->file, name) : NULL;
    return t && strstr(t->file_name, "resblocks");
}

int clip_open(struct clip *m, const struct checkpoint *file, const char *component, struct err *e)
{
    struct config c;
    struct loader l;
    *m = (struct clip){0};
    int rc = config_open(&c, file, component, e);
    if (rc)
        return rc;
    load_start(&l, file, &m->arena, component, e);
    load_text_model(&l, m, &c);
    bool open = from_open_clip(&l) || m->n_embd >= 1024; /* CLIP-L has 768 */
    const char *act = config_text(&c, "hidden_act", open ? "gelu" : "quick_gelu");
    m->quick_gelu = strcmp(act, "quick_gelu") == 0;
    if (!m->quick_gelu && strcmp(act, "gelu") != 0)
        load_fail(&l, "%s: hidden_act \"%s\" is not supported", component, act);
    if (load_has(&l, "text_projection.weight"))
        m->projection = load_matrix(&l, "text_projection.weight", LOAD_ANY, m->n_embd);
    config_close(&c);
    if (load_done(&l))
        clip_close(m);
    return load_done(&l);
}

void clip_close(struct clip *m)
{
    arena_release(&m->arena);
    *m = (struct clip){0};
}

/* The tokens' rows, vectors in place of some: [n, n_ctx, n_embd]. */
static struct tensor *embed(struct tape *t, const struct clip *m, struct tensor *ids,
                            const struct clip_output *o)
{
    struct tensor *x = op_rows(t, m->tokens, ids);
    if (!o->vectors)
        return x;
    struct tensor *own = op_cast(t, o->vectors, tape_type(t)), *all;
    all = op_concat(t, op_reshape2(t, x, 1, -1), op_reshape2(t, own, 1, -1));
    return op_rows(t, op_reshape2(t, all, -1, m->n_embd), o->select);
}

void clip_forward(struct tape *t, const struct clip *m, struct tensor *ids, struct clip_output *o)
{
    int used = o->eos ? m->n_layer : m->n_layer - o->skip;
    tape_push(t, "text_model");
    struct tensor *x = op_add(t, embed(t, m, ids, o), m->positions); /* [n, n_ctx, n_embd] */
    o->hidden = x;
    for (int i = 0; i < used; i++) {
        tape_push(t, "encoder.layers.%d", i);
        x = clip_layer(t, &m->layers[i], x, true, m->quick_gelu);
        tape_pop(t);
        if (i + 1 == m->n_layer - o->skip)
            o->hidden = x;
    }
    tape_push(t, "final_layer_norm");
    if (o->final_norm)
        o->hidden = tape_result(t, layernorm(t, &m->final_norm, o->hidden));
    if (o->eos) {
        struct tensor *rows = op_reshape2(t, x, -1, m->n_embd);
        struct tensor *end = layernorm(t, &m->final_norm, op_rows(t, rows, o->eos));
        const struct linear projection = {.w = m->projection};
        o->pooled = m->projection ? linear(t, &projection, end) : end;
    }
    tape_pop(t);
    tape_pop(t);
}
