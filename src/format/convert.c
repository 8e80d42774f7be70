/* convert.c - see convert.h. The tensors are listed with their new types, the header is written,
 * then every tensor goes through a buffer of floats, piece by piece. */
#include "format/convert.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include "format/checkpoint.h"
#include "format/convert_meta.h"
#include "format/language_gguf.h"
#include "format/mix.h"
#include "format/weights.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE   ((int64_t)1 << 20) /* elements converted at a time, a multiple of CHUNK */
#define F16_MAX 65504.0f

/* One tensor: `to` describes what is written, its data is what is read. */
struct item {
    struct file_tensor to;
    enum dtype from;
    size_t from_size;
    size_t order;                       /* in the source */
    const struct language_tensor *made; /* its bytes are made when it is written; or NULL */
};

struct job {
    const struct checkpoint *c;
    const struct convert_options *o;
    const struct mix *mix; /* NULL keeps the types */
    bool is_language;
    struct mix_model model;        /* if is_language */
    struct language_gguf language; /* of a Hugging Face folder */
    struct item *items;
    size_t n;
    bool gguf;
    uint64_t done, total; /* bytes of tensors */
    struct file_writer file;
    struct gguf_writer writer;
    struct pool *pool;
    float *floats;        /* [workers][CHUNK] */
    unsigned char *bytes; /* of PIECE elements */
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
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
        if (dim[1] % dtype_block(mix_smaller_block(to)) == 0)
            return mix_smaller_block(to);
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

/* The type for a tensor of a language model. Norms, biases and the like are wanted in F32, which
 * holds what is in 16 bits. */
static enum dtype language_type(const struct job *j, const struct file_tensor *t)
{
    if (mix_takes(t))
        return j->mix ? mix_type(j->mix, &j->model, t) : t->type;
    return t->type == DTYPE_F16 || t->type == DTYPE_BF16 ? DTYPE_F32 : t->type;
}

/* Sets the new type of a tensor whose `to` still describes the source. */
static int plan(struct job *j, struct item *item, struct err *e)
{
    struct file_tensor *t = &item->to;
    item->from = t->type;
    item->from_size = t->size;
    t->type = j->is_language ? language_type(j, t)
                             : convert_type(t->name, t->type, t->n_dim, t->dim, j->o->type);
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

/* Does it hold a language model, with the names that GGUF files have? */
static bool is_language(const struct checkpoint *c)
{
    return checkpoint_language(c) && checkpoint_find(c, "token_embd.weight");
}

static int list_language(struct job *j, struct err *e)
{
    j->is_language = true;
    convert_meta_model(j->c, &j->model);
    if (!checkpoint_is_huggingface(j->c) || !j->gguf)
        return list_canonical(j, e);
    int rc = language_gguf_list(&j->language, j->c, e);
    rc = rc ? rc : alloc_items(j, j->language.n, e);
    for (size_t i = 0; !rc && i < j->language.n; i++) {
        const struct language_tensor *t = &j->language.tensors[i];
        struct item *item = &j->items[j->n++];
        item->order = i;
        item->to = t->t;
        item->made = t->changed ? t : NULL;
        rc = plan(j, item, e);
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

/* Elements that one thread converts at a time: a multiple of every block. */
#define CHUNK ((int64_t)1 << 14)

/* PIECE elements of a tensor on their way: each chunk is read, checked and written by one thread.
 */
struct piece {
    const struct item *item;
    const unsigned char *src; /* of its first element */
    int64_t n;
    float *floats;        /* [workers][CHUNK] */
    unsigned char *bytes; /* what is written */
    bool bad[PIECE / CHUNK];
    float most[PIECE / CHUNK]; /* the largest magnitude */
};

static void convert_chunk(struct piece *p, int64_t at, int64_t n, float *x)
{
    enum dtype from = p->item->from, to = p->item->to.type;
    float most = 0;
    bool bad = false;
    quant_to_f32(from, p->src + dtype_row_size(from, at), x, n);
    for (int64_t i = 0; i < n; i++) {
        bad |= !isfinite(x[i]);
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    }
    p->bad[at / CHUNK] = bad;
    p->most[at / CHUNK] = most;
    quant_from_f32(to, x, p->bytes + dtype_row_size(to, at), n);
}

static void convert_chunks(long begin, long end, int worker, void *ctx)
{
    struct piece *p = ctx;
    for (int64_t at = begin * CHUNK; at < end * CHUNK && at < p->n; at += CHUNK)
        convert_chunk(p, at, p->n - at < CHUNK ? p->n - at : CHUNK, p->floats + worker * CHUNK);
}

static int check_values(const struct piece *p, struct err *e)
{
    const struct file_tensor *t = &p->item->to;
    for (int64_t i = 0; i * CHUNK < p->n; i++) {
        if (p->bad[i])
            return err_set(e, ERR_NUMERIC,
                           "tensor %s holds a NaN or an infinity; the file is damaged", t->name);
        if (t->type == DTYPE_F16 && p->most[i] > F16_MAX)
            return err_set(e, ERR_NUMERIC,
                           "tensor %s holds values up to %g, beyond F16's range; use bf16 or f32",
                           t->name, (double)p->most[i]);
    }
    return 0;
}

static int copy_tensor(struct job *j, const struct item *item, const unsigned char *src,
                       struct err *e)
{
    const size_t piece = (size_t)PIECE * sizeof(float);
    int rc = 0;
    for (size_t at = 0; !rc && !j->file.failed && at < item->from_size; at += piece) {
        size_t left = item->from_size - at;
        write_bytes(j, src + at, left < piece ? left : piece);
        rc = tell(j, e);
    }
    return rc;
}

/* What the file writer noticed need not wait until the end. */
static int convert_tensor(struct job *j, const struct item *item, const unsigned char *src,
                          struct err *e)
{
    if (item->from == item->to.type)
        return copy_tensor(j, item, src, e);
    struct piece p = {.item = item, .floats = j->floats, .bytes = j->bytes};
    int64_t n = count(&item->to);
    int rc = 0;
    for (int64_t at = 0; !rc && !j->file.failed && at < n; at += PIECE) {
        p.n = n - at < PIECE ? n - at : PIECE;
        p.src = src + dtype_row_size(item->from, at);
        parallel_for(j->pool, (long)((p.n + CHUNK - 1) / CHUNK), 1, convert_chunks, &p);
        rc = check_values(&p, e);
        if (rc)
            break;
        write_bytes(j, j->bytes, dtype_row_size(item->to.type, p.n));
        rc = tell(j, e);
    }
    return rc;
}

static int write_tensor(struct job *j, const struct item *item, struct err *e)
{
    unsigned char *made = NULL;
    int rc = item->made ? language_gguf_make(item->made, &made, e) : 0;
    if (!rc)
        rc = convert_tensor(j, item, made ? made : item->to.data, e);
    free(made);
    return rc;
}

/* What a language model is already, by its token embeddings. */
static const struct mix *present_mix(const struct job *j)
{
    const struct ckpt_tensor *t = j->is_language ? checkpoint_find(j->c, "token_embd.weight")
                                                 : NULL;
    return t && checkpoint_is_huggingface(j->c) ? mix_of_type(t->type) : NULL;
}

static int write_header(struct job *j, struct err *e)
{
    int rc = 0;
    if (j->gguf) {
        gguf_writer_init(&j->writer);
        convert_meta_gguf(j->c, j->mix ? j->mix : present_mix(j), &j->writer);
        if (j->o->describe)
            rc = j->o->describe(j->o->ctx, &j->writer, e);
        for (size_t i = 0; !rc && i < j->n; i++)
            rc = gguf_put_tensor(&j->writer, &j->items[i].to, e);
        return rc ? rc : gguf_write_header(&j->writer, &j->file, e);
    }
    struct file_tensor *list = mem_try_array(j->n, sizeof(*list), "the list of tensors", e);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < j->n; i++)
        list[i] = j->items[i].to;
    char **texts = convert_meta_texts(j->c);
    rc = safetensors_write_header(&j->file, list, j->n, (const char *const *)texts, e);
    convert_meta_texts_free(texts);
    free(list);
    return rc;
}

static int write_all(struct job *j, struct err *e)
{
    int rc = write_header(j, e);
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

static int alloc_buffers(struct job *j, struct err *e)
{
    j->pool = pool_new(j->o->n_threads);
    size_t floats = (size_t)CHUNK * (size_t)pool_size(j->pool);
    j->floats = mem_try_array(floats, sizeof(*j->floats), "converting", e);
    j->bytes = j->floats ? mem_try_array((size_t)PIECE, sizeof(float), "converting", e) : NULL;
    return j->bytes ? 0 : ERR_NOMEM;
}

int convert_checkpoint(const struct checkpoint *c, const char *out, const struct convert_options *o,
                       struct err *e)
{
    struct job j = {.c = c, .o = o, .mix = o->mix ? o->mix : mix_of_type(o->type)};
    int rc = check_out(&j, out, e);
    if (!rc && is_language(c))
        rc = list_language(&j, e);
    else if (!rc)
        rc = checkpoint_layout(c) == CKPT_DIFFUSERS ? list_canonical(&j, e) : list_own(&j, e);
    if (rc)
        goto done;
    if (!j.gguf)
        qsort(j.items, j.n, sizeof(*j.items), by_alignment);
    rc = alloc_buffers(&j, e);
    if (!rc)
        rc = file_writer_open(&j.file, out, e);
    if (!rc)
        rc = write_all(&j, e);
    if (!rc)
        rc = file_writer_commit(&j.file, e);
done:
    file_writer_abort(&j.file);
    gguf_writer_release(&j.writer);
    language_gguf_release(&j.language);
    pool_free(j.pool);
    free(j.items);
    free(j.floats);
    free(j.bytes);
    return rc;
}
