/* language_gguf.c - see language_gguf.h. */
#include "format/language_gguf.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/language_json.h"
#include "format/language_names.h"
#include "tensor/quant.h"

#include <jansson.h>
#include <math.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EXPERT 4096
#define PI         3.14159265358979323846

struct work {
    struct language_gguf *g;
    const struct checkpoint *c;
    struct language_json k;
    bool tied; /* the output is the token embeddings, whatever the file holds beside them */
};

static bool is_arch(const struct work *w, const char *arch)
{
    return strcmp(w->k.arch, arch) == 0;
}

/* Tensors of a file that no GGUF file has: constants, and parts that are no language model's. */
static bool is_left_out(const struct work *w, const struct ckpt_tensor *t)
{
    static const char *const parts[] = {
        "rotary_emb.",  "position_ids",          "pooler.", "cls.", "vision_tower",
        "vision_model", "multi_modal_projector", "visual."};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strstr(t->file_name, parts[i]))
            return true;
    return w->tied && strcmp(t->name, "output.weight") == 0;
}

/* A tensor as it is, of one source. */
static struct language_tensor *append(struct work *w, const char *name, const struct ckpt_tensor *t)
{
    struct language_tensor *x = &w->g->tensors[w->g->n++];
    const unsigned char **source = arena_alloc(&w->g->arena, sizeof(*source));
    *source = t->data;
    *x = (struct language_tensor){.from = t->type, .sources = source, .n = 1, .size = t->size};
    x->t = (struct file_tensor){.name = arena_strdup(&w->g->arena, name),
                                .type = t->type,
                                .type_name = t->type_name,
                                .n_dim = t->n_dim,
                                .data = t->data,
                                .size = t->size};
    memcpy(x->t.dim, t->dim, sizeof(t->dim));
    return x;
}

/* "blk.0.ffn_up.3.weight": the experts become slices of "blk.0.ffn_up_exps.weight". */
static int add_experts(struct work *w, const struct ckpt_tensor *t, int layer, const char *stem,
                       struct err *e)
{
    double count = language_json_number(&w->k, "num_local_experts", "num_experts");
    int n = count >= 1 && count <= MAX_EXPERT ? (int)count : 1;
    char name[LANGUAGE_NAME_MAX];
    snprintf(name, sizeof(name), "blk.%d.ffn_%s_exps.weight", layer, stem);
    struct language_tensor *x = append(w, name, t);
    const unsigned char **sources = arena_alloc(&w->g->arena, (size_t)n * sizeof(*sources));
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "blk.%d.ffn_%s.%d.weight", layer, stem, i);
        const struct ckpt_tensor *one = checkpoint_find(w->c, name);
        if (!one || one->type != t->type || one->size != t->size || t->n_dim != 2)
            return err_set(e, ERR_FORMAT, "%s: tensor %s is missing or not as the first expert's",
                           checkpoint_path(w->c), name);
        sources[i] = one->data;
    }
    x->sources = sources;
    x->n = n;
    x->changed = true;
    x->t.size = t->size * (size_t)n;
    x->t.n_dim = 3;
    x->t.dim[0] = n;
    x->t.dim[1] = t->dim[0];
    x->t.dim[2] = t->dim[1];
    return 0;
}

/* "blk.0.ffn_gate_up_exps.bias", side 1 -> "blk.0.ffn_up_exps.bias". */
static void side_name(char out[LANGUAGE_NAME_MAX], const char *name, int side, const char *end)
{
    const char *stem = strstr(name, "ffn_");
    const char *what = !strstr(stem, "gate_up") ? "down" : side ? "up" : "gate";
    snprintf(out, LANGUAGE_NAME_MAX, "%.*sffn_%s_exps.%s", (int)(stem - name), name, what, end);
}

/* gpt-oss in a plain type: [n_expert, in, out] with columns of gate and up in turn. */
static void add_turned(struct work *w, const struct ckpt_tensor *t)
{
    bool bias = t->n_dim == 2;
    int step = strstr(t->name, "gate_up") ? 2 : 1;
    for (int side = 0; side < step; side++) {
        char name[LANGUAGE_NAME_MAX];
        side_name(name, t->name, side, bias ? "bias" : "weight");
        struct language_tensor *x = append(w, name, t);
        x->t.dim[1] = t->dim[1] / step;
        x->t.size = t->size / (size_t)step;
        x->step = step;
        x->side = side;
        x->changed = step > 1 || !bias;
    }
}

/* gpt-oss as published: blocks [n_expert, out, in / 32, 16] with rows of gate and up in turn, and
 * their scales [n_expert, out, in / 32]. */
static int add_packed(struct work *w, const struct ckpt_tensor *t, struct err *e)
{
    char name[LANGUAGE_NAME_MAX];
    int step = strstr(t->name, "gate_up") ? 2 : 1;
    snprintf(name, sizeof(name), "%.*s.scales", (int)(strrchr(t->name, '.') - t->name), t->name);
    const struct ckpt_tensor *scales = checkpoint_find(w->c, name);
    if (t->n_dim != 4 || t->dim[3] != 16 || t->dim[1] % step || !scales ||
        scales->size != t->size / 16)
        return err_set(e, ERR_FORMAT, "%s: tensor %s: no blocks of MXFP4 with scales",
                       checkpoint_path(w->c), t->name);
    for (int side = 0; side < step; side++) {
        const unsigned char **sources = arena_alloc(&w->g->arena, 2 * sizeof(*sources));
        side_name(name, t->name, side, "weight");
        struct language_tensor *x = append(w, name, t);
        sources[0] = t->data;
        sources[1] = scales->data;
        x->sources = sources;
        x->from = x->t.type = DTYPE_MXFP4;
        x->t.type_name = "MXFP4";
        x->t.n_dim = 3;
        x->t.dim[1] = t->dim[1] / step;
        x->t.dim[2] = 32 * t->dim[2];
        x->t.size = (t->size + scales->size) / (size_t)step;
        x->step = step;
        x->side = side;
        x->changed = true;
    }
    return 0;
}

static int add_oss_experts(struct work *w, const struct ckpt_tensor *t, struct err *e)
{
    bool bias = strstr(t->name, ".bias");
    if (strstr(t->name, ".scales"))
        return 0; /* added with the blocks */
    if (strstr(t->name, ".blocks"))
        return add_packed(w, t, e);
    if (t->n_dim != (bias ? 2 : 3) || dtype_block(t->type) > 1 || !dtype_is_float(t->type) ||
        t->dim[1] % 2)
        return err_set(e, ERR_FORMAT, "%s: tensor %s: no experts' weights", checkpoint_path(w->c),
                       t->name);
    add_turned(w, t);
    return 0;
}

/* "blk.<layer>.ffn_<stem>.<expert>.weight": one expert's matrix, as Mixtral's old files have it. */
static bool is_expert(const char *name, int *layer, char stem[16], int *expert)
{
    char *end;
    long l = strncmp(name, "blk.", 4) == 0 ? strtol(name + 4, &end, 10) : -1;
    if (l < 0 || l > INT_MAX || strncmp(end, ".ffn_", 5) != 0)
        return false;
    const char *word = end + 5;
    size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz");
    if (n == 0 || n > 15 || word[n] != '.')
        return false;
    long x = strtol(word + n + 1, &end, 10);
    if (end == word + n + 1 || x < 0 || x > INT_MAX || strcmp(end, ".weight") != 0)
        return false;
    memcpy(stem, word, n);
    stem[n] = '\0';
    *layer = (int)l;
    *expert = (int)x;
    return true;
}

static int add(struct work *w, const struct ckpt_tensor *t, struct err *e)
{
    int layer, expert;
    char stem[16];
    if (is_left_out(w, t))
        return 0;
    if (strcmp(t->name, t->file_name) == 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: tensor %s is none that %s models have",
                       checkpoint_path(w->c), t->name, w->k.arch);
    if (is_expert(t->name, &layer, stem, &expert))
        return expert == 0 ? add_experts(w, t, layer, stem, e) : 0;
    if (is_arch(w, "gpt-oss") && strstr(t->name, "_exps."))
        return add_oss_experts(w, t, e);
    struct language_tensor *x = append(w, t->name, t);
    bool pairs = is_arch(w, "llama") || is_arch(w, "smollm3");
    bool turned = pairs && (strstr(t->name, ".attn_q.") || strstr(t->name, ".attn_k."));
    if (turned)
        x->d_head = (int64_t)language_json_head(&w->k);
    x->plus_one = strncmp(w->k.arch, "gemma", 5) == 0 && strstr(t->name, "norm.weight");
    if (x->plus_one && (t->n_dim != 1 || !dtype_is_float(t->type)))
        return err_set(e, ERR_FORMAT, "%s: tensor %s: no norm's weights", checkpoint_path(w->c),
                       t->name);
    if (turned &&
        (x->d_head < 2 || x->d_head % 2 || t->n_dim < 1 || t->dim[0] < 1 || t->dim[0] % x->d_head))
        return err_set(e, ERR_FORMAT, "%s: tensor %s: its rows are no heads of %d",
                       checkpoint_path(w->c), t->name, (int)x->d_head);
    x->changed = x->d_head || x->plus_one;
    if (x->plus_one) {
        x->t.type = DTYPE_F32;
        x->t.type_name = "F32";
        x->t.size = dtype_row_size(DTYPE_F32, t->dim[0]);
    }
    return 0;
}

/* ---- tensors that config.json holds ---- */

static float *add_factors(struct work *w, const char *name, int64_t n)
{
    float *x = arena_alloc(&w->g->arena, (size_t)n * sizeof(*x));
    struct ckpt_tensor t = {.type = DTYPE_F32,
                            .type_name = "F32",
                            .n_dim = 1,
                            .dim = {n},
                            .data = x,
                            .size = (size_t)n * sizeof(*x)};
    append(w, name, &t);
    return x;
}

static double rope_number(const struct work *w, const char *key)
{
    return json_number_value(json_object_get(w->k.rope, key));
}

/* Llama 3's scaling is stored as what the frequencies are divided by. */
static void add_llama3(struct work *w)
{
    int n_rot = language_json_rotated(&w->k);
    float *x = add_factors(w, "rope_freqs.weight", n_rot / 2);
    double factor = rope_number(w, "factor"), low = rope_number(w, "low_freq_factor");
    double high = rope_number(w, "high_freq_factor");
    double n_ctx = rope_number(w, "original_max_position_embeddings");
    for (int i = 0; i < n_rot / 2; i++) {
        double wave = 2 * PI * pow(language_json_theta(&w->k), 2.0 * i / n_rot);
        double smooth = (n_ctx / wave - low) / (high - low);
        smooth = smooth < 0 ? 0 : smooth > 1 ? 1 : smooth;
        x[i] = (float)(1 / ((1 - smooth) / factor + smooth));
    }
}

static void add_list(struct work *w, const char *name, const char *key)
{
    const json_t *list = json_object_get(w->k.rope, key);
    int64_t n = (int64_t)json_array_size(list);
    float *x = n ? add_factors(w, name, n) : NULL;
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)json_number_value(json_array_get(list, (size_t)i));
}

static void add_rope(struct work *w)
{
    const char *type = language_json_scaling(&w->k);
    if (strcmp(type, "llama3") == 0 && language_json_rotated(&w->k) >= 2)
        add_llama3(w);
    if (strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0) {
        add_list(w, "rope_factors_short.weight", "short_factor");
        add_list(w, "rope_factors_long.weight", "long_factor");
    }
}

int language_gguf_list(struct language_gguf *g, const struct checkpoint *c, struct err *e)
{
    struct work w = {.g = g, .c = c};
    int rc = 0;
    *g = (struct language_gguf){0};
    language_json_open(&w.k, c);
    w.tied = json_is_true(json_object_get(w.k.text, "tie_word_embeddings"));
    /* gpt-oss has two for one; two more of the rotary positions. */
    g->tensors = arena_try_array(&g->arena, 2 * checkpoint_n(c) + 2, sizeof(*g->tensors),
                                 "the list of tensors", e);
    rc = g->tensors ? 0 : ERR_NOMEM;
    if (!rc)
        add_rope(&w);
    for (size_t i = 0; !rc && i < checkpoint_n(c); i++)
        rc = add(&w, checkpoint_at(c, i), e);
    language_json_close(&w.k);
    return rc;
}

void language_gguf_release(struct language_gguf *g)
{
    arena_release(&g->arena);
    *g = (struct language_gguf){0};
}

/* ---- bytes ---- */

/* Row (pair, side) of a head comes from row (side, pair). */
static void put_pairs(const struct language_tensor *t, unsigned char *out)
{
    int64_t rows = t->t.dim[0], d = t->d_head;
    size_t size = t->t.size / (size_t)rows;
    for (int64_t i = 0; i < rows; i++) {
        int64_t head = i / d, pair = i % d / 2, side = i % 2;
        memcpy(out + (size_t)i * size,
               t->sources[0] + (size_t)(head * d + side * (d / 2) + pair) * size, size);
    }
}

/* out[e][i][j] = in[e][j][step * i + side]. */
static void put_turned(const struct language_tensor *t, unsigned char *out)
{
    int64_t rows = t->t.dim[1], k = t->t.n_dim > 2 ? t->t.dim[2] : 1;
    size_t size = dtype_row_size(t->from, 1);
    for (int64_t e = 0; e < t->t.dim[0]; e++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < k; j++, out += size) {
                int64_t at = (e * k + j) * rows * t->step + i * t->step + t->side;
                memcpy(out, t->sources[0] + (size_t)at * size, size);
            }
}

/* In the published files byte i of a block holds elements 2 i and 2 i + 1; in GGUF's i and i + 16.
 */
static void put_block(const unsigned char *block, unsigned char scale, unsigned char *out)
{
    out[0] = scale;
    for (int i = 0; i < 16; i++) {
        int low = block[i / 2] >> i % 2 * 4 & 15, high = block[8 + i / 2] >> i % 2 * 4 & 15;
        out[1 + i] = (unsigned char)(low | high << 4);
    }
}

static void put_packed(const struct language_tensor *t, unsigned char *out)
{
    int64_t rows = t->t.dim[0] * t->t.dim[1], n = t->t.dim[2] / 32;
    size_t size = dtype_row_size(DTYPE_MXFP4, 32);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t b = 0; b < n; b++, out += size) {
            size_t at = (size_t)((i * t->step + t->side) * n + b);
            put_block(t->sources[0] + 16 * at, t->sources[1][at], out);
        }
}

int language_gguf_make(const struct language_tensor *t, unsigned char **data, struct err *e)
{
    *data = mem_try_array(t->t.size, 1, t->t.name, e);
    if (!*data)
        return ERR_NOMEM;
    if (t->plus_one) {
        float *x = (float *)(void *)*data;
        quant_to_f32(t->from, t->sources[0], x, t->t.dim[0]);
        for (int64_t i = 0; i < t->t.dim[0]; i++)
            x[i] += 1;
    } else if (t->d_head) {
        put_pairs(t, *data);
    } else if (t->step && t->from == DTYPE_MXFP4) {
        put_packed(t, *data);
    } else if (t->step) {
        put_turned(t, *data);
    } else {
        for (int i = 0; i < t->n; i++)
            memcpy(*data + (size_t)i * t->size, t->sources[i], t->size);
    }
    return 0;
}
