/* codec.c - see codec.h. */
#include "pipeline/codec.h"

#include "base/err.h"
#include "format/picture.h"
#include "format/resize.h"
#include "pipeline/cancel.h"
#include "pipeline/image_model.h"
#include "pipeline/memory.h"
#include "tensor/tape.h"

static double scale_of(const struct image_model *m)
{
    return m->tiny_vae ? m->taesd.scale : m->vae.scale;
}

static double shift_of(const struct image_model *m)
{
    return m->tiny_vae ? m->taesd.shift : m->vae.shift;
}

int codec_init(struct codec *c, const struct image_model *m, int h, int w, enum dtype precision,
               struct err *e)
{
    int64_t channels = m->unet.n_out;
    *c = (struct codec){.m = m};
    if (m->tiny_vae ? !m->taesd.decoder.n_layer : !m->vae.has_decoder)
        return err_set(e, ERR_FORMAT, "the model has no VAE decoder (vae.decoder...)");
    c->tape = tape_new(precision);
    c->in = tape_input(c->tape, DTYPE_F32, "latent", 4, (int64_t[]){1, h, w, channels});
    struct tensor *x = m->tiny_vae ? taesd_decode(c->tape, &m->taesd, c->in)
                                   : vae_decode(c->tape, &m->vae, c->in);
    c->out = tape_keep(c->tape, op_cast(c->tape, x, DTYPE_F32)); /* [1, h, w, 3] */
    return memory_check(c->tape, "decoding", e);
}

void codec_release(struct codec *c)
{
    tape_free(c->tape);
    *c = (struct codec){0};
}

int codec_decode(struct codec *c, struct backend *b, const float *latent, const atomic_bool *cancel,
                 struct picture *out, struct err *e)
{
    int rc = tape_plan(c->tape, e);
    if (rc)
        return rc;
    float scale = (float)(1 / scale_of(c->m)), shift = (float)shift_of(c->m);
    for (int64_t i = 0; i < tensor_n(c->in); i++)
        ((float *)c->in->data)[i] = latent[i] * scale + shift; /* NOLINT: tape_plan() placed it */
    rc = cancel_run(c->tape, b, cancel, e);
    if (!rc)
        rc = picture_from_tensor(out, c->out->data, (int)c->out->dim[2], (int)c->out->dim[1], e);
    tape_unplan(c->tape);
    return rc;
}

static int run_encode(const struct codec_encode *x, struct backend *b, struct tape *t,
                      const struct picture *fitted, float *latent, struct err *e)
{
    const struct image_model *m = x->m;
    int64_t dim[4] = {1, fitted->height, fitted->width, 3};
    struct tensor *in = tape_input(t, DTYPE_F32, "picture", 4, dim);
    struct tensor *out = m->tiny_vae ? taesd_encode(t, &m->taesd, in) : vae_encode(t, &m->vae, in);
    out = tape_keep(t, op_cast(t, out, DTYPE_F32)); /* [1, h, w, n_latent or 2 n_latent] */
    int rc = memory_check(t, "encoding", e);
    if (!rc)
        rc = tape_plan(t, e);
    if (rc)
        return rc;
    picture_to_tensor(fitted, in->data);
    rc = cancel_run(t, b, x->cancel, e);
    if (rc)
        return rc;
    int64_t n = m->unet.n_out, cols = tensor_n_cols(out);
    float scale = (float)scale_of(m), shift = (float)shift_of(m);
    for (int64_t i = 0; i < tensor_n_rows(out); i++)
        for (int64_t j = 0; j < n; j++)
            latent[i * n + j] = (((const float *)out->data)[i * cols + j] - shift) * scale;
    return 0;
}

int codec_encode(const struct codec_encode *x, struct backend *b, float *latent, struct err *e)
{
    const struct image_model *m = x->m;
    struct picture fitted = {0};
    int factor = image_model_factor(m);
    if (m->tiny_vae ? !m->taesd.encoder.n_layer : !m->vae.has_encoder)
        return err_set(e, ERR_FORMAT,
                       "the model has no VAE encoder (vae.encoder...), which "
                       "drawing from a picture needs");
    int rc = picture_fit(x->picture, x->w * factor, x->h * factor, &fitted, e);
    if (rc)
        return rc;
    struct tape *t = tape_new(x->precision);
    rc = run_encode(x, b, t, &fitted, latent, e);
    tape_free(t);
    picture_release(&fitted);
    return rc;
}
