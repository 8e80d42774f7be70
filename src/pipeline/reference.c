/* reference.c - see reference.h. */
#include "pipeline/reference.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "format/resize.h"
#include "models/clip_vision.h"
#include "pipeline/cancel.h"
#include "pipeline/image_model.h"
#include "pipeline/memory.h"
#include "tensor/tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int reference_pixels(const struct picture *p, int side, float *out, struct err *e)
{
    static const double mean[3] = {0.48145466, 0.4578275, 0.40821073};
    static const double deviation[3] = {0.26862954, 0.26130258, 0.27577711};
    struct picture flat = {0}, small = {0};
    bool wide = p->width > p->height;
    int64_t other = wide ? (int64_t)side * p->width / p->height
                         : (int64_t)side * p->height / p->width;
    int width = wide ? (int)other : side, height = wide ? side : (int)other;
    int rc = picture_alloc(&flat, p->width, p->height, p->channels, "a reference picture", e);
    if (rc)
        return rc;
    memcpy(flat.data, p->data, (size_t)p->width * (size_t)p->height * (size_t)p->channels);
    picture_flatten(&flat);
    rc = picture_resize_bicubic(&flat, width, height, &small, e);
    int left = (width - side) / 2, top = (height - side) / 2;
    for (int y = 0; !rc && y < side; y++)
        for (int x = 0; x < side; x++)
            for (int k = 0; k < 3; k++)
                *out++ =
                    (float)((small.data[((size_t)(top + y) * (size_t)width + (size_t)(left + x)) *
                                            3 +
                                        (size_t)k] /
                                 255.0 -
                             mean[k]) /
                            deviation[k]);
    picture_release(&flat);
    picture_release(&small);
    return rc;
}

/* What turns one picture into tokens, or nothing into those of no picture. */
struct encoding {
    const struct reference_request *r;
    struct backend *b;
    const struct ip_adapter *adapter;
    struct clip_vision vision;
    struct tape *t;
    struct tensor *in, *out; /* patches or, for no picture, an embedding; tokens */
};

/* No picture is a black one in the middle of the range; for the plain kind an embedding of zeros.
 */
static int record_encoding(struct encoding *x, bool none, struct err *e)
{
    const struct ip_adapter *a = x->adapter;
    struct tape *t = x->t = tape_new(x->r->precision);
    struct tensor *encoded;
    if (a->kind == IP_ADAPTER_PLAIN && none) {
        x->in = tape_input(t, DTYPE_F32, "embedding", 2, (int64_t[]){1, a->n_in});
        encoded = op_cast(t, x->in, tape_type(t));
    } else {
        x->in = clip_vision_input(t, &x->vision);
        encoded = a->kind == IP_ADAPTER_PLAIN ? clip_vision_embed(t, &x->vision, x->in)
                                              : clip_vision_hidden(t, &x->vision, x->in);
    }
    x->out = tape_keep(t, op_cast(t, ip_adapter_project(t, a, encoded), DTYPE_F32));
    int rc = memory_check(t, "looking at a reference picture", e);
    return rc ? rc : tape_plan(t, e);
}

static int fill_patches(struct encoding *x, const struct picture *p, struct err *e)
{
    size_t side = (size_t)x->vision.side;
    float *pixels = mem_try_array(side * side * 3, sizeof(*pixels), "a reference picture", e);
    int rc = pixels ? reference_pixels(p, x->vision.side, pixels, e) : ERR_NOMEM;
    if (!rc)
        clip_vision_patches(&x->vision, pixels, x->in->data);
    free(pixels);
    return rc;
}

/* Appends the tokens of a picture (NULL: of none) behind *n values of *tokens, which grows. */
static int encode(struct encoding *x, const struct picture *p, float **tokens, size_t *n,
                  struct err *e)
{
    int rc = record_encoding(x, !p, e);
    if (!rc && p)
        rc = fill_patches(x, p, e);
    else if (!rc)
        memset(x->in->data, 0, tensor_size(x->in));
    if (!rc)
        rc = cancel_run(x->t, x->b, x->r->cancel, e);
    if (!rc) {
        size_t more = (size_t)tensor_n(x->out);
        *tokens = mem_realloc(*tokens, (*n + more) * sizeof(**tokens));
        memcpy(*tokens + *n, x->out->data, more * sizeof(**tokens));
        *n += more;
    }
    tape_free(x->t);
    x->t = NULL;
    return rc;
}

static int open_adapter(struct references *x, const struct imagine_reference *r,
                        const struct reference_adapter **out, const struct reference_request *q,
                        struct err *e)
{
    for (int i = 0; i < x->n_adapters; i++)
        if (x->adapters[i].file == r->adapter) {
            *out = &x->adapters[i];
            return 0;
        }
    struct reference_adapter *a = &x->adapters[x->n_adapters++];
    *out = a;
    a->file = r->adapter;
    int rc = ip_adapter_open(&a->net, a->file, e);
    return rc ? rc : ip_adapter_check(&a->net, &q->m->unet, checkpoint_path(a->file), e);
}

static struct reference_group *find_group(struct references *x, const struct reference_adapter *a,
                                          double weight)
{
    for (int i = 0; i < x->n; i++)
        if (x->groups[i].adapter == a && x->groups[i].weight == weight)
            return &x->groups[i];
    x->groups[x->n] = (struct reference_group){.adapter = a, .weight = weight};
    return &x->groups[x->n++];
}

static int add(struct references *x, struct backend *b, const struct reference_request *q,
               const struct imagine_reference *r, struct err *e)
{
    const struct reference_adapter *a;
    struct encoding enc = {.r = q, .b = b};
    if (!isfinite(r->weight))
        return err_set(e, ERR_ARG, "a reference picture's weight must be a number");
    int rc = open_adapter(x, r, &a, q, e);
    if (rc || r->weight == 0)
        return rc;
    if (!ip_adapter_fits(r->adapter, r->encoder))
        return err_set(e, ERR_ARG,
                       "%s: is not the image encoder of %s, which needs one of width %d; see the "
                       "page the adapter comes from",
                       checkpoint_path(r->encoder), checkpoint_path(r->adapter), (int)a->net.n_in);
    rc = clip_vision_open(&enc.vision, r->encoder, e);
    if (rc)
        return rc;
    struct reference_group *g = find_group(x, a, r->weight);
    enc.adapter = &a->net;
    size_t n_none = 0, per = (size_t)(g->n_token * a->net.n_context), n = (size_t)g->n * per;
    if (q->guided && !g->none)
        rc = encode(&enc, NULL, &g->none, &n_none, e);
    if (!rc)
        rc = encode(&enc, r->picture, &g->tokens, &n, e);
    if (!rc) {
        g->n++;
        g->n_token = (int64_t)n / a->net.n_context / g->n;
    }
    clip_vision_close(&enc.vision);
    return rc;
}

int references_open(struct references *x, struct backend *b, const struct reference_request *r,
                    struct err *e)
{
    int rc = 0;
    *x = (struct references){0};
    if (r->n > REFERENCE_MAX)
        return err_set(e, ERR_ARG, "%d reference pictures; at most %d work together", r->n,
                       REFERENCE_MAX);
    for (int i = 0; !rc && i < r->n; i++)
        rc = add(x, b, r, &r->references[i], e);
    return rc;
}

void references_release(struct references *x)
{
    for (int i = 0; i < x->n; i++) {
        free(x->groups[i].tokens);
        free(x->groups[i].none);
    }
    for (int i = 0; i < x->n_adapters; i++)
        ip_adapter_close(&x->adapters[i].net);
    *x = (struct references){0};
}

void references_record(struct references *x, struct tape *t, int n)
{
    for (int i = 0; i < x->n; i++) {
        struct reference_group *g = &x->groups[i];
        const struct ip_adapter *a = &g->adapter->net;
        int64_t dim[3] = {n, g->n * g->n_token, a->n_context};
        g->in = tape_constant(t, DTYPE_F32, "reference", 3, dim);
        x->more[i] = (struct attention_more){a->sources, op_cast(t, g->in, tape_type(t)),
                                             (float)g->weight};
    }
}

void references_fill(const struct references *x, bool guided)
{
    for (int i = 0; i < x->n; i++) {
        const struct reference_group *g = &x->groups[i];
        size_t one = (size_t)(g->n_token * g->adapter->net.n_context);
        float *out = g->in->data;
        for (int64_t row = 0; row < g->in->dim[0]; row++)
            for (int k = 0; k < g->n; k++, out += one) {
                bool none = guided && row < g->in->dim[0] / 2;
                memcpy(out, none ? g->none : g->tokens + (size_t)k * one, one * sizeof(*out));
            }
    }
}
