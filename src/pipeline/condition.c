/* condition.c - see condition.h. */
#include "pipeline/condition.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/embedding.h"
#include "pipeline/encode.h"
#include "pipeline/image_model.h"
#include "text/chunks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The work of one text encoder. */
struct condition_part {
    const struct image_text *text;
    struct embedding_words words;
    struct chunks chunks[2];    /* of each row of the condition */
    struct encode_request how;  /* how to encode them */
    struct encode_result *rows; /* owned; [n, n_chunks], padded with the chunk of "" */
    float *states;              /* owned; what they point to */
};

static struct chunk_rules rules_of(const struct condition_part *p)
{
    return (struct chunk_rules){p->text->tokenizer, (size_t)p->text->encoder.n_ctx, p->words.words,
                                p->words.n};
}

static int cut(struct condition_part *p, const struct condition_request *r, int n, struct err *e)
{
    struct chunk_rules rules = rules_of(p);
    int rc = 0;
    for (int i = 0; i < n && !rc; i++) {
        const char *text = i == n - 1 ? r->prompt : r->negative;
        text = text ? text : "";
        rc = chunks_make(&p->chunks[i], &rules, text, strlen(text), e);
    }
    return rc;
}

/* A1111's emphasis: states times their tokens' weights, brought back to their mean. */
static void emphasize(float *states, const float *weights, int64_t n, int64_t width)
{
    double before = 0, after = 0;
    bool plain = true;
    for (int64_t i = 0; i < n; i++)
        plain = plain && weights[i] == 1;
    for (int64_t i = 0; i < n && !plain; i++) {
        for (int64_t k = 0; k < width; k++) {
            before += states[i * width + k];
            after += states[i * width + k] *= weights[i];
        }
    }
    float scale = (float)(before / after);
    for (int64_t i = 0; i < n * width && !plain && isfinite(scale); i++)
        states[i] *= scale;
}

static int alloc_rows(struct condition_part *p, const struct condition *c, struct err *e)
{
    const struct clip *m = &p->text->encoder;
    size_t n = (size_t)(c->n * c->n_chunks), hidden = (size_t)(m->n_ctx * m->n_embd);
    size_t pooled = p->how.pooled ? (size_t)m->projection->dim[0] : 0;
    p->rows = mem_try_array(n, sizeof(*p->rows), "the prompt's embedding", e);
    p->states = mem_try_array(n * (hidden + pooled), sizeof(float), "the prompt's embedding", e);
    if (!p->rows || !p->states)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        p->rows[i].hidden = p->states + i * (hidden + pooled);
        p->rows[i].pooled = pooled ? p->rows[i].hidden + hidden : NULL;
    }
    return 0;
}

/* Encodes all chunks of all rows; the shorter prompt is followed by chunks of nothing. */
static int encode(struct condition_part *p, struct image_model *m, struct backend *b,
                  const struct condition *c, struct err *e)
{
    struct chunk_rules rules = rules_of(p);
    struct chunks empty = {0};
    size_t n_ctx = rules.n_ctx, n = (size_t)(c->n * c->n_chunks);
    int32_t *ids = mem_try_array(n * n_ctx, sizeof(*ids), "a prompt's tokens", e);
    int rc = ids ? chunks_make(&empty, &rules, "", 0, e) : ERR_NOMEM;
    if (!rc)
        rc = alloc_rows(p, c, e);
    for (size_t i = 0; i < n && !rc; i++) {
        const struct chunks *x = &p->chunks[i / (size_t)c->n_chunks];
        size_t k = i % (size_t)c->n_chunks;
        memcpy(ids + i * n_ctx, k < x->n ? x->ids + k * n_ctx : empty.ids, n_ctx * sizeof(*ids));
    }
    p->how.ids = ids;
    p->how.n = n;
    if (!rc)
        rc = encode_chunks(m, b, &p->how, p->rows, e);
    for (size_t i = 0; i < n && !rc; i++) {
        const struct chunks *x = &p->chunks[i / (size_t)c->n_chunks];
        size_t k = i % (size_t)c->n_chunks;
        if (k < x->n)
            emphasize(p->rows[i].hidden, x->weights + k * n_ctx, (int64_t)n_ctx,
                      p->text->encoder.n_embd);
    }
    chunks_release(&empty);
    free(ids);
    return rc;
}

/* Puts the encoder's states into each token's row of c->context, `at` floats in. */
static void place(struct condition *c, const struct image_model *m, const struct condition_part *p,
                  int64_t at)
{
    int64_t width = p->text->encoder.n_embd, n_ctx = p->text->encoder.n_ctx;
    for (int64_t i = 0; i < c->n * c->n_ctx; i++)
        memcpy(c->context + i * m->unet.n_context + at,
               p->rows[i / n_ctx].hidden + i % n_ctx * width, (size_t)width * sizeof(float));
}

/* SDXL: pooled text of the first chunk, then a sinusoid for each of original size, crop and target
 * size. */
static void place_added(struct condition *c, const struct image_model *m,
                        const struct condition_part *p, const struct condition_request *r)
{
    int64_t n_proj = p->text->encoder.projection->dim[0];
    int64_t n_time = (m->unet.n_add - n_proj) / 6; /* per size: 256 */
    const int sizes[6] = {r->height, r->width, 0, 0, r->height, r->width};
    for (int i = 0; i < c->n; i++) {
        float *row = c->add + i * m->unet.n_add;
        memcpy(row, p->rows[i * c->n_chunks].pooled, (size_t)n_proj * sizeof(*row));
        for (int j = 0; j < 6; j++)
            unet_sinusoid(sizes[j], row + n_proj + j * n_time, n_time);
    }
}

/* SDXL without a negative prompt: zeros, as it was trained. */
static void clear_negative(struct condition *c, const struct image_model *m)
{
    int64_t n_proj = m->text[1].encoder.projection->dim[0];
    memset(c->context, 0, (size_t)(c->n_ctx * m->unet.n_context) * sizeof(float));
    memset(c->add, 0, (size_t)n_proj * sizeof(float));
}

static int alloc(struct condition *c, const struct image_model *m, struct err *e)
{
    size_t tokens = (size_t)(c->n * c->n_ctx);
    c->context = mem_try_array(tokens * (size_t)m->unet.n_context, sizeof(float),
                               "the prompt's embedding", e);
    if (c->context && m->unet.n_add)
        c->add = mem_try_array((size_t)(c->n * m->unet.n_add), sizeof(float), "sizes", e);
    return c->context && (c->add || !m->unet.n_add) ? 0 : ERR_NOMEM;
}

static int begin(struct condition_part *p, int i, const struct image_model *m,
                 const struct condition_request *r, struct err *e)
{
    bool xl = m->family == IMAGE_SDXL;
    *p = (struct condition_part){.text = &m->text[i],
                                 .how = {.which = i,
                                         .skip = r->clip_skip - 1 + (xl ? 1 : 0),
                                         .final_norm = !xl,
                                         .pooled = xl && i == 1,
                                         .precision = r->precision,
                                         .adapters = r->adapters,
                                         .adapters_id = r->adapters_id,
                                         .cancel = r->cancel}};
    if (p->how.skip >= p->text->encoder.n_layer)
        return err_set(e, ERR_ARG, "clip skip %d: the text encoder has only %d layers",
                       r->clip_skip, p->text->encoder.n_layer);
    int rc = embedding_words_make(&p->words, r->embeddings, m, i, e);
    p->how.vectors = p->words.vectors;
    p->how.n_vectors = p->words.n_vectors;
    return rc;
}

static void release_parts(struct condition *c)
{
    for (int i = 0; i < c->n_parts; i++) {
        embedding_words_release(&c->parts[i].words);
        chunks_release(&c->parts[i].chunks[0]);
        chunks_release(&c->parts[i].chunks[1]);
        free(c->parts[i].rows);
        free(c->parts[i].states);
    }
    free(c->parts);
    c->parts = NULL;
    c->n_parts = 0;
}

int condition_cut(struct condition *c, const struct image_model *m,
                  const struct condition_request *r, struct err *e)
{
    int rc = 0;
    *c = (struct condition){
        .n = r->guided ? 2 : 1, .n_chunks = 1, .n_parts = m->family == IMAGE_SDXL ? 2 : 1};
    c->parts = mem_alloc((size_t)c->n_parts * sizeof(*c->parts));
    for (int i = 0; i < c->n_parts && !rc; i++) {
        struct condition_part *p = &c->parts[i];
        rc = begin(p, i, m, r, e);
        if (!rc)
            rc = cut(p, r, c->n, e);
        for (int k = 0; k < c->n && !rc; k++)
            if ((int)p->chunks[k].n > c->n_chunks)
                c->n_chunks = (int)p->chunks[k].n;
    }
    c->n_ctx = c->n_chunks * m->text[0].encoder.n_ctx;
    if (rc)
        condition_release(c);
    return rc;
}

int condition_encode(struct condition *c, struct image_model *m, struct backend *b,
                     const struct condition_request *r, struct err *e)
{
    int rc = alloc(c, m, e);
    int64_t at = 0;
    for (int i = 0; i < c->n_parts && !rc; i++) {
        struct condition_part *p = &c->parts[i];
        rc = encode(p, m, b, c, e);
        if (!rc)
            place(c, m, p, at);
        at += p->text->encoder.n_embd;
        if (!rc && p->how.pooled)
            place_added(c, m, p, r);
    }
    if (!rc && c->add && r->guided && !r->negative && m->zero_negative)
        clear_negative(c, m);
    release_parts(c);
    if (rc)
        condition_release(c);
    return rc;
}

void condition_release(struct condition *c)
{
    release_parts(c);
    free(c->context);
    free(c->add);
    *c = (struct condition){0};
}
