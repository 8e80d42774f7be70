/* random_gguf.c - writes a language model of random weights with a real model's shapes as GGUF, for
 * measuring speed and memory without the trained weights.
 *
 *     random_gguf llama-3.2-1b q4_k_m /tmp/1b-q4_k_m.gguf
 *
 * Blocks of quantised types are random bits with scales that give every matrix of k columns a
 * standard deviation of about 1 / sqrt(k), so that activations stay as large as a trained model's.
 * The vocabulary is a byte-level BPE of the model's size over made-up words: other programs open
 * it, and any text can be tokenised.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "tensor/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct model {
    const char *name;
    int layers, heads, heads_kv;
    int64_t width, hidden, vocabulary;
    bool tied; /* the output matrix is the embedding */
} models[] = {
    {"llama-3.2-1b", 16, 32, 8, 2048, 8192, 128256, true},
    {"llama-3-8b", 32, 32, 8, 4096, 14336, 128256, false},
    {"tiny", 2, 4, 2, 256, 768, 1024, true},
};

/* llama.cpp's mixtures of types: what most matrices are, what the larger share of the bits goes to,
 * and the numbers of its general.file_type. */
static const struct mix {
    const char *name;
    enum dtype most, more, output;
    uint32_t file_type;
} mixes[] = {
    {"f32", DTYPE_F32, DTYPE_F32, DTYPE_F32, 0},
    {"f16", DTYPE_F16, DTYPE_F16, DTYPE_F16, 1},
    {"bf16", DTYPE_BF16, DTYPE_BF16, DTYPE_BF16, 32},
    {"q4_0", DTYPE_Q4_0, DTYPE_Q4_0, DTYPE_Q6_K, 2},
    {"q4_1", DTYPE_Q4_1, DTYPE_Q4_1, DTYPE_Q6_K, 3},
    {"q5_0", DTYPE_Q5_0, DTYPE_Q5_0, DTYPE_Q6_K, 8},
    {"q5_1", DTYPE_Q5_1, DTYPE_Q5_1, DTYPE_Q6_K, 9},
    {"q8_0", DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_Q8_0, 7},
    {"q2_k", DTYPE_Q2_K, DTYPE_Q2_K, DTYPE_Q6_K, 10},
    {"q3_k", DTYPE_Q3_K, DTYPE_Q3_K, DTYPE_Q6_K, 11},
    {"q4_k", DTYPE_Q4_K, DTYPE_Q4_K, DTYPE_Q6_K, 14},
    {"q4_k_m", DTYPE_Q4_K, DTYPE_Q6_K, DTYPE_Q6_K, 15},
    {"q5_k", DTYPE_Q5_K, DTYPE_Q5_K, DTYPE_Q6_K, 16},
    {"q5_k_m", DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_Q6_K, 17},
    {"q6_k", DTYPE_Q6_K, DTYPE_Q6_K, DTYPE_Q6_K, 18},
    {"iq4_nl", DTYPE_IQ4_NL, DTYPE_IQ4_NL, DTYPE_Q6_K, 25},
    {"iq4_xs", DTYPE_IQ4_XS, DTYPE_IQ4_XS, DTYPE_Q6_K, 30},
    {"mxfp4", DTYPE_MXFP4, DTYPE_MXFP4, DTYPE_Q8_0, 38},
};

/* Where a block has its F16 scale and minimum, the standard deviation of random bits at scale 1,
 * and the minimum, in scales, that centres them. */
static const struct scales {
    enum dtype type;
    int scale, min; /* byte; no minimum: -1 */
    float deviation, centre;
} scales[] = {
    {DTYPE_Q4_0, 0, -1, 4.6f, 0},   {DTYPE_Q4_1, 0, 2, 4.6f, -7.5f},
    {DTYPE_Q5_0, 0, -1, 9.2f, 0},   {DTYPE_Q5_1, 0, 2, 9.2f, -15.5f},
    {DTYPE_Q8_0, 0, -1, 74, 0},     {DTYPE_Q2_K, 80, 82, 15, 1.5f},
    {DTYPE_Q3_K, 108, -1, 42, 0},   {DTYPE_Q4_K, 0, 2, 250, 7.5f},
    {DTYPE_Q5_K, 0, 2, 500, 15.5f}, {DTYPE_Q6_K, 208, -1, 1370, 0},
    {DTYPE_IQ4_NL, 0, -1, 66, 0},   {DTYPE_IQ4_XS, 0, -1, 1220, 0},
};

struct random {
    uint64_t state;
};

static uint64_t next(struct random *r)
{
    return hash_mix64(r->state += 0x9e3779b97f4a7c15u);
}

static void put_half(unsigned char *p, float x)
{
    uint16_t h = half_from_f32(x);
    memcpy(p, &h, sizeof(h));
}

/* n bytes of blocks whose elements have this standard deviation. */
static void fill_blocks(enum dtype type, struct random *r, float deviation, unsigned char *p,
                        size_t n)
{
    const struct scales *s = NULL;
    size_t bytes = dtype_row_size(type, dtype_block(type));
    for (size_t i = 0; i < sizeof(scales) / sizeof(scales[0]); i++)
        if (scales[i].type == type)
            s = &scales[i];
    for (size_t i = 0; i < n; i += 8) {
        uint64_t x = next(r);
        memcpy(p + i, &x, n - i < 8 ? n - i : 8);
    }
    for (size_t i = 0; i < n; i += bytes) {
        if (!s) { /* MXFP4: a power of two; the elements' standard deviation is 3 */
            p[i] = (unsigned char)(127 + (int)lrintf(log2f(deviation / 3)));
            continue;
        }
        put_half(p + i + s->scale, deviation / s->deviation);
        if (s->min >= 0)
            put_half(p + i + s->min, deviation / s->deviation * s->centre);
        for (size_t j = 2; type == DTYPE_Q8_0 && j < bytes; j++)
            p[i + j] += p[i + j] == 0x80; /* -128 is not in use */
    }
}

/* Uniform numbers of this standard deviation; 1 if it is 0. */
static void fill_numbers(enum dtype type, struct random *r, float deviation, unsigned char *p,
                         size_t n)
{
    size_t bytes = dtype_row_size(type, 1);
    for (size_t i = 0; i < n; i += bytes) {
        float x = ((float)(next(r) >> 40) * 0x1p-23f - 1.0f) * deviation * sqrtf(3);
        uint16_t h = type == DTYPE_F16 ? half_from_f32(x) : bf16_from_f32(x);
        if (deviation == 0)
            x = 1;
        memcpy(p + i, bytes == 2 ? (const void *)&h : (const void *)&x, bytes);
    }
}

#define PIECE ((size_t)33 << 20)

static void write_tensor(struct gguf_writer *w, struct file_writer *f, const struct file_tensor *t,
                         unsigned char *piece)
{
    size_t block = dtype_row_size(t->type, dtype_block(t->type)), most = PIECE / block * block;
    float deviation = t->n_dim == 1 ? 0 : 1 / sqrtf((float)t->dim[1]);
    struct random r = {hash_fnv1a(t->name, strlen(t->name))};
    for (size_t at = 0; at < t->size; at += most) {
        size_t n = t->size - at < most ? t->size - at : most;
        if (dtype_block(t->type) == 1)
            fill_numbers(t->type, &r, deviation, piece, n);
        else
            fill_blocks(t->type, &r, deviation, piece, n);
        gguf_write(w, f, piece, n);
    }
    gguf_write_end(w, f);
}

#define MAX_TENSORS 512
#define SPECIALS    256

struct list {
    struct file_tensor tensors[MAX_TENSORS];
    char names[MAX_TENSORS][64];
    size_t n;
};

/* rows 0: a vector. */
static void add(struct list *l, enum dtype type, int64_t rows, int64_t columns, const char *name)
{
    struct file_tensor *t = &l->tensors[l->n];
    snprintf(l->names[l->n], sizeof(l->names[l->n]), "%s", name);
    t->name = l->names[l->n++];
    t->type = rows ? type : DTYPE_F32;
    t->type_name = dtype_name(t->type);
    t->n_dim = rows ? 2 : 1;
    t->dim[0] = rows ? rows : columns;
    t->dim[1] = rows ? columns : 0;
    t->size = dtype_row_size(t->type, (rows ? rows : 1) * columns);
}

static void add_layer(struct list *l, const struct model *m, const struct mix *x, int i)
{
    int64_t kv = m->width / m->heads * m->heads_kv;
    int n = m->layers;
    /* The layers to which llama.cpp gives more bits: an eighth at each end, a third between. */
    bool more = i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    const struct {
        const char *name;
        bool more;
        int64_t rows, columns;
    } parts[] = {
        {"attn_norm", false, 0, m->width},
        {"attn_q", false, m->width, m->width},
        {"attn_k", false, kv, m->width},
        {"attn_v", more, kv, m->width},
        {"attn_output", false, m->width, m->width},
        {"ffn_norm", false, 0, m->width},
        {"ffn_gate", false, m->hidden, m->width},
        {"ffn_up", false, m->hidden, m->width},
        {"ffn_down", more, m->width, m->hidden},
    };
    for (size_t j = 0; j < sizeof(parts) / sizeof(parts[0]); j++) {
        char name[64];
        snprintf(name, sizeof(name), "blk.%d.%s.weight", i, parts[j].name);
        add(l, parts[j].more ? x->more : x->most, parts[j].rows, parts[j].columns, name);
    }
}

static void add_model(struct list *l, const struct model *m, const struct mix *x)
{
    add(l, m->tied ? x->output : x->most, m->vocabulary, m->width, "token_embd.weight");
    for (int i = 0; i < m->layers; i++)
        add_layer(l, m, x, i);
    add(l, DTYPE_F32, 0, m->width, "output_norm.weight");
    if (!m->tied)
        add(l, x->output, m->vocabulary, m->width, "output.weight");
}

static void put_numbers(struct gguf_writer *w, const char *key, enum gguf_type type, bool array,
                        const void *data, size_t n)
{
    const struct gguf_value v = {
        .key = key, .type = type, .array = array, .n = n, .data = data, .size = 4 * n};
    gguf_put_value(w, &v);
}

/* The characters that stand for bytes in byte-level BPE vocabularies: printable Latin-1 as it is,
 * the rest from U+0100 on (https://github.com/openai/gpt-2, src/encoder.py). */
static const char *byte_text(int byte, char out[4])
{
    int code = byte, rest = 0;
    for (int i = 0; i < byte; i++)
        rest += !((i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || i >= 0xae);
    if (!((byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae))
        code = 256 + rest;
    if (code < 128)
        snprintf(out, 4, "%c", code);
    else
        snprintf(out, 4, "%c%c", 0xc0 | code >> 6, 0x80 | (code & 63));
    return out;
}

struct words {
    struct arena arena;
    const char **tokens, **merges;
    size_t n, n_merges, most;
};

/* The word `left right`; false when the vocabulary is full. */
static bool add_word(struct words *v, const char *left, const char *right)
{
    if (v->n == v->most)
        return false;
    v->merges[v->n_merges++] = arena_printf(&v->arena, "%s %s", left, right);
    v->tokens[v->n++] = arena_printf(&v->arena, "%s%s", left, right);
    return true;
}

/* All words of `length` letters behind `space`: one letter more than those before, and from four on
 * two. `at` counts them. */
static void add_words(struct words *v, const char *space, int length)
{
    long count = 1;
    for (int i = 0; i < length; i++)
        count *= 26;
    for (long i = 0; i < count; i++) {
        char letters[8] = "", left[16], right[8];
        long rest = i;
        int tail = length > 3 ? 2 : 1;
        for (int j = length - 1; j >= 0; j--, rest /= 26)
            letters[j] = (char)('a' + rest % 26);
        letters[length] = '\0';
        snprintf(left, sizeof(left), "%s%.*s", space, length - tail, letters);
        snprintf(right, sizeof(right), "%s", letters + length - tail);
        if (!add_word(v, left, right))
            return;
    }
}

static void put_vocabulary(struct gguf_writer *w, const struct model *m)
{
    size_t n = (size_t)m->vocabulary;
    struct words v = {.tokens = mem_alloc(n * sizeof(char *)),
                      .merges = mem_alloc(n * sizeof(char *)),
                      .most = n - SPECIALS};
    int32_t *types = mem_alloc(n * sizeof(*types));
    char text[4];
    for (int i = 0; i < 256; i++)
        v.tokens[v.n++] = arena_printf(&v.arena, "%s", byte_text(i, text));
    const char *space = arena_printf(&v.arena, "%s", byte_text(' ', text));
    add_words(&v, space, 1);
    for (int length = 2; length <= 4; length++) {
        add_words(&v, "", length);
        if (length < 4)
            add_words(&v, space, length);
    }
    for (size_t i = 0; i < n; i++)
        types[i] = i < v.n ? 1 : 3; /* normal, control */
    for (int i = 0; i < SPECIALS; i++)
        v.tokens[v.n++] = i == 0   ? "<|begin_of_text|>"
                          : i == 9 ? "<|eot_id|>"
                                   : arena_printf(&v.arena, "<|reserved_special_token_%d|>", i);
    gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_str(w, "tokenizer.ggml.pre", "llama-bpe");
    gguf_put_strs(w, "tokenizer.ggml.tokens", v.tokens, v.n);
    put_numbers(w, "tokenizer.ggml.token_type", GGUF_I32, true, types, v.n);
    gguf_put_strs(w, "tokenizer.ggml.merges", v.merges, v.n_merges);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)v.most);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)v.most + 9);
    arena_release(&v.arena);
    free(v.tokens);
    free(v.merges);
    free(types);
}

static void put_values(struct gguf_writer *w, const struct model *m, const struct mix *x)
{
    const float eps = 1e-5f, base = 500000;
    gguf_put_str(w, "general.architecture", "llama");
    gguf_put_str(w, "general.name", m->name);
    gguf_put_u32(w, "general.file_type", x->file_type);
    gguf_put_u32(w, "llama.block_count", (uint32_t)m->layers);
    gguf_put_u32(w, "llama.context_length", 131072);
    gguf_put_u32(w, "llama.embedding_length", (uint32_t)m->width);
    gguf_put_u32(w, "llama.feed_forward_length", (uint32_t)m->hidden);
    gguf_put_u32(w, "llama.attention.head_count", (uint32_t)m->heads);
    gguf_put_u32(w, "llama.attention.head_count_kv", (uint32_t)m->heads_kv);
    gguf_put_u32(w, "llama.rope.dimension_count", (uint32_t)m->width / (uint32_t)m->heads);
    gguf_put_u32(w, "llama.vocab_size", (uint32_t)m->vocabulary);
    put_numbers(w, "llama.attention.layer_norm_rms_epsilon", GGUF_F32, false, &eps, 1);
    put_numbers(w, "llama.rope.freq_base", GGUF_F32, false, &base, 1);
    put_vocabulary(w, m);
}

static int write_model(const struct model *m, const struct mix *x, const char *path, struct err *e)
{
    struct list *l = mem_alloc(sizeof(*l));
    unsigned char *piece = mem_alloc(PIECE);
    struct gguf_writer w;
    struct file_writer f = {0};
    gguf_writer_init(&w);
    add_model(l, m, x);
    put_values(&w, m, x);
    int rc = file_writer_open(&f, path, e);
    for (size_t i = 0; i < l->n && !rc; i++)
        rc = gguf_put_tensor(&w, &l->tensors[i], e);
    if (!rc)
        rc = gguf_write_header(&w, &f, e);
    for (size_t i = 0; i < l->n && !rc; i++)
        write_tensor(&w, &f, &l->tensors[i], piece);
    if (!rc)
        rc = file_writer_commit(&f, e);
    else
        file_writer_abort(&f);
    gguf_writer_release(&w);
    free(piece);
    free(l);
    return rc;
}

static int usage(void)
{
    fputs("usage: random_gguf MODEL TYPE OUT\n  models:", stderr);
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        fprintf(stderr, " %s", models[i].name);
    fputs("\n  types:", stderr);
    for (size_t i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++)
        fprintf(stderr, " %s", mixes[i].name);
    fputs("\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    const struct model *m = NULL;
    const struct mix *x = NULL;
    struct err e = {0};
    if (argc != 4)
        return usage();
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        if (strcmp(models[i].name, argv[1]) == 0)
            m = &models[i];
    for (size_t i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++)
        if (strcmp(mixes[i].name, argv[2]) == 0)
            x = &mixes[i];
    if (!m || !x)
        return usage();
    if (write_model(m, x, argv[3], &e)) {
        fprintf(stderr, "random_gguf: %s\n", e.text);
        return 1;
    }
    return 0;
}
