/* language_gguf.c - see language_gguf.h. */
#include "support/language_gguf.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/file.h"
#include "format/checkpoint.h"
#include "format/gguf.h"
#include "tensor/quant.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct work {
    struct arena arena;
    const struct checkpoint *file;
    const char *arch;
    json_t *config; /* owned */
    struct gguf_writer w;
    struct file_tensor *tensors; /* what is to be written */
    size_t n;
};

static bool is_arch(const struct work *w, const char *arch)
{
    return strcmp(w->arch, arch) == 0;
}

/* ---- metadata ---- */

static void put_value(struct work *w, const char *key, enum gguf_type type, const void *v)
{
    char full[128];
    snprintf(full, sizeof(full), "%s.%s", w->arch, key);
    struct gguf_value value = {.key = full, .type = type, .n = 1, .data = v, .size = 4};
    gguf_put_value(&w->w, &value);
}

static void put_int(struct work *w, const char *key, double v)
{
    uint32_t x = (uint32_t)v;
    put_value(w, key, GGUF_U32, &x);
}

static void put_real(struct work *w, const char *key, double v)
{
    float x = (float)v;
    put_value(w, key, GGUF_F32, &x);
}

static void put_text(struct work *w, const char *key, const char *text)
{
    char full[128];
    snprintf(full, sizeof(full), "%s.%s", w->arch, key);
    gguf_put_str(&w->w, full, text);
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const json_t *rope_of(const struct work *w)
{
    const json_t *rope = json_object_get(w->config, "rope_parameters");
    const json_t *full = json_object_get(rope, "full_attention");
    return full ? full : rope;
}

static double head_size(const struct work *w)
{
    double d = number(w->config, "head_dim");
    return d > 0 ? d : number(w->config, "hidden_size") / number(w->config, "num_attention_heads");
}

static void *new_typed(struct work *w, enum dtype type, const char *name, int n_dim,
                       const int64_t *dim)
{
    struct file_tensor *t = &w->tensors[w->n++];
    int64_t n = 1;
    *t = (struct file_tensor){.type = type, .n_dim = n_dim};
    t->name = arena_strdup(&w->arena, name);
    t->type_name = dtype_name(type);
    for (int i = 0; i < n_dim; i++)
        n *= t->dim[i] = dim[i];
    t->size = dtype_row_size(type, n);
    void *data = arena_alloc(&w->arena, t->size);
    t->data = data;
    return data;
}

static float *new_tensor(struct work *w, const char *name, int n_dim, const int64_t *dim)
{
    return new_typed(w, DTYPE_F32, name, n_dim, dim);
}

static void put_factors(struct work *w, const char *name, const json_t *list)
{
    int64_t n = (int64_t)json_array_size(list);
    float *x = new_tensor(w, name, 1, &n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)json_number_value(json_array_get(list, (size_t)i));
}

/* Llama 3's scaling is stored as what the frequencies are divided by. */
static void put_llama3(struct work *w, const json_t *rope, int n_rot)
{
    float *x = new_tensor(w, "rope_freqs.weight", 1, (int64_t[]){n_rot / 2});
    double factor = number(rope, "factor"), low = number(rope, "low_freq_factor");
    double high = number(rope, "high_freq_factor");
    double n_ctx = number(rope, "original_max_position_embeddings");
    for (int i = 0; i < n_rot / 2; i++) {
        double wave = 2 * acos(-1) * pow(number(rope, "rope_theta"), 2.0 * i / n_rot);
        double smooth = (n_ctx / wave - low) / (high - low);
        smooth = smooth < 0 ? 0 : smooth > 1 ? 1 : smooth;
        x[i] = (float)(1 / ((1 - smooth) / factor + smooth));
    }
}

static void put_rope(struct work *w)
{
    const json_t *rope = rope_of(w);
    const char *type = json_string_value(json_object_get(rope, "rope_type"));
    double n_ctx = number(rope, "original_max_position_embeddings");
    double partial = number(rope, "partial_rotary_factor");
    int n_rot = (int)(head_size(w) * (partial > 0 ? partial : 1));
    put_int(w, "rope.dimension_count", n_rot);
    put_real(w, "rope.freq_base", number(rope, "rope_theta"));
    if (n_ctx > 0)
        put_int(w, "rope.scaling.original_context_length", n_ctx);
    if (strcmp(type, "linear") == 0 || strcmp(type, "yarn") == 0) {
        put_text(w, "rope.scaling.type", type);
        put_real(w, "rope.scaling.factor", number(rope, "factor"));
    } else if (strcmp(type, "llama3") == 0) {
        put_llama3(w, rope, n_rot);
    } else if (strcmp(type, "longrope") == 0) {
        double stretch = number(w->config, "max_position_embeddings") / n_ctx;
        put_real(w, "rope.scaling.attn_factor", sqrt(1 + log(stretch) / log(n_ctx)));
        put_factors(w, "rope_factors_short.weight", json_object_get(rope, "short_factor"));
        put_factors(w, "rope_factors_long.weight", json_object_get(rope, "long_factor"));
    }
}

static void put_meta(struct work *w)
{
    static const struct {
        const char *gguf, *config;
        bool real;
    } keys[] = {
        {"block_count", "num_hidden_layers", false},
        {"context_length", "max_position_embeddings", false},
        {"embedding_length", "hidden_size", false},
        {"feed_forward_length", "intermediate_size", false},
        {"attention.head_count", "num_attention_heads", false},
        {"attention.head_count_kv", "num_key_value_heads", false},
        {"attention.layer_norm_rms_epsilon", "rms_norm_eps", true},
        {"attention.sliding_window", "sliding_window", false},
        {"attn_logit_softcapping", "attn_logit_softcapping", true},
        {"final_logit_softcapping", "final_logit_softcapping", true},
        {"expert_count", "num_local_experts", false},
        {"expert_used_count", "num_experts_per_tok", false},
    };
    gguf_put_str(&w->w, "general.architecture", w->arch);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const json_t *v = json_object_get(w->config, keys[i].config);
        if (json_is_number(v) && keys[i].real)
            put_real(w, keys[i].gguf, json_number_value(v));
        else if (json_is_number(v))
            put_int(w, keys[i].gguf, json_number_value(v));
    }
    put_int(w, "attention.key_length", head_size(w));
    put_int(w, "attention.value_length", head_size(w));
    if (number(w->config, "query_pre_attn_scalar") > 0)
        put_real(w, "attention.scale", 1 / sqrt(number(w->config, "query_pre_attn_scalar")));
    const json_t *norm = json_object_get(w->config, "norm_topk_prob");
    if (norm) {
        char key[64];
        unsigned char yes = json_is_true(norm);
        snprintf(key, sizeof(key), "%s.expert_weights_norm", w->arch);
        struct gguf_value v = {.key = key, .type = GGUF_BOOL, .n = 1, .data = &yes, .size = 1};
        gguf_put_value(&w->w, &v);
    }
    put_rope(w);
}

/* ---- tensors ---- */

static float *values_of(struct work *w, const struct ckpt_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->n_dim; i++)
        n *= t->dim[i];
    float *x = arena_alloc(&w->arena, (size_t)n * sizeof(*x));
    quant_to_f32(t->type, t->data, x, n);
    return x;
}

/* Halves of each head become pairs: row (pair, side) comes from row (side, pair). */
static void permute(float *out, const float *in, int64_t rows, int64_t cols, int64_t d)
{
    for (int64_t i = 0; i < rows; i++) {
        int64_t head = i / d, pair = i % d / 2, side = i % 2;
        memcpy(out + i * cols, in + (head * d + side * (d / 2) + pair) * cols,
               (size_t)cols * sizeof(*out));
    }
}

/* "blk.0.ffn_up.3.weight": the experts become slices of "blk.0.ffn_up_exps.weight". */
static bool add_expert(struct work *w, const struct ckpt_tensor *t)
{
    int layer, expert;
    char stem[16], name[64];
    if (sscanf(t->name, "blk.%d.ffn_%15[a-z].%d.weight", &layer, stem, &expert) != 3)
        return false;
    int n = (int)number(w->config, "num_local_experts");
    n = n ? n : (int)number(w->config, "num_experts");
    if (expert > 0)
        return true; /* added with the first */
    snprintf(name, sizeof(name), "blk.%d.ffn_%s_exps.weight", layer, stem);
    float *out = new_tensor(w, name, 3, (int64_t[]){n, t->dim[0], t->dim[1]});
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "blk.%d.ffn_%s.%d.weight", layer, stem, i);
        const struct ckpt_tensor *x = checkpoint_find(w->file, name);
        memcpy(out + i * t->dim[0] * t->dim[1], values_of(w, x),
               (size_t)(t->dim[0] * t->dim[1]) * sizeof(*out));
    }
    return true;
}

/* gpt-oss: [n_expert, in, out] with columns of gate and up in turn. */
static bool add_turned(struct work *w, const struct ckpt_tensor *t)
{
    bool both = strstr(t->name, "ffn_gate_up_exps"), bias = strstr(t->name, ".bias");
    if (!both && !strstr(t->name, "ffn_down_exps"))
        return false;
    const float *in = values_of(w, t);
    int64_t rows = t->dim[1] / (both ? 2 : 1), k = bias ? 1 : t->dim[2];
    for (int side = 0; side < (both ? 2 : 1); side++) {
        char name[64];
        snprintf(name, sizeof(name), "%.*sffn_%s_exps.%s", (int)(strstr(t->name, "ffn_") - t->name),
                 t->name,
                 !both  ? "down"
                 : side ? "up"
                        : "gate",
                 bias ? "bias" : "weight");
        float *out = new_tensor(w, name, bias ? 2 : 3, (int64_t[]){t->dim[0], rows, k});
        for (int64_t e = 0; e < t->dim[0]; e++)
            for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < k; j++)
                    out[(e * rows + i) * k + j] =
                        in[(e * k + j) * t->dim[1] + (both ? 2 * i + side : i)];
    }
    return true;
}

/* Elements 32 b .. 32 b + 32: E2M1 numbers in pairs of nibbles, times a power of two. */
static void unpack(const unsigned char *blocks, const unsigned char *scales, int64_t b, float *out)
{
    static const float levels[16] = {0, .5f,  1,  1.5f,  2,  3,  4,  6,
                                     0, -.5f, -1, -1.5f, -2, -3, -4, -6};
    for (int i = 0; i < 32; i++)
        out[i] = ldexpf(levels[blocks[16 * b + i / 2] >> i % 2 * 4 & 15], scales[b] - 127);
}

/* gpt-oss as published: [n_expert, rows, k / 32] blocks, rows of gate and up in turn, and scales.
 */
static bool add_packed(struct work *w, const struct ckpt_tensor *t)
{
    const char *ffn = strstr(t->name, "ffn_"), *end = strrchr(t->name, '.');
    if (strcmp(end, ".blocks") != 0)
        return strcmp(end, ".scales") == 0;
    char name[64];
    bool both = strstr(ffn, "gate_up");
    int64_t rows = t->dim[1] / (both ? 2 : 1), per_row = t->dim[2];
    snprintf(name, sizeof(name), "%.*s.scales", (int)(end - t->name), t->name);
    const unsigned char *scales = checkpoint_find(w->file, name)->data;
    for (int side = 0; side < (both ? 2 : 1); side++) {
        int64_t dim[3] = {t->dim[0], rows, 32 * per_row};
        snprintf(name, sizeof(name), "%.*sffn_%s_exps.weight", (int)(ffn - t->name), t->name,
                 !both  ? "down"
                 : side ? "up"
                        : "gate");
        char *out = new_typed(w, DTYPE_MXFP4, name, 3, dim);
        for (int64_t i = 0; i < dim[0] * rows * per_row;
             i++, out += dtype_row_size(DTYPE_MXFP4, 32)) {
            float x[32];
            int64_t row = i / per_row;
            unpack(t->data, scales, (both ? 2 * row + side : row) * per_row + i % per_row, x);
            quant_from_f32(DTYPE_MXFP4, x, out, 32);
        }
    }
    return true;
}

static void add_tensor(struct work *w, const struct ckpt_tensor *t)
{
    if (add_expert(w, t) || add_packed(w, t) || add_turned(w, t))
        return;
    const float *in = values_of(w, t);
    float *out = new_tensor(w, t->name, t->n_dim, t->dim);
    int64_t rows = t->dim[0], cols = t->n_dim > 1 ? t->dim[1] : 1;
    bool pairs = is_arch(w, "llama") || is_arch(w, "smollm3");
    if (pairs && (strstr(t->name, ".attn_q.") || strstr(t->name, ".attn_k.")))
        permute(out, in, rows, cols, (int64_t)head_size(w));
    else
        memcpy(out, in, (size_t)(rows * cols) * sizeof(*out));
    if (strstr(t->name, "norm.weight") && strncmp(w->arch, "gemma", 5) == 0)
        for (int64_t i = 0; i < rows; i++)
            out[i] += 1;
}

static int write_all(struct work *w, const char *path, struct err *e)
{
    struct file_writer f;
    int rc = 0;
    for (size_t i = 0; !rc && i < w->n; i++)
        rc = gguf_put_tensor(&w->w, &w->tensors[i], e);
    rc = rc ? rc : file_writer_open(&f, path, e);
    if (rc)
        return rc;
    rc = gguf_write_header(&w->w, &f, e);
    for (size_t i = 0; !rc && i < w->n; i++) {
        gguf_write(&w->w, &f, w->tensors[i].data, w->tensors[i].size);
        gguf_write_end(&w->w, &f);
    }
    if (rc)
        file_writer_abort(&f);
    return rc ? rc : file_writer_commit(&f, e);
}

int language_gguf_write(const struct checkpoint *file, const char *path, struct err *e)
{
    struct work w = {.file = file, .arch = checkpoint_language(file)};
    w.config = json_loads(checkpoint_config(file, ""), 0, NULL);
    gguf_writer_init(&w.w);
    w.tensors = arena_alloc(&w.arena, (2 * checkpoint_n(file) + 2) * sizeof(*w.tensors));
    put_meta(&w);
    for (size_t i = 0; i < checkpoint_n(file); i++)
        add_tensor(&w, checkpoint_at(file, i));
    int rc = write_all(&w, path, e);
    gguf_writer_release(&w.w);
    json_decref(w.config);
    arena_release(&w.arena);
    return rc;
}
