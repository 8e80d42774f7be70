/* bert.c - see bert.h. */
#include "models/bert.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/json.h"
#include "format/weights.h"
#include "models/config.h"
#include "nn/layers.h"
#include "nn/rope.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LAYER    1024
#define MAX_JSON     ((size_t)1 << 20)
#define DEFAULT_BASE 10000 /* of rotary positions */

struct bert_layer {
    struct linear q, k, v, out; /* [n_embd, n_embd] */
    struct norm attn_norm;
    struct linear up, gate, down; /* [n_ff, n_embd], the same or NULL, [n_embd, n_ff] */
    struct norm out_norm;
};

struct bert {
    struct arena arena; /* owns everything below */
    struct bert_params p;
    struct tensor *tokens;    /* [n_vocab, n_embd] */
    struct tensor *type;      /* [n_embd] of the first sentence, or NULL */
    struct tensor *positions; /* [n_ctx, n_embd], or NULL: rotary */
    struct tensor *freq;      /* [n_embd / n_head / 2] if rotary */
    struct norm norm;
    struct bert_layer *layers;
};

int bert_knows(const struct checkpoint *file)
{
    const char *arch = checkpoint_language(file);
    return arch && (strcmp(arch, "bert") == 0 || strcmp(arch, "nomic-bert") == 0);
}

/* ---- what the files say beside the tensors ---- */

/* One of gguf and config is used. */
struct source {
    const struct gguf *gguf;
    const char *arch;
    struct config config;
};

/* A number by its key in GGUF files (behind the architecture) or one of its two in config.json. */
static double number(const struct source *s, const char *gguf, const char *config, const char *old,
                     double standard)
{
    if (!s->gguf)
        return config_real(&s->config, config, config_real(&s->config, old, standard));
    char *key = mem_printf("%s.%s", s->arch, gguf);
    const struct gguf_value *v = gguf_find(s->gguf, key);
    if (v && !gguf_num_at(v, 0, &standard))
        standard = -1; /* caught by whoever needs it */
    free(key);
    return standard;
}

static int whole(const struct source *s, const char *gguf, const char *config, const char *old,
                 int standard)
{
    double x = number(s, gguf, config, old, standard);
    return x >= 0 && x <= INT_MAX ? (int)x : -1;
}

/* A file of sentence-transformers beside the model; absent is fine. */
static int read_beside(const struct checkpoint *file, const char *name, struct json_doc *d,
                       struct err *e)
{
    char *path = file_join(checkpoint_path(file), name);
    int rc = file_exists(path) ? json_doc_read(d, path, MAX_JSON, e) : 0;
    free(path);
    return rc;
}

static int read_pooling(struct bert *m, const struct checkpoint *file, struct err *e)
{
    static const struct {
        const char *key;
        enum bert_pooling pooling;
    } modes[] = {{"pooling_mode_mean_tokens", BERT_MEAN},
                 {"pooling_mode_cls_token", BERT_FIRST},
                 {"pooling_mode_lasttoken", BERT_LAST}};
    struct json_doc d = {0};
    int rc = read_beside(file, "1_Pooling/config.json", &d, e), n = 0;
    m->p.pooling = BERT_MEAN;
    for (size_t i = 0; !rc && d.root && i < sizeof(modes) / sizeof(modes[0]); i++) {
        bool on = false;
        rc = json_doc_bool(&d, modes[i].key, &on, e);
        if (on) {
            m->p.pooling = modes[i].pooling;
            n++;
        }
    }
    if (!rc && d.root && n != 1)
        rc = err_set(e, ERR_UNSUPPORTED,
                     "%s: only the mean, the first or the last token can be "
                     "pooled",
                     d.name);
    json_doc_release(&d);
    return rc;
}

/* sentence-transformers cuts texts at a length of its own. */
static int read_length(struct bert *m, const struct checkpoint *file, struct err *e)
{
    struct json_doc d = {0};
    int64_t n = m->p.n_ctx;
    int rc = read_beside(file, "sentence_bert_config.json", &d, e);
    if (!rc && d.root && json_is_integer(json_doc_at(&d, "max_seq_length")))
        rc = json_doc_int(&d, "max_seq_length", 3, INT_MAX, &n, e);
    m->p.n_ctx = n < m->p.n_ctx ? (int)n : m->p.n_ctx;
    json_doc_release(&d);
    return rc;
}

/* What comes behind the pooling: only making the length 1, which is done anyway. */
static int check_modules(const struct checkpoint *file, struct err *e)
{
    static const char *const known[] = {"Transformer", "Pooling", "Normalize"};
    struct json_doc d = {0};
    int rc = read_beside(file, "modules.json", &d, e);
    for (size_t i = 0; !rc && i < json_array_size(d.root); i++) {
        const char *type = json_string_value(json_object_get(json_array_get(d.root, i), "type"));
        const char *dot = type ? strrchr(type, '.') : NULL;
        bool fine = false;
        for (size_t k = 0; dot && k < sizeof(known) / sizeof(known[0]); k++)
            fine |= strcmp(dot + 1, known[k]) == 0;
        if (!fine)
            rc = err_set(e, ERR_UNSUPPORTED, "%s: a module of type %.64s cannot be used", d.name,
                         type ? type : "?");
    }
    json_doc_release(&d);
    return rc;
}

static int read_files_beside(struct bert *m, const struct checkpoint *file, struct err *e)
{
    int rc = check_modules(file, e);
    if (!rc)
        rc = read_pooling(m, file, e);
    return rc ? rc : read_length(m, file, e);
}

static void read_params(struct loader *l, struct bert *m, const struct source *s)
{
    struct bert_params *p = &m->p;
    p->arch = s->arch;
    p->n_layer = load_count(l, "blk");
    p->n_head = whole(s, "attention.head_count", "num_attention_heads", "n_head", 0);
    p->n_ctx = whole(s, "context_length", "max_position_embeddings", "n_positions", 512);
    p->pooling = (enum bert_pooling)whole(s, "pooling_type", "", "", BERT_MEAN);
    if (p->n_head < 1 || p->n_embd % p->n_head || p->n_embd / p->n_head % 2)
        load_fail(l, "%d attention heads do not divide a width of %d", p->n_head, p->n_embd);
    else if (p->n_layer < 1 || p->n_layer > MAX_LAYER)
        load_fail(l, "%d layers", p->n_layer);
    else if (p->n_ctx < 3)
        load_fail(l, "a context of %d tokens", p->n_ctx);
    else if (p->pooling < BERT_MEAN || p->pooling > BERT_LAST)
        load_fail(l,
                  "%s.pooling_type: %d cannot be used; 1 (mean), 2 (first token) and 3 (last) can",
                  p->arch, (int)p->pooling);
}

/* ---- weights ---- */

/* nomic-bert's q, k and v lie in one tensor. */
static void load_qkv(struct loader *l, struct bert_layer *x, int64_t n)
{
    struct linear *const parts[3] = {&x->q, &x->k, &x->v};
    static const char *const names[3] = {"attn_q", "attn_k", "attn_v"};
    bool fused = load_has(l, "attn_qkv.weight");
    if (fused && load_has(l, "attn_qkv.bias"))
        load_fail(l, "%sattn_qkv.bias cannot be used", l->scope);
    for (int i = 0; i < 3; i++) {
        if (fused)
            parts[i]->w = load_rows(l, "attn_qkv.weight", i * n, n, n);
        else
            linear_load_plain(l, parts[i], names[i], n, n);
    }
}

static void load_layer(struct loader *l, struct bert_layer *x, int64_t n, float eps)
{
    load_qkv(l, x, n);
    linear_load_plain(l, &x->out, "attn_output", n, n);
    norm_load(l, &x->attn_norm, "attn_output_norm", n, eps);
    linear_load_plain(l, &x->up, "ffn_up", LOAD_ANY, n);
    int64_t n_ff = x->up.w ? x->up.w->dim[0] : LOAD_ANY;
    if (load_has(l, "ffn_gate.weight"))
        linear_load_plain(l, &x->gate, "ffn_gate", n_ff, n);
    linear_load_plain(l, &x->down, "ffn_down", n, n_ff);
    norm_load(l, &x->out_norm, "layer_output_norm", n, eps);
}

/* The table has a row for each of a pair of sentences; an embedding is of one. */
static void load_type(struct loader *l, struct bert *m)
{
    struct tensor *all = load_has(l, "token_types.weight")
                             ? load_floats(
                                   l, "token_types.weight", 2,
                                   (int64_t[]){load_dim(l, "token_types.weight", 0), m->p.n_embd})
                             : NULL;
    if (!all)
        return;
    m->type = arena_alloc(&m->arena, sizeof(*m->type));
    *m->type = *all;
    m->type->n_dim = 1;
    m->type->dim[0] = m->p.n_embd;
    m->type->dim[1] = 1;
}

static void make_rope(struct loader *l, struct bert *m, const struct source *s)
{
    struct config inner = {.root = json_object_get(s->config.root, "rope_parameters")};
    struct rope_params r = {
        .n_rot = m->p.n_embd / m->p.n_head,
        .base = number(s, "rope.freq_base", "rotary_emb_base", "rope_theta", DEFAULT_BASE)};
    if (!s->gguf && inner.root)
        r.base = config_real(&inner, "rope_theta", r.base);
    if (!(r.base >= 1)) {
        load_fail(l, "rotary positions to the base of %g", r.base);
        return;
    }
    m->freq = arena_alloc(&m->arena, sizeof(*m->freq));
    *m->freq = (struct tensor){.type = DTYPE_F32, .n_dim = 1, .dim = {r.n_rot / 2, 1, 1, 1}};
    m->freq->data = arena_alloc(&m->arena, (size_t)r.n_rot / 2 * sizeof(float));
    m->freq->name = "rope";
    rope_frequencies(&r, m->freq->data);
}

static void load_model(struct loader *l, struct bert *m, const struct source *s)
{
    m->tokens = load_matrix(l, "token_embd.weight", LOAD_ANY, LOAD_ANY);
    if (!m->tokens)
        return;
    m->p.n_vocab = (int)m->tokens->dim[0];
    m->p.n_embd = (int)m->tokens->dim[1];
    read_params(l, m, s);
    if (load_done(l))
        return;
    float eps = (float)number(s, "attention.layer_norm_epsilon", "layer_norm_eps",
                              "layer_norm_epsilon", 1e-12);
    load_type(l, m);
    if (strcmp(s->arch, "bert") == 0) {
        m->positions = load_matrix(l, "position_embd.weight", LOAD_ANY, m->p.n_embd);
        if (m->positions && m->positions->dim[0] < m->p.n_ctx)
            m->p.n_ctx = (int)m->positions->dim[0];
    } else {
        make_rope(l, m, s);
    }
    norm_load(l, &m->norm, "token_embd_norm", m->p.n_embd, eps);
    m->layers = arena_alloc(&m->arena, (size_t)m->p.n_layer * sizeof(*m->layers));
    for (int i = 0; i < m->p.n_layer && !load_done(l); i++) {
        load_push(l, "blk.%d", i);
        load_layer(l, &m->layers[i], m->p.n_embd, eps);
        load_pop(l);
    }
}

/* Exact GELU, or SiLU with a gate: others would give other vectors without a word. */
static void check_activation(struct loader *l, const struct source *s)
{
    bool gated = strcmp(s->arch, "bert") != 0;
    const char *want = gated ? "silu" : "gelu";
    const char *have = config_text(&s->config, "hidden_act",
                                   config_text(&s->config, "activation_function", want));
    if (strcmp(have, want) != 0 && !(gated && strcmp(have, "swiglu") == 0))
        load_fail(l, "hidden_act \"%.32s\" is not supported", have);
}

int bert_open(struct bert **out, const struct checkpoint *file, struct err *e)
{
    struct source s = {.arch = checkpoint_language(file)};
    struct loader l;
    *out = NULL;
    if (!bert_knows(file))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: not a model for embeddings; bert and nomic-bert can be used",
                       checkpoint_path(file));
    int rc = config_open(&s.config, file, "", e);
    if (rc)
        return rc;
    if (!checkpoint_is_huggingface(file))
        s.gguf = &checkpoint_weights(file)->files[0]->gguf;
    struct bert *m = mem_alloc(sizeof(*m));
    load_start(&l, file, &m->arena, "", e);
    if (!s.gguf)
        check_activation(&l, &s);
    load_model(&l, m, &s);
    rc = load_done(&l);
    if (!rc && !s.gguf)
        rc = read_files_beside(m, file, e);
    for (size_t i = 0; i < checkpoint_n(file); i++) {
        const struct ckpt_tensor *t = checkpoint_at(file, i);
        uint64_t n = 1;
        for (int k = 0; k < t->n_dim; k++)
            n *= (uint64_t)t->dim[k];
        m->p.n_weights += n;
    }
    config_close(&s.config);
    if (rc)
        bert_close(m);
    else
        *out = m;
    return rc;
}

void bert_close(struct bert *m)
{
    if (m)
        arena_release(&m->arena);
    free(m);
}

const struct bert_params *bert_params(const struct bert *m)
{
    return &m->p;
}

/* ---- the forward pass ---- */

/* Rows of all texts, [n * length, n_embd]. */
static struct tensor *turn(struct tape *t, const struct bert *m, struct tensor *x,
                           struct tensor *angles)
{
    if (!angles)
        return x;
    struct tensor *rows = op_reshape2(t, x, -1, m->p.n_embd);
    rows = op_rope(t, rows, angles, m->p.n_head, false);
    return op_reshape(t, rows, 3, x->dim);
}

static struct tensor *forward_layer(struct tape *t, const struct bert *m,
                                    const struct bert_layer *l, struct tensor *x,
                                    struct tensor *angles)
{
    struct tensor *q = turn(t, m, linear(t, &l->q, x), angles); /* [n, length, n_embd] */
    struct tensor *k = turn(t, m, linear(t, &l->k, x), angles);
    struct tensor *a = op_attention(t, q, k, linear(t, &l->v, x), m->p.n_head, false);
    x = layernorm(t, &l->attn_norm, linear_add(t, &l->out, a, x));
    struct tensor *h = linear(t, &l->up, x); /* [n, length, n_ff] */
    h = l->gate.w ? op_glu(t, GLU_SILU, linear(t, &l->gate, x), h) : op_gelu(t, h);
    return tape_result(t, layernorm(t, &l->out_norm, linear_add(t, &l->down, h, x)));
}

struct tensor *bert_forward(struct tape *t, const struct bert *m, struct tensor *ids,
                            struct tensor *positions)
{
    struct tensor *x = op_rows(t, m->tokens, ids), *angles = NULL; /* [n, length, n_embd] */
    if (m->type)
        x = op_add(t, x, m->type);
    if (m->positions)
        x = op_add(t, x, op_reshape(t, op_rows(t, m->positions, positions), 3, x->dim));
    else
        angles = op_rope_angles(t, positions, m->freq, 1);
    tape_push(t, "token_embd_norm");
    x = tape_result(t, layernorm(t, &m->norm, x));
    tape_pop(t);
    for (int i = 0; i < m->p.n_layer; i++) {
        tape_push(t, "blk.%d", i);
        x = forward_layer(t, m, &m->layers[i], x, angles);
        tape_pop(t);
    }
    return x;
}
