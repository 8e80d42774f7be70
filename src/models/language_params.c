/* language_params.c - see language_params.h. Each number has a key in GGUF metadata, behind the
 * architecture ("llama.block_count"), and one in config.json.
 */
#include "models/language_params.h"

#include "base/arena.h"
#include "base/err.h"
#include "format/checkpoint.h"
#include "format/language_names.h"
#include "format/weights.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MAX_LAYER 1024
#define MAX_HEAD  65536 /* heads, and elements of a head */

/* Sources are the models' own code in transformers and llama.cpp's src/llama-model.cpp. */
static const struct language_kind kinds[] = {
    {.arch = "llama", .pre_norm = true, .interleaved = true},
    {.arch = "qwen2", .pre_norm = true, .qkv_bias = true},
    {.arch = "qwen3", .pre_norm = true, .qk_norm = true},
    {.arch = "qwen3moe", .pre_norm = true, .qk_norm = true},
    {.arch = "gemma2",
     .pre_norm = true,
     .post_norm = true,
     .norms_lack_one = true,
     .scaled_input = true,
     .glu = GLU_GELU_TANH,
     .window_period = 2,
     .wide_layers = 46},
    {.arch = "gemma3",
     .pre_norm = true,
     .post_norm = true,
     .qk_norm = true,
     .norms_lack_one = true,
     .scaled_input = true,
     .glu = GLU_GELU_TANH,
     .window_period = 6,
     .wide_layers = 62,
     .local_base = 10000},
    {.arch = "phi3", .pre_norm = true},
    {.arch = "smollm3", .pre_norm = true, .interleaved = true, .plain_period = 4},
    {.arch = "olmo2", .post_norm = true, .qk_norm = true},
    {.arch = "gpt-oss",
     .pre_norm = true,
     .qkv_bias = true,
     .sinks = true,
     .exact_yarn = true,
     .glu = GLU_CLAMP,
     .window_period = 2,
     .ffn_norm = "post_attention_norm"},
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Where numbers come from: one of gguf and config is NULL. */
struct source {
    const char *path;
    const char *arch;
    const struct gguf *gguf;
    const json_t *config; /* of the decoder */
    const json_t *rope;   /* rope_parameters or rope_scaling, or NULL */
    struct err *e;
    int rc; /* the first failure */
};

/* A number outside its range or of another type is an error; absent or null is the standard. */
static double number_in(struct source *s, const json_t *object, const char *key, double standard,
                        const double range[2])
{
    const json_t *v = json_object_get(object, key);
    if (s->rc || !v || json_is_null(v))
        return standard;
    double x = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
    if ((!json_is_number(v) && !json_is_boolean(v)) || !(x >= range[0] && x <= range[1])) {
        s->rc = err_set(s->e, ERR_FORMAT, "%s: config.json: %s: not a number from %g to %g",
                        s->path, key, range[0], range[1]);
        return standard;
    }
    return x;
}

static double number_gguf(struct source *s, const char *key, double standard, const double range[2])
{
    char full[128];
    double x = standard;
    bool flag = standard != 0;
    snprintf(full, sizeof(full), "%s.%s", s->arch, key);
    const struct gguf_value *v = s->rc ? NULL : gguf_find(s->gguf, full);
    if (!v)
        return standard;
    if (v->type == GGUF_BOOL) {
        s->rc = gguf_bool(s->gguf, full, &flag, s->e);
        x = flag;
    } else {
        s->rc = gguf_num(s->gguf, full, &x, s->e);
    }
    if (!s->rc && !(x >= range[0] && x <= range[1]))
        s->rc = err_set(s->e, ERR_FORMAT, "%s: not a number from %g to %g", full, range[0],
                        range[1]);
    if (s->rc)
        err_prefix(s->e, "%s", s->path);
    return s->rc ? standard : x;
}

static double number(struct source *s, const char *gguf, const char *config, double standard,
                     const double range[2])
{
    if (s->gguf)
        return gguf ? number_gguf(s, gguf, standard, range) : standard;
    return config ? number_in(s, s->config, config, standard, range) : standard;
}

enum type { INT, REAL, FLAG };

/* What is read before anything is derived from it; 0 where the standard depends on others. */
struct raw {
    int n_layer, n_ctx, n_head, n_head_kv, d_k, d_v, n_used, window, max_window_layers, tied;
    double eps, softcap, final_softcap, scale, query_scalar;
    double base, local_base, n_rot, partial;
    bool gate_norm, use_window;
};

static const struct row {
    const char *gguf, *config;
    size_t at;
    enum type type;
    double standard, range[2];
} rows[] = {
#define ROW(gguf, config, field, ...)                          \
    {                                                          \
        gguf, config, offsetof(struct raw, field), __VA_ARGS__ \
    }
    ROW("block_count", "num_hidden_layers", n_layer, INT, 0, {1, MAX_LAYER}),
    ROW("context_length", "max_position_embeddings", n_ctx, INT, 2048, {1, INT_MAX}),
    ROW("attention.head_count", "num_attention_heads", n_head, INT, 0, {1, MAX_HEAD}),
    ROW("attention.head_count_kv", "num_key_value_heads", n_head_kv, INT, 0, {1, MAX_HEAD}),
    ROW("attention.key_length", "head_dim", d_k, INT, 0, {1, MAX_HEAD}),
    ROW("attention.value_length", "head_dim", d_v, INT, 0, {1, MAX_HEAD}),
    ROW("expert_used_count", "num_experts_per_tok", n_used, INT, 0, {0, 1024}),
    ROW("expert_weights_norm", "norm_topk_prob", gate_norm, FLAG, 1, {0, 1}),
    ROW("attention.sliding_window", "sliding_window", window, INT, 0, {0, INT_MAX}),
    ROW(NULL, "tie_word_embeddings", tied, INT, -1, {0, 1}),
    ROW(NULL, "use_sliding_window", use_window, FLAG, 1, {0, 1}),
    ROW(NULL, "max_window_layers", max_window_layers, INT, 0, {0, INT_MAX}),
    ROW("attention.layer_norm_rms_epsilon", "rms_norm_eps", eps, REAL, 1e-6, {0, 1}),
    ROW("attn_logit_softcapping", "attn_logit_softcapping", softcap, REAL, 0, {0, 1e9}),
    ROW("final_logit_softcapping", "final_logit_softcapping", final_softcap, REAL, 0, {0, 1e9}),
    ROW("attention.scale", NULL, scale, REAL, 0, {0, 1e9}),
    ROW(NULL, "query_pre_attn_scalar", query_scalar, REAL, 0, {0, 1e9}),
    ROW("rope.freq_base", "rope_theta", base, REAL, 10000, {1, 1e15}),
    ROW("rope.freq_base_swa", "rope_local_base_freq", local_base, REAL, 0, {0, 1e15}),
    ROW("rope.dimension_count", NULL, n_rot, REAL, 0, {0, MAX_HEAD}),
    ROW(NULL, "partial_rotary_factor", partial, REAL, 1, {0, 1}),
#undef ROW
};

static void read_rows(struct source *s, struct raw *r)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *w = &rows[i];
        double x = number(s, w->gguf, w->config, w->standard, w->range);
        char *at = (char *)r + w->at;
        if (w->type == INT)
            *(int *)(void *)at = (int)x;
        else if (w->type == REAL)
            *(double *)(void *)at = x;
        else
            *(bool *)(void *)at = x != 0;
    }
}

static int missing(struct source *s, const char *gguf, const char *config)
{
    if (s->rc)
        return s->rc;
    return s->rc = s->gguf ? err_set(s->e, ERR_FORMAT, "%s: the key %s.%s is missing", s->path,
                                     s->arch, gguf)
                           : err_set(s->e, ERR_FORMAT, "%s: config.json: the key %s is missing",
                                     s->path, config);
}

/* ---- rotations ---- */

static const struct rope_name {
    const char *name;
    enum rope_scaling scaling;
} rope_names[] = {{"none", ROPE_PLAIN}, {"default", ROPE_PLAIN}, {"linear", ROPE_LINEAR},
                  {"yarn", ROPE_YARN},  {"llama3", ROPE_LLAMA3}, {"longrope", ROPE_LONG},
                  {"su", ROPE_LONG}};

static enum rope_scaling scaling_of(struct source *s, const char *name)
{
    for (size_t i = 0; i < sizeof(rope_names) / sizeof(rope_names[0]); i++)
        if (strcmp(rope_names[i].name, name) == 0)
            return rope_names[i].scaling;
    if (!s->rc)
        s->rc = err_set(s->e, ERR_UNSUPPORTED, "%s: rope scaling \"%.32s\" is not supported",
                        s->path, name);
    return ROPE_PLAIN;
}

static const char *text_in(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* A list of n_rot / 2 factors. */
static const float *read_factors(struct source *s, const char *key, int n, struct arena *arena)
{
    const json_t *list = json_object_get(s->rope, key);
    if (s->rc)
        return NULL;
    if ((int64_t)json_array_size(list) != n) {
        s->rc = err_set(s->e, ERR_FORMAT, "%s: config.json: %s: not a list of %d factors", s->path,
                        key, n);
        return NULL;
    }
    float *f = arena_alloc(arena, (size_t)n * sizeof(*f));
    for (int i = 0; i < n; i++) {
        f[i] = (float)json_number_value(json_array_get(list, (size_t)i));
        if (!(f[i] > 0) && !s->rc)
            s->rc = err_set(s->e, ERR_FORMAT, "%s: config.json: %s: not all above 0", s->path, key);
    }
    return f;
}

static void read_rope_config(struct source *s, struct language_config *c, struct arena *arena)
{
    static const double any[2] = {0, 1e15}, some[2] = {1e-9, 1e15};
    const char *type = text_in(s->rope, "rope_type");
    struct rope_params *r = &c->rope;
    type = type ? type : text_in(s->rope, "type");
    r->scaling = type ? scaling_of(s, type) : ROPE_PLAIN;
    r->base = number_in(s, s->rope, "rope_theta", r->base, (double[2]){1, 1e15});
    r->n_ctx_orig = number_in(s, s->config, "original_max_position_embeddings", c->p.n_ctx_train,
                              some);
    r->n_ctx_orig = number_in(s, s->rope, "original_max_position_embeddings", r->n_ctx_orig, some);
    r->factor = number_in(s, s->rope, "factor", c->p.n_ctx_train / r->n_ctx_orig, some);
    r->beta_fast = number_in(s, s->rope, "beta_fast", 32, some);
    r->beta_slow = number_in(s, s->rope, "beta_slow", 1, some);
    r->exact = !number_in(s, s->rope, "truncate", !c->kind->exact_yarn, any);
    r->low_freq = number_in(s, s->rope, "low_freq_factor", 1, some);
    r->high_freq = number_in(s, s->rope, "high_freq_factor", 4, some);
    r->attention = number_in(s, s->rope, "attention_factor", 0, any);
    if (r->scaling == ROPE_LONG) {
        r->divisors = read_factors(s, "short_factor", r->n_rot / 2, arena);
        c->long_divisors = read_factors(s, "long_factor", r->n_rot / 2, arena);
    }
}

static void read_rope_gguf(struct source *s, struct language_config *c)
{
    static const double any[2] = {0, 1e15}, some[2] = {1e-9, 1e15};
    char key[128];
    struct rope_params *r = &c->rope;
    snprintf(key, sizeof(key), "%s.rope.scaling.type", s->arch);
    const char *type = gguf_str(s->gguf, key);
    r->scaling = type ? scaling_of(s, type) : ROPE_LINEAR;
    r->factor = number_gguf(s, "rope.scale_linear", 1, some); /* of old files */
    r->factor = number_gguf(s, "rope.scaling.factor", r->factor, some);
    r->n_ctx_orig = number_gguf(s, "rope.scaling.original_context_length", c->p.n_ctx_train, some);
    r->beta_fast = number_gguf(s, "rope.scaling.yarn_beta_fast", 32, some);
    r->beta_slow = number_gguf(s, "rope.scaling.yarn_beta_slow", 1, some);
    r->exact = c->kind->exact_yarn;
    double attention = number_gguf(s, "rope.scaling.attn_factor", 0, any);
    if (r->scaling == ROPE_YARN && attention > 0) /* llama.cpp's is beside the usual one */
        attention *= 0.1 * log(fmax(r->factor, 1)) + 1;
    r->attention = attention;
}

static void read_rope(struct source *s, struct language_config *c, const struct raw *raw,
                      struct arena *arena)
{
    const json_t *layers = json_object_get(s->rope, "sliding_attention");
    double partial = raw->partial;
    c->local = (struct rope_params){.base = raw->local_base};
    if (json_object_get(s->rope, "full_attention")) { /* one for each kind of layer */
        c->local.base = number_in(s, layers, "rope_theta", c->local.base, (double[2]){1, 1e15});
        s->rope = json_object_get(s->rope, "full_attention");
    }
    if (s->config)
        partial = number_in(s, s->rope, "partial_rotary_factor", partial, (double[2]){0, 1});
    c->rope = (struct rope_params){.base = raw->base};
    c->rope.n_rot = raw->n_rot > 0 ? (int)raw->n_rot : (int)(c->p.d_k * partial);
    if (!s->rc && (c->rope.n_rot < 2 || c->rope.n_rot % 2 || c->rope.n_rot > c->p.d_k))
        s->rc = err_set(s->e, ERR_FORMAT, "%s: %d of a head's %d elements cannot be rotated",
                        s->path, c->rope.n_rot, c->p.d_k);
    if (s->rc)
        return;
    if (s->config)
        read_rope_config(s, c, arena);
    else
        read_rope_gguf(s, c);
    c->local.n_rot = c->rope.n_rot;
    if (c->local.base <= 0)
        c->local.base = c->kind->local_base;
    if (c->local.base <= 0)
        c->local = c->rope;
}

/* ---- layers ---- */

/* config.json may list what each layer is; other sources leave it to the architecture. */
static void read_layers(struct source *s, struct language_config *c, const struct raw *r,
                        struct arena *arena)
{
    const json_t *types = json_object_get(s->config, "layer_types");
    const json_t *rotated = json_object_get(s->config, "no_rope_layers"); /* 1: it has */
    int n = c->p.n_layer, *window = arena_alloc(arena, (size_t)n * sizeof(*window));
    bool *turn = arena_alloc(arena, (size_t)n * sizeof(*turn));
    for (int i = 0; i < n; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        const json_t *flag = json_array_get(rotated, (size_t)i);
        int period = c->kind->window_period;
        bool all = period ? (i + 1) % period == 0 : i < r->max_window_layers;
        if (type)
            all = strcmp(type, "full_attention") == 0;
        window[i] = r->use_window && !all ? r->window : 0;
        turn[i] = !c->kind->plain_period || (i + 1) % c->kind->plain_period != 0;
        if (flag)
            turn[i] = json_number_value(flag) != 0;
        if (type && !all && strcmp(type, "sliding_attention") != 0 && !s->rc)
            s->rc = err_set(s->e, ERR_UNSUPPORTED,
                            "%s: config.json: layers of type \"%.32s\" are not supported", s->path,
                            type);
    }
    c->p.window = window;
    c->rotated = turn;
}

static void derive(struct source *s, struct language_config *c, const struct raw *r, int n_embd)
{
    struct language_params *p = &c->p;
    if (!r->n_layer)
        missing(s, "block_count", "num_hidden_layers");
    if (!r->n_head)
        missing(s, "attention.head_count", "num_attention_heads");
    if (s->rc)
        return;
    p->n_embd = n_embd;
    p->n_layer = r->n_layer;
    p->n_ctx_train = r->n_ctx;
    p->n_head = r->n_head;
    p->n_head_kv = r->n_head_kv ? r->n_head_kv : r->n_head;
    p->d_k = r->d_k ? r->d_k : n_embd / r->n_head;
    p->d_v = r->d_v ? r->d_v : p->d_k;
    p->n_expert_used = r->n_used;
    if (p->n_head % p->n_head_kv || p->d_k < 1) {
        s->rc = err_set(s->e, ERR_FORMAT, "%s: %d heads of queries do not fit %d heads of keys",
                        s->path, p->n_head, p->n_head_kv);
        return;
    }
    double d = c->kind->wide_layers == p->n_layer ? (double)n_embd / p->n_head : p->d_k;
    d = r->query_scalar > 0 ? r->query_scalar : d;
    c->scale = (float)(r->scale > 0 ? r->scale : 1 / sqrt(d));
    c->eps = (float)r->eps;
    c->softcap = (float)r->softcap;
    c->final_softcap = (float)r->final_softcap;
    c->gate_norm = r->gate_norm;
    c->tied = r->tied;
}

static int unknown(const struct checkpoint *file, const char *arch, struct err *e)
{
    char known[256] = "";
    json_error_t at;
    const char *text = checkpoint_config(file, "");
    if (!arch && text) {
        json_t *root = json_loads(text, 0, &at);
        const char *type = text_in(root, "model_type");
        int rc = err_set(e, ERR_UNSUPPORTED,
                         "%s: the model type \"%.64s\" is not supported; known are %s",
                         checkpoint_path(file), type ? type : "", language_names_types());
        json_decref(root);
        return rc;
    }
    for (size_t i = 0, n = 0; i < N_KINDS && n < sizeof(known); i++)
        n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", kinds[i].arch);
    if (arch)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the architecture \"%.64s\" is not supported; known are %s",
                       checkpoint_path(file), arch, known);
    return err_set(e, ERR_UNSUPPORTED,
                   "%s: no language model: neither a GGUF file with token_embd.weight nor a folder "
                   "with config.json",
                   checkpoint_path(file));
}

static const struct language_kind *find_kind(const char *arch)
{
    for (size_t i = 0; arch && i < N_KINDS; i++)
        if (strcmp(kinds[i].arch, arch) == 0)
            return &kinds[i];
    return NULL;
}

int language_params_read(struct language_config *c, const struct checkpoint *file, int n_embd,
                         struct arena *arena, struct err *e)
{
    const struct weight_file *first = checkpoint_weights(file)->files[0];
    json_t *root = NULL;
    json_error_t at;
    struct raw raw = {0};
    *c = (struct language_config){.kind = find_kind(checkpoint_language(file))};
    if (!c->kind)
        return unknown(file, checkpoint_language(file), e);
    if (n_embd < 1)
        return err_set(e, ERR_FORMAT, "%s: tensor token_embd.weight is missing or no matrix",
                       checkpoint_path(file));
    struct source s = {.path = checkpoint_path(file), .arch = c->kind->arch, .e = e};
    if (checkpoint_is_huggingface(file)) {
        root = json_loads(checkpoint_config(file, ""), 0, &at);
        const json_t *inner = json_object_get(root, "text_config"); /* of models that also see */
        s.config = inner ? inner : root;
        s.rope = json_object_get(s.config, "rope_parameters");
        if (!json_is_object(s.rope))
            s.rope = json_object_get(s.config, "rope_scaling");
        c->norms_lack_one = c->kind->norms_lack_one;
    } else {
        s.gguf = &first->gguf;
        c->interleaved = c->kind->interleaved;
    }
    c->p.arch = c->kind->arch;
    read_rows(&s, &raw);
    derive(&s, c, &raw, n_embd);
    if (!s.rc)
        read_rope(&s, c, &raw, arena);
    if (!s.rc)
        read_layers(&s, c, &raw, arena);
    json_decref(root);
    return s.rc;
}
