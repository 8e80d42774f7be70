/* embedding.c - see embedding.h. */
#include "pipeline/embedding.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/weights.h"
#include "pipeline/find_file.h"
#include "pipeline/image_model.h"
#include "tensor/quant.h"
#include "text/clip_tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define A1111_PT          "string_to_param."
#define A1111_SAFETENSORS "emb_params"

const char *const embedding_endings[] = {".safetensors", ".pt", ".bin", NULL};

static const char *const encoder_keys[2] = {"clip_l", "clip_g"}; /* of SDXL */

static bool is_float(const struct file_tensor *t)
{
    return t->type == DTYPE_F32 || t->type == DTYPE_F16 || t->type == DTYPE_BF16;
}

/* The tensor of a key, or with NULL the file's only one, or the one that A1111 wrote. */
static const struct file_tensor *find(const struct weight_file *f, const char *key)
{
    size_t n, n_float = 0;
    const struct file_tensor *all = weight_file_tensors(f, &n), *only = NULL;
    for (size_t i = 0; i < n; i++) {
        if (key ? strcmp(all[i].name, key) == 0
                : strncmp(all[i].name, A1111_PT, sizeof(A1111_PT) - 1) == 0)
            return &all[i];
        if (is_float(&all[i])) {
            only = &all[i];
            n_float++;
        }
    }
    return !key && n_float == 1 ? only : NULL;
}

/* Copies the vectors for one text encoder. */
static int take(struct embedding *x, const struct file_tensor *t, const struct clip *encoder,
                int which, struct err *e)
{
    int64_t width = t->n_dim ? t->dim[t->n_dim - 1] : 0, n = t->n_dim == 2 ? t->dim[0] : 1;
    if (!is_float(t) || t->n_dim < 1 || t->n_dim > 2 || n < 1)
        return err_set(e, ERR_FORMAT, "%s is no list of vectors", t->name);
    if (width != encoder->n_embd)
        return err_set(e, ERR_FORMAT,
                       "its vectors have %lld numbers, this model's have %lld: it was made for "
                       "another kind of model",
                       (long long)width, (long long)encoder->n_embd);
    if (n > encoder->n_ctx - 2 || (x->n && x->n != n))
        return err_set(e, ERR_FORMAT, "%lld vectors do not fit: %s", (long long)n,
                       x->n ? "clip_l and clip_g have different numbers"
                            : "a chunk of the prompt has no room for them");
    x->n = (int)n;
    x->vectors[which] = mem_try_array((size_t)(n * width), sizeof(float), "an embedding", e);
    if (!x->vectors[which])
        return ERR_NOMEM;
    quant_to_f32(t->type, t->data, x->vectors[which], n * width);
    for (int64_t i = 0; i < n * width; i++)
        if (!isfinite(x->vectors[which][i]))
            return err_set(e, ERR_FORMAT, "%s holds NaN or infinity; the file is damaged", t->name);
    return 0;
}

static int read_file(struct embedding *x, const struct weight_file *f, const struct image_model *m,
                     struct err *e)
{
    const struct file_tensor *pair[2] = {find(f, encoder_keys[0]), find(f, encoder_keys[1])};
    bool xl = m->family == IMAGE_SDXL;
    const struct file_tensor *one = pair[0] && pair[1] ? NULL : find(f, NULL);
    if (xl ? !pair[0] || !pair[1] : !one)
        return err_set(e, ERR_FORMAT, "%s",
                       pair[0] && pair[1] ? "a textual inversion for SDXL, which this model is not"
                       : one ? "a textual inversion for SD 1 or 2; SDXL's have clip_l and clip_g"
                             : "no textual inversion: one tensor of vectors, or clip_l and clip_g");
    if (!xl && strcmp(one->name, A1111_SAFETENSORS) != 0 &&
        strncmp(one->name, A1111_PT, sizeof(A1111_PT) - 1) != 0)
        x->words[1] = mem_strdup(one->name);
    int rc = take(x, xl ? pair[0] : one, &m->text[0].encoder, 0, e);
    if (!rc && xl)
        rc = take(x, pair[1], &m->text[1].encoder, 1, e);
    return rc;
}

static int open_one(struct embedding *x, const struct image_model *m, const char *path,
                    struct err *e)
{
    struct weights w = {0};
    struct err own = {0};
    int rc = weights_open_file(&w, path, e);
    if (rc)
        return rc;
    x->words[0] = find_file_name(path, embedding_endings);
    rc = read_file(x, w.files[0], m, &own);
    if (rc)
        err_set(e, rc, "%s: %s", path, own.text);
    weights_release(&w);
    return rc;
}

int embeddings_open(struct embeddings *s, const struct image_model *m, const char *const *paths,
                    int n, struct err *e)
{
    int rc = 0;
    *s = (struct embeddings){.items = mem_alloc((size_t)(n + 1) * sizeof(*s->items))};
    for (int i = 0; i < n && !rc; i++)
        rc = open_one(&s->items[s->n++], m, paths[i], e);
    if (rc)
        embeddings_close(s);
    return rc;
}

void embeddings_close(struct embeddings *s)
{
    for (int i = 0; i < s->n; i++) {
        struct embedding *x = &s->items[i];
        for (int k = 0; k < 2; k++) {
            free(x->words[k]);
            free(x->vectors[k]);
        }
    }
    free(s->items);
    *s = (struct embeddings){0};
}

/* ---- for the chunks ---- */

/* Appends one word's tokens; the first of its vectors is vector `first`. */
static int add_word(struct embedding_words *w, const struct image_text *t, const char *text,
                    struct chunk_word word, struct err *e)
{
    int n = clip_tokenizer_encode(t->tokenizer, text, strlen(text), NULL, 0, e);
    if (n <= 0)
        return n; /* a name of blanks alone */
    int32_t *ids = mem_try_array((size_t)n, sizeof(*ids), "an embedding's name", e);
    if (!ids)
        return ERR_NOMEM;
    n = clip_tokenizer_encode(t->tokenizer, text, strlen(text), ids, (size_t)n, e);
    word.text = text;
    word.ids = ids;
    word.n_ids = n > 0 ? (size_t)n : 0;
    w->words[w->n++] = word;
    return n < 0 ? n : 0;
}

int embedding_words_make(struct embedding_words *w, const struct embeddings *s,
                         const struct image_model *m, int which, struct err *e)
{
    const struct image_text *t = &m->text[which];
    size_t width = (size_t)t->encoder.n_embd, total = 0;
    int rc = 0;
    *w = (struct embedding_words){0};
    for (int i = 0; s && i < s->n; i++)
        total += (size_t)s->items[i].n;
    if (!total)
        return 0;
    w->words = mem_alloc((size_t)s->n * 2 * sizeof(*w->words));
    w->vectors = mem_try_array(total * width, sizeof(float), "the embeddings", e);
    if (!w->vectors)
        rc = ERR_NOMEM;
    for (int i = 0; i < s->n && !rc; i++) {
        const struct embedding *x = &s->items[i];
        struct chunk_word word = {.n = x->n,
                                  .first = (int32_t)(t->encoder.n_vocab) + (int32_t)w->n_vectors};
        memcpy(w->vectors + w->n_vectors * width, x->vectors[which],
               (size_t)x->n * width * sizeof(float));
        w->n_vectors += (size_t)x->n;
        for (int k = 0; k < 2 && !rc; k++)
            rc = x->words[k] ? add_word(w, t, x->words[k], word, e) : 0;
    }
    if (rc)
        embedding_words_release(w);
    return rc;
}

void embedding_words_release(struct embedding_words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free((void *)w->words[i].ids);
    free(w->words);
    free(w->vectors);
    *w = (struct embedding_words){0};
}
