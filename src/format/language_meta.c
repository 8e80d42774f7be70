/* language_meta.c - config.json as GGUF metadata; see language_gguf.h. */
#include "format/language_gguf.h"

#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/gguf.h"
#include "format/language_json.h"
#include "format/mix.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_JSON ((size_t)1 << 20)

struct meta {
    struct language_json k;
    const struct checkpoint *c;
    struct gguf_writer *w;
};

static void put(struct meta *m, const char *name, enum gguf_type type, const void *v, size_t size)
{
    char *key = mem_printf("%s.%s", m->k.arch, name);
    struct gguf_value value = {.key = key, .type = type, .n = 1, .data = v, .size = size};
    gguf_put_value(m->w, &value);
    free(key);
}

static void put_int(struct meta *m, const char *name, double v)
{
    uint32_t x = v >= 0 && v <= UINT32_MAX ? (uint32_t)v : 0;
    put(m, name, GGUF_U32, &x, sizeof(x));
}

static void put_real(struct meta *m, const char *name, double v)
{
    float x = (float)v;
    put(m, name, GGUF_F32, &x, sizeof(x));
}

static void put_bool(struct meta *m, const char *name, bool v)
{
    unsigned char x = v;
    put(m, name, GGUF_BOOL, &x, sizeof(x));
}

static void put_text(struct meta *m, const char *name, const char *v)
{
    char *key = mem_printf("%s.%s", m->k.arch, name);
    gguf_put_str(m->w, key, v);
    free(key);
}

static double rope_number(const struct meta *m, const char *key)
{
    return json_number_value(json_object_get(m->k.rope, key));
}

static void put_rope(struct meta *m)
{
    const char *type = language_json_scaling(&m->k);
    double n_ctx = rope_number(m, "original_max_position_embeddings");
    double factor = rope_number(m, "factor");
    if (!(n_ctx > 0))
        n_ctx = language_json_number(&m->k, "original_max_position_embeddings", NULL);
    put_int(m, "rope.dimension_count", language_json_rotated(&m->k));
    put_real(m, "rope.freq_base", language_json_theta(&m->k));
    if (n_ctx > 0)
        put_int(m, "rope.scaling.original_context_length", n_ctx);
    if (strcmp(type, "linear") == 0 || strcmp(type, "yarn") == 0) {
        put_text(m, "rope.scaling.type", type);
        put_real(m, "rope.scaling.factor", factor);
    } else if ((strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0) && n_ctx > 1) {
        double stretch = language_json_number(&m->k, "max_position_embeddings", NULL) / n_ctx;
        put_real(m, "rope.scaling.attn_factor",
                 stretch > 1 ? sqrt(1 + log(stretch) / log(n_ctx)) : 1);
    }
    if (strcmp(type, "yarn") == 0 && rope_number(m, "beta_fast") > 0)
        put_real(m, "rope.scaling.yarn_beta_fast", rope_number(m, "beta_fast"));
    if (strcmp(type, "yarn") == 0 && rope_number(m, "beta_slow") > 0)
        put_real(m, "rope.scaling.yarn_beta_slow", rope_number(m, "beta_slow"));
}

/* How sentence-transformers makes one vector of a text's; its default is the mean. */
static int pooling(const struct checkpoint *c)
{
    static const char *const modes[] = {"pooling_mode_mean_tokens", "pooling_mode_cls_token",
                                        "pooling_mode_lasttoken"};
    char *path = file_join(checkpoint_path(c), "1_Pooling/config.json"), *text = NULL;
    size_t n;
    json_error_t at;
    int found = 1;
    if (file_exists(path) && file_read(path, MAX_JSON, &text, &n, NULL) == 0) {
        json_t *root = json_loads(text, 0, &at);
        for (int i = 0; i < 3; i++)
            if (json_is_true(json_object_get(root, modes[i])))
                found = i + 1;
        json_decref(root);
    }
    free(text);
    free(path);
    return found;
}

static const struct {
    const char *gguf, *config, *old;
    bool real;
} rows[] = {
    {"vocab_size", "vocab_size", NULL, false},
    {"block_count", "num_hidden_layers", "n_layer", false},
    {"context_length", "max_position_embeddings", "n_positions", false},
    {"embedding_length", "hidden_size", "n_embd", false},
    {"feed_forward_length", "intermediate_size", "n_inner", false},
    {"expert_feed_forward_length", "moe_intermediate_size", NULL, false},
    {"attention.head_count", "num_attention_heads", "n_head", false},
    {"attention.head_count_kv", "num_key_value_heads", NULL, false},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", NULL, true},
    {"attention.layer_norm_epsilon", "layer_norm_eps", "layer_norm_epsilon", true},
    {"attn_logit_softcapping", "attn_logit_softcapping", NULL, true},
    {"final_logit_softcapping", "final_logit_softcapping", NULL, true},
    {"expert_count", "num_local_experts", "num_experts", false},
    {"expert_used_count", "num_experts_per_tok", NULL, false},
};

static void put_encoder(struct meta *m)
{
    put_bool(m, "attention.causal", false);
    put_int(m, "pooling_type", pooling(m->c));
    if (strcmp(m->k.arch, "bert") != 0)
        put_real(m, "rope.freq_base", language_json_theta(&m->k));
}

static void put_decoder(struct meta *m)
{
    const struct language_json *k = &m->k;
    double query = language_json_number(k, "query_pre_attn_scalar", NULL);
    double window = language_json_number(k, "sliding_window", NULL);
    const json_t *norm = json_object_get(k->text, "norm_topk_prob");
    put_int(m, "attention.key_length", language_json_head(k));
    put_int(m, "attention.value_length", language_json_head(k));
    if (window > 0 && !json_is_false(json_object_get(k->text, "use_sliding_window")))
        put_int(m, "attention.sliding_window", window);
    if (query > 0)
        put_real(m, "attention.scale", 1 / sqrt(query));
    if (json_is_boolean(norm))
        put_bool(m, "expert_weights_norm", json_is_true(norm));
    put_rope(m);
}

void language_gguf_put(const struct checkpoint *c, struct gguf_writer *w)
{
    struct meta m = {.c = c, .w = w};
    language_json_open(&m.k, c);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double v = language_json_number(&m.k, rows[i].config, rows[i].old);
        if (v > 0 && rows[i].real)
            put_real(&m, rows[i].gguf, v);
        else if (v > 0)
            put_int(&m, rows[i].gguf, v);
    }
    if (strcmp(m.k.arch, "bert") == 0 || strcmp(m.k.arch, "nomic-bert") == 0)
        put_encoder(&m);
    else
        put_decoder(&m);
    language_json_close(&m.k);
}

static int count(const struct language_json *k, const char *key, const char *old)
{
    double v = language_json_number(k, key, old);
    return v > 0 && v < 1e6 ? (int)v : 0;
}

void language_gguf_model(const struct checkpoint *c, struct mix_model *m)
{
    struct language_json k;
    language_json_open(&k, c);
    m->n_layer = count(&k, "num_hidden_layers", "n_layer");
    m->n_head = count(&k, "num_attention_heads", "n_head");
    m->n_head_kv = count(&k, "num_key_value_heads", NULL);
    m->n_expert = count(&k, "num_local_experts", "num_experts");
    language_json_close(&k);
}
