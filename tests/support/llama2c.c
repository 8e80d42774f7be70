/* llama2c.c - see llama2c.h. */
#include "support/llama2c.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/file.h"
#include "format/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 30)
#define HEADER   (7 * sizeof(int32_t))

struct shape {
    int32_t dim, hidden, layers, heads, heads_kv, vocabulary, context;
};

struct work {
    struct arena arena;
    struct shape s;
    const char *at, *end; /* of the weights */
    struct gguf_writer w;
    struct file_tensor *tensors;
    size_t n;
};

static void add(struct work *w, const char *name, int64_t rows, int64_t cols)
{
    struct file_tensor *t = &w->tensors[w->n++];
    *t = (struct file_tensor){.type = DTYPE_F32, .n_dim = rows ? 2 : 1};
    t->name = arena_strdup(&w->arena, name);
    t->dim[0] = rows ? rows : cols;
    t->dim[1] = rows ? cols : 1;
    t->size = (size_t)(t->dim[0] * t->dim[1]) * sizeof(float);
    t->data = (const unsigned char *)w->at;
    w->at += t->size;
}

/* One kind of weight of all layers. */
static void add_layers(struct work *w, const char *stem, int64_t rows, int64_t cols)
{
    char name[64];
    for (int i = 0; i < w->s.layers; i++) {
        snprintf(name, sizeof(name), "blk.%d.%s.weight", i, stem);
        add(w, name, rows, cols);
    }
}

static int read_model(struct work *w, const char *data, size_t n, struct err *e)
{
    struct shape *s = &w->s;
    if (n < HEADER)
        return err_set(e, ERR_FORMAT, "too short for a model of llama2.c");
    memcpy(s, data, HEADER);
    bool own_head = s->vocabulary < 0;
    s->vocabulary = abs(s->vocabulary);
    if (s->dim < 1 || s->hidden < 1 || s->layers < 1 || s->heads < 1 || s->heads_kv < 1 ||
        s->dim > 65536 || s->hidden > 65536 || s->layers > 1024 || s->dim % s->heads ||
        s->heads % s->heads_kv || s->vocabulary < 1 || s->context < 1)
        return err_set(e, ERR_FORMAT, "no model of llama2.c: its header makes no sense");
    int64_t dim = s->dim, kv = dim / s->heads * s->heads_kv, hidden = s->hidden;
    int64_t head = s->vocabulary * dim, waves = (int64_t)s->context * (dim / s->heads);
    int64_t layer = dim * (2 + 2 * dim + 2 * kv + 3 * hidden);
    int64_t all = head + s->layers * layer + dim + waves + (own_head ? head : 0);
    if ((uint64_t)all != (n - HEADER) / sizeof(float))
        return err_set(e, ERR_FORMAT, "no model of llama2.c: %zu bytes do not fit its header", n);
    w->at = data + HEADER;
    w->tensors = arena_alloc(&w->arena, (size_t)(9 * s->layers + 3) * sizeof(*w->tensors));
    add(w, "token_embd.weight", s->vocabulary, dim);
    add_layers(w, "attn_norm", 0, dim);
    add_layers(w, "attn_q", dim, dim); /* rotated in neighbouring pairs, as GGUF has it */
    add_layers(w, "attn_k", kv, dim);
    add_layers(w, "attn_v", kv, dim);
    add_layers(w, "attn_output", dim, dim);
    add_layers(w, "ffn_norm", 0, dim);
    add_layers(w, "ffn_gate", hidden, dim);
    add_layers(w, "ffn_down", dim, hidden);
    add_layers(w, "ffn_up", hidden, dim);
    add(w, "output_norm.weight", 0, dim);
    w->at += (size_t)waves * sizeof(float); /* tables of the rotations */
    if (own_head)
        add(w, "output.weight", s->vocabulary, dim);
    return 0;
}

static void put_meta(struct work *w)
{
    const struct shape *s = &w->s;
    float eps = 1e-5f;
    struct gguf_value v = {.key = "llama.attention.layer_norm_rms_epsilon",
                           .type = GGUF_F32,
                           .n = 1,
                           .data = (const unsigned char *)&eps,
                           .size = sizeof(eps)};
    gguf_put_str(&w->w, "general.architecture", "llama");
    gguf_put_u32(&w->w, "llama.block_count", (uint32_t)s->layers);
    gguf_put_u32(&w->w, "llama.context_length", (uint32_t)s->context);
    gguf_put_u32(&w->w, "llama.embedding_length", (uint32_t)s->dim);
    gguf_put_u32(&w->w, "llama.feed_forward_length", (uint32_t)s->hidden);
    gguf_put_u32(&w->w, "llama.attention.head_count", (uint32_t)s->heads);
    gguf_put_u32(&w->w, "llama.attention.head_count_kv", (uint32_t)s->heads_kv);
    gguf_put_value(&w->w, &v);
}

/* SentencePiece's spelling: U+2581 for blanks; BOS and EOS without llama2.c's line breaks. */
static const char *spelling(struct work *w, int id, const char *text, size_t n)
{
    static const char *const first[] = {"<unk>", "<s>", "</s>"};
    if (id < 3)
        return first[id];
    char *out = arena_alloc(&w->arena, 3 * n + 1), *to = out;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ')
            to = (char *)memcpy(to, "\xe2\x96\x81", 3) + 3;
        else
            *to++ = text[i];
    }
    return out;
}

/* llama.cpp's enum of token types. */
static int32_t type_of(int id, const char *text)
{
    unsigned byte;
    enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, BYTE = 6 };
    if (id < 3)
        return id ? CONTROL : UNKNOWN;
    return strlen(text) == 6 && sscanf(text, "<0x%02X>", &byte) == 1 ? BYTE : NORMAL;
}

static int put_tokens(struct work *w, const char *p, size_t n, struct err *e)
{
    size_t count = (size_t)w->s.vocabulary;
    const char **texts = arena_alloc(&w->arena, count * sizeof(*texts)), *end = p + n;
    float *scores = arena_alloc(&w->arena, count * sizeof(*scores));
    int32_t *types = arena_alloc(&w->arena, count * sizeof(*types)), length;
    p += n < 4 ? n : 4;
    for (size_t i = 0; i < count; i++) {
        if (end - p < 8)
            return err_set(e, ERR_FORMAT, "no tokenizer of llama2.c: it has %zu of %zu tokens", i,
                           count);
        memcpy(&scores[i], p, 4);
        memcpy(&length, p + 4, 4);
        p += 8;
        if (length < 0 || length > end - p)
            return err_set(e, ERR_FORMAT, "no tokenizer of llama2.c: token %zu is cut off", i);
        texts[i] = spelling(w, (int)i, p, (size_t)length);
        types[i] = type_of((int)i, texts[i]);
        p += length;
    }
    struct gguf_value v = {.key = "tokenizer.ggml.scores",
                           .type = GGUF_F32,
                           .array = true,
                           .n = count,
                           .data = (const unsigned char *)scores,
                           .size = count * sizeof(*scores)};
    gguf_put_str(&w->w, "tokenizer.ggml.model", "llama");
    gguf_put_strs(&w->w, "tokenizer.ggml.tokens", texts, count);
    gguf_put_value(&w->w, &v);
    v.key = "tokenizer.ggml.token_type";
    v.type = GGUF_I32;
    v.data = (const unsigned char *)types;
    gguf_put_value(&w->w, &v);
    gguf_put_u32(&w->w, "tokenizer.ggml.bos_token_id", 1);
    gguf_put_u32(&w->w, "tokenizer.ggml.eos_token_id", 2);
    return 0;
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

int llama2c_convert(const char *model, const char *tokenizer, const char *out, struct err *e)
{
    struct work w = {0};
    char *data = NULL, *tokens = NULL;
    size_t n, n_tokens;
    gguf_writer_init(&w.w);
    int rc = file_read(model, MAX_FILE, &data, &n, e);
    if (!rc && (rc = read_model(&w, data, n, e)))
        err_prefix(e, "%s", model);
    if (!rc)
        rc = file_read(tokenizer, MAX_FILE, &tokens, &n_tokens, e);
    if (!rc) {
        put_meta(&w);
        if ((rc = put_tokens(&w, tokens, n_tokens, e)))
            err_prefix(e, "%s", tokenizer);
    }
    if (!rc)
        rc = write_all(&w, out, e);
    gguf_writer_release(&w.w);
    arena_release(&w.arena);
    free(tokens);
    free(data);
    return rc;
}
