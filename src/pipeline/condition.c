/* condition.c - see condition.h. */
#include "pipeline/condition.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/cancel.h"
#include "pipeline/image_model.h"
#include "tensor/tape.h"
#include "text/clip_tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* One text encoder's part of the work. */
struct encoding {
    const struct image_text *text;
    const struct condition_request *r;
    struct clip_output out;
    struct tensor *ids;
    float *hidden; /* owned; [n, n_ctx, n_embd] */
    float *pooled; /* owned; [n, n_proj] or NULL */
    int n_cut;
};

/* Fills ids [n, n_ctx] and, where the pooled state is wanted, the row of each prompt's end. */
static int tokenize(struct encoding *x, int n, struct err *e)
{
    const struct clip_tokenizer *t = x->text->tokenizer;
    size_t n_ctx = (size_t)x->text->encoder.n_ctx;
    for (int i = 0; i < n; i++) {
        const char *text = i == n - 1 ? x->r->prompt : x->r->negative;
        int32_t *ids = (int32_t *)x->ids->data + (size_t)i * n_ctx;
        text = text ? text : "";
        int cut = clip_tokenizer_prompt(t, text, strlen(text), ids, n_ctx, e);
        if (cut < 0)
            return cut;
        x->n_cut = cut;
        size_t end = 0;
        while (end + 1 < n_ctx && ids[end] != clip_tokenizer_eos(t))
            end++;
        if (x->out.eos)
            ((int32_t *)x->out.eos->data)[i] = (int32_t)((size_t)i * n_ctx + end);
    }
    return 0;
}

static float *copy(const struct tensor *x, struct err *e)
{
    size_t n = (size_t)tensor_n(x);
    float *out = mem_try_array(n, sizeof(*out), "the prompt's embedding", e);
    if (out)
        memcpy(out, x->data, n * sizeof(*out));
    return out;
}

static int run(struct encoding *x, struct tape *t, struct backend *b, int n, struct err *e)
{
    int rc = tape_plan(t, e);
    if (!rc)
        rc = tokenize(x, n, e);
    if (!rc)
        rc = cancel_run(t, b, x->r->cancel, e);
    if (!rc && !(x->hidden = copy(x->out.hidden, e)))
        rc = ERR_NOMEM;
    if (!rc && x->out.pooled && !(x->pooled = copy(x->out.pooled, e)))
        rc = ERR_NOMEM;
    return rc;
}

/* x->out.skip and .final_norm are set; `pooled` asks for the pooled state too. */
static int encode(struct encoding *x, struct backend *b, int n, bool pooled, struct err *e)
{
    const struct clip *m = &x->text->encoder;
    struct tape *t = tape_new(x->r->precision);
    tape_adapt(t, x->r->adapters);
    x->ids = tape_input(t, DTYPE_I32, "ids", 2, (int64_t[]){n, m->n_ctx});
    if (pooled)
        x->out.eos = tape_input(t, DTYPE_I32, "eos", 1, (int64_t[]){n});
    clip_forward(t, m, x->ids, &x->out);
    x->out.hidden = tape_keep(t, op_cast(t, x->out.hidden, DTYPE_F32));
    if (pooled)
        x->out.pooled = tape_keep(t, op_cast(t, x->out.pooled, DTYPE_F32));
    int rc = run(x, t, b, n, e);
    tape_free(t);
    return rc;
}

/* Appends the encoder's states to each token's row of c->context, `at` floats in. */
static void place(struct condition *c, const struct image_model *m, const struct encoding *x,
                  int64_t at)
{
    int64_t width = x->text->encoder.n_embd;
    for (int64_t i = 0; i < c->n * c->n_ctx; i++)
        memcpy(c->context + i * m->unet.n_context + at, x->hidden + i * width,
               (size_t)width * sizeof(float));
}

/* SDXL: pooled text, then a sinusoid for each of original size, crop and target size. */
static void place_added(struct condition *c, const struct image_model *m, const struct encoding *x)
{
    const struct condition_request *r = x->r;
    int64_t n_proj = x->text->encoder.projection->dim[0];
    int64_t n_time = (m->unet.n_add - n_proj) / 6; /* per size: 256 */
    const int sizes[6] = {r->height, r->width, 0, 0, r->height, r->width};
    for (int i = 0; i < c->n; i++) {
        float *row = c->add + i * m->unet.n_add;
        memcpy(row, x->pooled + i * n_proj, (size_t)n_proj * sizeof(*row));
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

int condition_make(struct condition *c, const struct image_model *m, struct backend *b,
                   const struct condition_request *r, struct err *e)
{
    bool xl = m->family == IMAGE_SDXL;
    *c = (struct condition){.n = r->guided ? 2 : 1, .n_ctx = m->text[0].encoder.n_ctx};
    int rc = alloc(c, m, e);
    for (int i = 0, at = 0; !rc && i < (xl ? 2 : 1); i++) {
        struct encoding x = {.text = &m->text[i], .r = r};
        x.out.skip = r->clip_skip - 1 + (xl ? 1 : 0);
        x.out.final_norm = !xl;
        if (x.out.skip >= x.text->encoder.n_layer)
            rc = err_set(e, ERR_ARG, "clip skip %d: the text encoder has only %d layers",
                         r->clip_skip, x.text->encoder.n_layer);
        if (!rc)
            rc = encode(&x, b, c->n, xl && i == 1, e);
        if (!rc) {
            place(c, m, &x, at);
            at += (int)x.text->encoder.n_embd;
            c->n_cut = x.n_cut;
        }
        if (!rc && x.pooled)
            place_added(c, m, &x);
        free(x.hidden);
        free(x.pooled);
    }
    if (!rc && xl && r->guided && !r->negative && m->zero_negative)
        clear_negative(c, m);
    if (rc)
        condition_release(c);
    return rc;
}

void condition_release(struct condition *c)
{
    free(c->context);
    free(c->add);
    *c = (struct condition){0};
}
