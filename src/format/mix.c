/* mix.c - see mix.h. */
#include "format/mix.h"

#include "format/file_tensor.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct mix mixes[] = {
    {"f32", 0, DTYPE_F32, 0},        {"f16", 1, DTYPE_F16, 0},
    {"bf16", 32, DTYPE_BF16, 0},     {"q8_0", 7, DTYPE_Q8_0, 0},
    {"q6_k", 18, DTYPE_Q6_K, 0},     {"q5_k_m", 17, DTYPE_Q5_K, 'm'},
    {"q5_k_s", 16, DTYPE_Q5_K, 's'}, {"q5_1", 9, DTYPE_Q5_1, 0},
    {"q5_0", 8, DTYPE_Q5_0, 0},      {"q4_k_m", 15, DTYPE_Q4_K, 'm'},
    {"q4_k_s", 14, DTYPE_Q4_K, 's'}, {"q4_1", 3, DTYPE_Q4_1, 0},
    {"q4_0", 2, DTYPE_Q4_0, 0},      {"q3_k_l", 13, DTYPE_Q3_K, 'l'},
    {"q3_k_m", 12, DTYPE_Q3_K, 'm'}, {"q3_k_s", 11, DTYPE_Q3_K, 's'},
    {"q2_k", 10, DTYPE_Q2_K, 0},     {"iq4_nl", 25, DTYPE_IQ4_NL, 0},
    {"iq4_xs", 30, DTYPE_IQ4_XS, 0}, {"mxfp4", 38, DTYPE_MXFP4, 0},
};

#define N_MIXES (sizeof(mixes) / sizeof(mixes[0]))

const struct mix *mix_at(size_t i)
{
    return i < N_MIXES ? &mixes[i] : NULL;
}

const struct mix *mix_find(const char *name)
{
    for (size_t i = 0; i < N_MIXES; i++)
        if (strcasecmp(name, mixes[i].name) == 0 ||
            (mixes[i].size == 'm' && strcasecmp(name, dtype_name(mixes[i].type)) == 0))
            return &mixes[i];
    return NULL;
}

const struct mix *mix_of_type(enum dtype type)
{
    for (size_t i = 0; i < N_MIXES; i++)
        if (mixes[i].type == type && (!mixes[i].size || mixes[i].size == 's'))
            return &mixes[i];
    return NULL;
}

/* What a tensor is for. */
enum role { OTHER, TOKENS, OUTPUT, ATTN_V, ATTN_K, ATTN_OUTPUT, FFN_DOWN };

static enum role role_of(const char *name)
{
    static const struct {
        const char *part;
        enum role role;
    } rows[] = {{"attn_qkv.weight", ATTN_V}, {"attn_kv_b.weight", ATTN_V},
                {"attn_v.weight", ATTN_V},   {"attn_k.weight", ATTN_K},
                {"ffn_down", FFN_DOWN},      {"attn_output.weight", ATTN_OUTPUT}};
    if (strcmp(name, "output.weight") == 0)
        return OUTPUT;
    if (strcmp(name, "token_embd.weight") == 0 || strcmp(name, "per_layer_token_embd.weight") == 0)
        return TOKENS;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strstr(name, rows[i].part))
            return rows[i].role;
    return OTHER;
}

bool mix_takes(const struct file_tensor *t)
{
    static const char *const kept[] = {"_norm.weight",  "ffn_gate_inp.weight", "ssm_conv1d",
                                       "position_embd", "token_types",         "attn_rel_b.weight"};
    size_t n = strlen(t->name);
    if (t->n_dim < 2 || !dtype_is_float(t->type) || n < 6 || strcmp(t->name + n - 6, "weight") != 0)
        return false;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (strstr(t->name, kept[i]))
            return false;
    return true;
}

/* The layer in "blk.N.", or -1. */
static int layer_of(const char *name)
{
    const char *p = strstr(name, "blk.");
    return p ? (int)strtol(p + 4, NULL, 10) : -1;
}

/* The first and the last eighth of the layers, and every third between. */
static bool use_more_bits(int layer, int n)
{
    return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
}

/* Is it one of the models with many queries to a key, whose attn_v is small? */
static bool is_grouped(const struct mix_model *m)
{
    return m->n_head_kv > 0 && m->n_head / m->n_head_kv >= 4;
}

static enum dtype attn_v_type(const struct mix *mix, const struct mix_model *m, int layer)
{
    enum dtype type = mix->type;
    bool is_70b = m->n_layer == 80 && m->n_head != m->n_head_kv;
    if (type == DTYPE_Q2_K)
        type = is_grouped(m) ? DTYPE_Q4_K : DTYPE_Q3_K;
    else if (type == DTYPE_Q3_K && mix->size == 'm')
        type = layer < 2 ? DTYPE_Q5_K : DTYPE_Q4_K;
    else if (type == DTYPE_Q3_K && mix->size == 'l')
        type = DTYPE_Q5_K;
    else if ((type == DTYPE_IQ4_NL || type == DTYPE_IQ4_XS) && is_grouped(m))
        type = DTYPE_Q5_K;
    else if (mix->size == 'm' && use_more_bits(layer, m->n_layer))
        type = DTYPE_Q6_K;
    else if (type == DTYPE_Q4_K && mix->size == 's' && layer < 4)
        type = DTYPE_Q5_K;
    if (is_70b && (type == DTYPE_Q3_K || type == DTYPE_Q4_K))
        type = DTYPE_Q5_K;
    return m->n_expert == 8 ? DTYPE_Q8_0 : type;
}

static enum dtype ffn_down_type(const struct mix *mix, const struct mix_model *m, int layer)
{
    int n = m->n_layer;
    bool more = use_more_bits(layer, n);
    switch (mix->type) {
    case DTYPE_Q2_K:
        return DTYPE_Q3_K;
    case DTYPE_Q3_K:
        if (mix->size == 'l')
            return m->is_falcon ? DTYPE_Q4_K : DTYPE_Q5_K;
        if (mix->size == 's')
            return DTYPE_Q3_K;
        return layer < n / 16 ? DTYPE_Q5_K : !m->is_falcon || more ? DTYPE_Q4_K : DTYPE_Q3_K;
    case DTYPE_Q4_K:
        if (mix->size == 's')
            return !m->is_falcon && layer < n / 8 ? DTYPE_Q5_K : DTYPE_Q4_K;
        if (m->is_falcon)
            return layer < n / 16 ? DTYPE_Q6_K : more ? DTYPE_Q5_K : DTYPE_Q4_K;
        return more ? DTYPE_Q6_K : DTYPE_Q4_K;
    case DTYPE_Q5_K:
        return mix->size == 'm' && more ? DTYPE_Q6_K : DTYPE_Q5_K;
    case DTYPE_IQ4_NL:
    case DTYPE_IQ4_XS:
        return layer < n / 8 ? DTYPE_Q5_K : mix->type;
    default:
        return mix->type;
    }
}

static enum dtype attn_output_type(const struct mix *mix, const struct mix_model *m)
{
    enum dtype type = mix->type;
    if (m->is_falcon)
        return type == DTYPE_Q3_K && mix->size == 'l' ? DTYPE_Q4_K : type;
    if (m->n_expert == 8)
        return type == DTYPE_Q2_K || (type == DTYPE_Q3_K && mix->size != 'l') ||
                       type == DTYPE_Q4_K || type == DTYPE_IQ4_NL || type == DTYPE_IQ4_XS
                   ? DTYPE_Q5_K
                   : type;
    if (type == DTYPE_Q2_K)
        return DTYPE_Q3_K;
    if (type == DTYPE_Q3_K && mix->size != 's')
        return mix->size == 'm' ? DTYPE_Q4_K : DTYPE_Q5_K;
    return type;
}

static enum dtype wanted(const struct mix *mix, const struct mix_model *m,
                         const struct file_tensor *t)
{
    enum role role = role_of(t->name);
    int layer = layer_of(t->name);
    if (role == OUTPUT || (role == TOKENS && m->is_tied)) {
        bool fits = t->dim[t->n_dim - 1] % dtype_block(mix->type) == 0;
        bool eight = mix->type == DTYPE_Q8_0 || mix->type == DTYPE_MXFP4;
        return m->is_falcon || eight || !fits ? DTYPE_Q8_0 : DTYPE_Q6_K;
    }
    if (mix->type == DTYPE_MXFP4) /* for experts; what every token needs is too good for it */
        return t->n_dim > 2 ? DTYPE_MXFP4 : DTYPE_Q8_0;
    switch (role) {
    case ATTN_V:
        return attn_v_type(mix, m, layer);
    case ATTN_K:
        return m->n_expert == 8 ? DTYPE_Q8_0 : mix->type;
    case FFN_DOWN:
        return ffn_down_type(mix, m, layer);
    case ATTN_OUTPUT:
        return attn_output_type(mix, m);
    default:
        return mix->type;
    }
}

enum dtype mix_smaller_block(enum dtype type)
{
    switch (type) {
    case DTYPE_Q2_K:
    case DTYPE_Q3_K:
        return DTYPE_Q4_0;
    case DTYPE_Q4_K:
        return DTYPE_Q5_0;
    case DTYPE_Q5_K:
        return DTYPE_Q5_1;
    case DTYPE_Q6_K:
        return DTYPE_Q8_0;
    case DTYPE_IQ4_XS:
        return DTYPE_IQ4_NL;
    default:
        return type;
    }
}

enum dtype mix_type(const struct mix *mix, const struct mix_model *model,
                    const struct file_tensor *t)
{
    if (dtype_block(mix->type) == 1)
        return mix->type;
    int64_t columns = t->dim[t->n_dim - 1];
    enum dtype type = wanted(mix, model, t);
    if (columns % dtype_block(type))
        type = mix_smaller_block(type);
    return columns % dtype_block(type) ? DTYPE_F16 : type;
}
