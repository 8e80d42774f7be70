/* convert.c - see convert.h. The tensors are listed with their new types, the header is written,
 * then every tensor goes through a buffer of floats, piece by piece. */
#include "format/convert.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/vocab_file.h"
#include "format/weights.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE   ((int64_t)1 << 18) /* elements converted at a time, a multiple of every block */
#define F16_MAX 65504.0f

/* One tensor: `to` describes what is written, its data is what is read. */
struct item {
    struct file_tensor to;
    enum dtype from;
    size_t from_size;
    size_t order; /* in the source */
};

struct job {
    const struct checkpoint *c;
    const struct convert_options *o;
    struct item *items;
    size_t n;
    bool gguf;
    uint64_t done, total; /* bytes of tensors */
    struct file_writer file;
    struct gguf_writer writer;
    float *floats; /* [PIECE] */
    unsigned char *bytes;
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* What takes the place of a type with blocks of 256 where rows are no multiple of that, as in
 * llama.cpp's tools. */
static enum dtype smaller_block(enum dtype type)
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

enum dtype convert_type(const char *name, enum dtype from, int n_dim, const int64_t *dim,
                        enum dtype to)
{
    if (to == DTYPE_OTHER || !dtype_is_float(from))
        return from;
    if (dtype_block(to) == 1)
        return to;
    if (n_dim == 2 && !strstr(name, "position") && !ends_with(name, "text_projection")) {
        if (dim[1] % dtype_block(to) == 0)
            return to;
        if (dim[1] % dtype_block(smaller_block(to)) == 0)
            return smaller_block(to);
    }
    return from == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F16;
}

static int64_t count(const struct file_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->n_dim; i++)
        n *= t->dim[i];
    return n;
}

/* Sets the new type of a tensor whose `to` still describes the source. */
static int plan(struct job *j, struct item *item, struct err *e)
{
    struct file_tensor *t = &item->to;
    item->from = t->type;
    item->from_size = t->size;
    t->type = convert_type(t->name, t->type, t->n_dim, t->dim, j->o->type);
    if (dtype_block(t->type) > 1 && !j->gguf && j->o->type == DTYPE_OTHER)
        t->type = DTYPE_F16;
    if (t->type != item->from) {
        t->size = dtype_row_size(t->type, count(t));
        t->type_name = dtype_name(t->type);
        if (dtype_safetensors(t->type))
            t->type_name = dtype_safetensors(t->type);
    }
    j->total += t->size;
    if (j->gguf ? gguf_knows(t) : safetensors_knows(t))
        return 0;
    return err_set(e, ERR_UNSUPPORTED, "tensor %s: its type %s cannot be stored in a %s file",
                   t->name, t->type_name, j->gguf ? "GGUF" : "safetensors");
}

static int alloc_items(struct job *j, size_t n, struct err *e)
{
    j->items = mem_try_array(n, sizeof(*j->items), "the list of tensors", e);
    return j->items ? 0 : ERR_NOMEM;
}

/* Diffusers' names, with their components. */
static int list_canonical(struct job *j, struct err *e)
{
    size_t n = checkpoint_n(j->c);
    int rc = alloc_items(j, n, e);
    for (size_t i = 0; !rc && i < n; i++) {
        const struct ckpt_tensor *t = checkpoint_at(j->c, i);
        struct item *item = &j->items[j->n++];
        item->order = i;
        item->to = (struct file_tensor){.name = t->name,
                                        .type = t->type,
                                        .type_name = t->type_name,
                                        .n_dim = t->n_dim,
                                        .data = t->data,
                                        .size = t->size};
        memcpy(item->to.dim, t->dim, sizeof(t->dim));
        rc = plan(j, item, e);
    }
    return rc;
}

/* The names in the files. */
static int list_own(struct job *j, struct err *e)
{
    const struct weights *w = checkpoint_weights(j->c);
    size_t total = 0, n;
    for (size_t i = 0; i < w->n_files; i++) {
        weight_file_tensors(w->files[i], &n);
        total += n;
    }
    int rc = alloc_items(j, total, e);
    for (size_t i = 0; !rc && i < w->n_files; i++) {
        const struct file_tensor *t = weight_file_tensors(w->files[i], &n);
        for (size_t k = 0; !rc && k < n; k++) {
            struct item *item = &j->items[j->n++];
            item->order = j->n;
            item->to = t[k];
            rc = plan(j, item, e);
        }
    }
    return rc;
}

static size_t alignment(const struct item *item)
{
    size_t size = dtype_row_size(item->to.type, dtype_block(item->to.type));
    return item->to.type == DTYPE_OTHER ? 8 : size;
}

/* Wide elements first, so that every safetensors tensor is aligned to its elements. */
static int by_alignment(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (alignment(x) != alignment(y))
        return alignment(x) > alignment(y) ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* ---- headers ---- */

static const char *const config_names[] = {"scheduler",   "text_encoder", "text_encoder_2",
                                           "transformer", "unet",         "vae"};

#define N_CONFIGS (sizeof(config_names) / sizeof(config_names[0]))

/* Metadata that a conversion writes itself, or that describes the old file's layout. */
static bool is_replaced(const char *key)
{
    static const char *const keys[] = {"general.architecture",
                                       "general.name",
                                       "general.alignment",
                                       "general.file_type",
                                       "format",
                                       "lar.model_index",
                                       CLIP_VOCAB_META,
                                       "lar.tokenizer_2.padding_token_id"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return strncmp(key, GGUF_SHAPE_KEY, strlen(GGUF_SHAPE_KEY)) == 0 ||
           strncmp(key, "lar.config.", 11) == 0 || strncmp(key, "tokenizer.ggml.", 15) == 0;
}

static const char *architecture(const struct checkpoint *c)
{
    static const char *const names[] = {[CKPT_DIFFUSERS] = "diffusers",
                                        [CKPT_LDM] = "ldm",
                                        [CKPT_TAESD] = "taesd",
                                        [CKPT_OTHER] = "unknown"};
    const char *old = checkpoint_meta(c, "general.architecture");
    return old && checkpoint_layout(c) == CKPT_OTHER ? old : names[checkpoint_layout(c)];
}

/* The file's or folder's name without its ending; heap. */
static char *model_name(const struct checkpoint *c)
{
    const char *old = checkpoint_meta(c, "general.name");
    if (old)
        return mem_strdup(old);
    const char *path = checkpoint_path(c);
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    char *name = mem_strndup(path + begin, end - begin), *dot = strrchr(name, '.');
    if (dot && dot != name && !file_is_dir(path))
        *dot = 0;
    return name;
}

/* ggml's number for "mostly this type". */
static uint32_t file_type(enum dtype type)
{
    static const unsigned char numbers[] = {
        [DTYPE_F32] = 0,   [DTYPE_F16] = 1,     [DTYPE_BF16] = 32,   [DTYPE_Q4_0] = 2,
        [DTYPE_Q4_1] = 3,  [DTYPE_Q5_0] = 8,    [DTYPE_Q5_1] = 9,    [DTYPE_Q8_0] = 7,
        [DTYPE_Q2_K] = 10, [DTYPE_Q3_K] = 12,   [DTYPE_Q4_K] = 15,   [DTYPE_Q5_K] = 17,
        [DTYPE_Q6_K] = 18, [DTYPE_IQ4_NL] = 25, [DTYPE_IQ4_XS] = 30, [DTYPE_MXFP4] = 38};
    return numbers[type];
}

/* The tokenizer's keys; a GGUF file whose tokenizer is not CLIP's keeps its own. */
static void put_vocab(struct job *j)
{
    const struct ckpt_vocab *v = checkpoint_vocab(j->c, "tokenizer");
    const struct ckpt_vocab *second = checkpoint_vocab(j->c, "tokenizer_2");
    struct gguf_writer *w = &j->writer;
    v = v ? v : second;
    if (!v)
        return;
    gguf_put_str(w, "tokenizer.ggml.model", "clip");
    gguf_put_strs(w, "tokenizer.ggml.tokens", v->tokens, v->n_tokens);
    gguf_put_strs(w, "tokenizer.ggml.merges", v->merges, v->n_merges);
    if (v->bos >= 0)
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)v->bos);
    if (v->eos >= 0)
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)v->eos);
    if (v->pad >= 0)
        gguf_put_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)v->pad);
    if (second && second->pad >= 0)
        gguf_put_u32(w, "lar.tokenizer_2.padding_token_id", (uint32_t)second->pad);
}

/* Values of the source that the conversion does not write itself; safetensors has strings only. */
static void put_old_values(struct job *j)
{
    const struct weight_file *f = checkpoint_weights(j->c)->files[0];
    bool clip = checkpoint_vocab(j->c, "tokenizer") != NULL;
    for (size_t i = 0; f->is_gguf && i < f->gguf.n_values; i++) {
        const struct gguf_value *v = &f->gguf.values[i];
        if (!is_replaced(v->key) || (!clip && strncmp(v->key, "tokenizer.", 10) == 0))
            gguf_put_value(&j->writer, v);
    }
    for (size_t i = 0; !f->is_gguf && i < f->st.meta.cap; i++) {
        const struct map_slot *s = &f->st.meta.slots[i];
        if (s->key && !is_replaced(s->key))
            gguf_put_str(&j->writer, s->key, s->value);
    }
}

static int write_gguf_header(struct job *j, struct err *e)
{
    struct gguf_writer *w = &j->writer;
    char *name = model_name(j->c);
    const char *index = checkpoint_config(j->c, "model_index");
    int rc = 0;
    gguf_writer_init(w);
    gguf_put_str(w, "general.architecture", architecture(j->c));
    gguf_put_str(w, "general.name", name);
    free(name);
    if (j->o->type != DTYPE_OTHER)
        gguf_put_u32(w, "general.file_type", file_type(j->o->type));
    put_old_values(j);
    if (index)
        gguf_put_str(w, "lar.model_index", index);
    for (size_t i = 0; i < N_CONFIGS; i++) {
        const char *text = checkpoint_config(j->c, config_names[i]);
        char *key = mem_printf("lar.config.%s", config_names[i]);
        if (text)
            gguf_put_str(w, key, text);
        free(key);
    }
    put_vocab(j);
    for (size_t i = 0; !rc && i < j->n; i++)
        rc = gguf_put_tensor(w, &j->items[i].to, e);
    return rc ? rc : gguf_write_header(w, &j->file, e);
}

/* Pairs of key and value; both are owned. */
struct pairs {
    char **v;
    size_t n;
};

static void pairs_add(struct pairs *p, const char *key, const char *value)
{
    p->v = mem_realloc(p->v, (p->n + 3) * sizeof(*p->v));
    p->v[p->n++] = mem_strdup(key);
    p->v[p->n++] = mem_strdup(value);
    p->v[p->n] = NULL;
}

static void pairs_release(struct pairs *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i]);
    free(p->v);
}

static void add_old_texts(struct job *j, struct pairs *p)
{
    const struct weight_file *f = checkpoint_weights(j->c)->files[0];
    for (size_t i = 0; f->is_gguf && i < f->gguf.n_values; i++)
        if (f->gguf.values[i].text && !is_replaced(f->gguf.values[i].key))
            pairs_add(p, f->gguf.values[i].key, f->gguf.values[i].text);
    for (size_t i = 0; !f->is_gguf && i < f->st.meta.cap; i++)
        if (f->st.meta.slots[i].key && !is_replaced(f->st.meta.slots[i].key))
            pairs_add(p, f->st.meta.slots[i].key, f->st.meta.slots[i].value);
}

static int write_safetensors_header(struct job *j, struct err *e)
{
    const struct ckpt_vocab *v = checkpoint_vocab(j->c, "tokenizer");
    const struct ckpt_vocab *second = checkpoint_vocab(j->c, "tokenizer_2");
    const char *index = checkpoint_config(j->c, "model_index");
    struct pairs p = {0};
    pairs_add(&p, "format", "pt");
    add_old_texts(j, &p);
    if (index)
        pairs_add(&p, "lar.model_index", index);
    for (size_t i = 0; i < N_CONFIGS; i++) {
        const char *text = checkpoint_config(j->c, config_names[i]);
        char *key = mem_printf("lar.config.%s", config_names[i]);
        if (text)
            pairs_add(&p, key, text);
        free(key);
    }
    if (v || second) {
        char *text = vocab_file_write_text(v ? v : second, second);
        if (text)
            pairs_add(&p, CLIP_VOCAB_META, text);
        free(text);
    }
    struct file_tensor *list = mem_try_array(j->n, sizeof(*list), "the list of tensors", e);
    int rc = list ? 0 : ERR_NOMEM;
    for (size_t i = 0; list && i < j->n; i++)
        list[i] = j->items[i].to;
    if (!rc)
        rc = safetensors_write_header(&j->file, list, j->n, (const char *const *)p.v, e);
    free(list);
    pairs_release(&p);
    return rc;
}

/* ---- tensors ---- */

static void write_bytes(struct job *j, const void *data, size_t n)
{
    if (j->gguf)
        gguf_write(&j->writer, &j->file, data, n);
    else
        file_writer_write(&j->file, data, n);
    j->done += n;
}

static int tell(struct job *j, struct err *e)
{
    if (j->o->progress && !j->o->progress(j->o->ctx, j->done, j->total))
        return err_set(e, ERR_CANCELLED, "cancelled");
    return 0;
}

static int check_values(const struct item *item, const float *x, int64_t n, struct err *e)
{
    float most = 0;
    bool bad = false;
    for (int64_t i = 0; i < n; i++) {
        bad |= !isfinite(x[i]);
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    }
    if (bad)
        return err_set(e, ERR_NUMERIC, "tensor %s holds a NaN or an infinity; the file is damaged",
                       item->to.name);
    if (item->to.type == DTYPE_F16 && most > F16_MAX)
        return err_set(e, ERR_NUMERIC,
                       "tensor %s holds values up to %g, beyond F16's range; use bf16 or f32",
                       item->to.name, (double)most);
    return 0;
}

/* What the file writer noticed need not wait until the end. */
static int write_tensor(struct job *j, const struct item *item, struct err *e)
{
    const unsigned char *src = item->to.data;
    int rc = 0;
    if (item->from == item->to.type) {
        const size_t piece = (size_t)PIECE * sizeof(float);
        for (size_t at = 0; !rc && !j->file.failed && at < item->from_size; at += piece) {
            size_t left = item->from_size - at;
            write_bytes(j, src + at, left < piece ? left : piece);
            rc = tell(j, e);
        }
        return rc;
    }
    int64_t n = count(&item->to);
    for (int64_t at = 0; !rc && !j->file.failed && at < n; at += PIECE) {
        int64_t len = n - at < PIECE ? n - at : PIECE;
        quant_to_f32(item->from, src + dtype_row_size(item->from, at), j->floats, len);
        rc = check_values(item, j->floats, len, e);
        if (rc)
            break;
        quant_from_f32(item->to.type, j->floats, j->bytes, len);
        write_bytes(j, j->bytes, dtype_row_size(item->to.type, len));
        rc = tell(j, e);
    }
    return rc;
}

static int write_all(struct job *j, struct err *e)
{
    int rc = j->gguf ? write_gguf_header(j, e) : write_safetensors_header(j, e);
    for (size_t i = 0; !rc && !j->file.failed && i < j->n; i++) {
        rc = write_tensor(j, &j->items[i], e);
        if (j->gguf)
            gguf_write_end(&j->writer, &j->file);
    }
    return rc;
}

static int check_out(struct job *j, const char *out, struct err *e)
{
    j->gguf = ends_with(out, ".gguf");
    if (!j->gguf && !ends_with(out, ".safetensors"))
        return err_set(e, ERR_ARG, "%s: name a file that ends in .gguf or .safetensors", out);
    if (!j->gguf && j->o->type != DTYPE_OTHER && !dtype_safetensors(j->o->type))
        return err_set(e, ERR_ARG, "%s: safetensors has no type %s; write a .gguf file", out,
                       dtype_name(j->o->type));
    return 0;
}

int convert_checkpoint(const struct checkpoint *c, const char *out, const struct convert_options *o,
                       struct err *e)
{
    struct job j = {.c = c, .o = o};
    int rc = check_out(&j, out, e);
    if (!rc)
        rc = checkpoint_layout(c) == CKPT_DIFFUSERS ? list_canonical(&j, e) : list_own(&j, e);
    if (rc)
        goto done;
    if (!j.gguf)
        qsort(j.items, j.n, sizeof(*j.items), by_alignment);
    j.floats = mem_try_array((size_t)PIECE, sizeof(*j.floats), "converting", e);
    j.bytes = j.floats ? mem_try_array((size_t)PIECE, sizeof(float), "converting", e) : NULL;
    rc = j.bytes ? file_writer_open(&j.file, out, e) : ERR_NOMEM;
    if (!rc)
        rc = write_all(&j, e);
    if (!rc)
        rc = file_writer_commit(&j.file, e);
done:
    file_writer_abort(&j.file);
    gguf_writer_release(&j.writer);
    free(j.items);
    free(j.floats);
    free(j.bytes);
    return rc;
}
