/* codec.c - see codec.h. */
#include "pipeline/codec.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/mask.h"
#include "format/resize.h"
#include "pipeline/cancel.h"
#include "pipeline/image_model.h"
#include "pipeline/memory.h"
#include "tensor/ops.h"

#include <string.h>

static double scale_of(const struct image_model *m)
{
    return m->tiny_vae ? m->taesd.scale : m->vae.scale;
}

static double shift_of(const struct image_model *m)
{
    return m->tiny_vae ? m->taesd.shift : m->vae.shift;
}

/* Records the decoder, or for n_steps > 0 what comes before its steps. */
static void record(struct codec *c, const struct codec_options *o, int n_steps)
{
    const struct image_model *m = c->m;
    tape_free(c->tape);
    c->tape = tape_new(o->precision);
    tape_wrap(c->tape, o->wrap);
    c->in = tape_input(c->tape, DTYPE_F32, "latent", 4, (int64_t[]){1, o->h, o->w, m->unet.n_out});
    struct tensor *x = m->tiny_vae ? taesd_decode(c->tape, &m->taesd, c->in)
                       : n_steps   ? vae_decode_start(c->tape, &m->vae, c->in)
                                   : vae_decode(c->tape, &m->vae, c->in);
    c->out = tape_keep(c->tape, n_steps ? x : op_cast(c->tape, x, DTYPE_F32)); /* [1, h, w, c] */
}

/* A tensor's shape, without its data. */
static struct band_map map_of(const struct tensor *x)
{
    return (struct band_map){.h = x->dim[1], .w = x->dim[2], .c = x->dim[3], .type = x->type};
}

static int need(const struct codec *c, size_t *bytes, struct err *e)
{
    size_t steps = 0;
    int rc = memory_need(c->tape, bytes, e);
    if (rc || !c->bands.n)
        return rc;
    struct band_map map = map_of(c->out);
    rc = bands_need(&c->bands, &map, &steps, e);
    *bytes = (steps > *bytes ? steps : *bytes) + tensor_size(c->out);
    return rc;
}

/* Is it too much to be held at once? */
static bool too_much(size_t bytes)
{
    size_t available = mem_available();
    return bytes > CODEC_WHOLE_BYTES || (available && bytes > available);
}

int codec_use_bands(struct codec *c, long pixels, struct err *e)
{
    int n = c->m->tiny_vae ? 0 : vae_decoder_steps(&c->m->vae, c->steps);
    if (!n)
        return err_set(e, ERR_UNSUPPORTED, "this autoencoder cannot work in bands");
    struct codec_options o = {(int)c->in->dim[1], (int)c->in->dim[2], tape_type(c->tape),
                              tape_wraps(c->tape)};
    c->bands = (struct bands){.steps = c->steps,
                              .n = n,
                              .precision = o.precision,
                              .wrap = o.wrap,
                              .last_f32 = true,
                              .pixels = pixels};
    record(c, &o, n);
    return 0;
}

int codec_init(struct codec *c, const struct image_model *m, const struct codec_options *o,
               struct err *e)
{
    size_t bytes;
    *c = (struct codec){.m = m};
    if (m->tiny_vae ? !m->taesd.decoder.n_layer : !m->vae.has_decoder)
        return err_set(e, ERR_FORMAT, "the model has no VAE decoder (vae.decoder...)");
    record(c, o, 0);
    int rc = need(c, &bytes, e);
    if (!rc && too_much(bytes) && codec_use_bands(c, 0, NULL) == 0)
        rc = need(c, &bytes, e);
    return rc ? rc : memory_allow(bytes, "decoding", e);
}

void codec_release(struct codec *c)
{
    tape_free(c->tape);
    *c = (struct codec){0};
}

/* The steps after the tape, which gives its memory back; then the picture. */
static int finish(struct codec *c, struct backend *b, const atomic_bool *cancel,
                  struct picture *out, struct err *e)
{
    struct band_map map = map_of(c->out);
    map.data = mem_try_aligned(tensor_size(c->out), "the picture", e);
    if (!map.data)
        return ERR_NOMEM;
    memcpy(map.data, c->out->data, tensor_size(c->out));
    tape_unplan(c->tape);
    int rc = bands_run(&c->bands, b, cancel, &map, e);
    if (!rc)
        rc = picture_from_tensor(out, map.data, (int)map.w, (int)map.h, e);
    band_map_release(&map);
    return rc;
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
    if (!rc && c->bands.n)
        rc = finish(c, b, cancel, out, e);
    else if (!rc)
        rc = picture_from_tensor(out, c->out->data, (int)c->out->dim[2], (int)c->out->dim[1], e);
    tape_unplan(c->tape);
    return rc;
}

/* Records the encoder from the picture, or for n_steps > 0 from where its steps end. */
static struct tensor *record_encoder(const struct image_model *m, struct tape *t,
                                     const struct band_map *in, struct tensor **x, bool from_steps)
{
    *x = tape_input(t, in->type, "picture", 4, (int64_t[]){1, in->h, in->w, in->c});
    struct tensor *out = m->tiny_vae  ? taesd_encode(t, &m->taesd, *x)
                         : from_steps ? vae_encode_end(t, &m->vae, *x)
                                      : vae_encode(t, &m->vae, *x);
    return tape_keep(t, op_cast(t, out, DTYPE_F32)); /* [1, h, w, n_latent or 2 n_latent] */
}

static struct tape *new_tape(const struct codec_encode *x)
{
    struct tape *t = tape_new(x->precision);
    tape_wrap(t, x->wrap);
    return t;
}

/* Does encoding in one piece take too much? */
static int choose_bands(const struct codec_encode *x, const struct band_map *picture, bool *bands,
                        struct err *e)
{
    size_t bytes = 0;
    struct tensor *in;
    struct tape *t = new_tape(x);
    record_encoder(x->m, t, picture, &in, false);
    int rc = memory_need(t, &bytes, e);
    tape_free(t);
    *bands = x->band_pixels > 0 || too_much(bytes);
    return rc;
}

/* map: the picture [h, w, 3], or what the steps made of it. */
static int encode_map(const struct codec_encode *x, struct backend *b, const struct band_map *map,
                      bool from_steps, float *latent, struct err *e)
{
    const struct image_model *m = x->m;
    struct tape *t = new_tape(x);
    struct tensor *in, *out = record_encoder(m, t, map, &in, from_steps);
    int rc = memory_check(t, "encoding", e);
    if (!rc)
        rc = tape_plan(t, e);
    if (!rc) {
        memcpy(in->data, map->data, tensor_size(in));
        rc = cancel_run(t, b, x->cancel, e);
    }
    int64_t n = m->unet.n_out, cols = tensor_n_cols(out);
    float scale = (float)scale_of(m), shift = (float)shift_of(m);
    for (int64_t i = 0; !rc && i < tensor_n_rows(out); i++)
        for (int64_t j = 0; j < n; j++)
            latent[i * n + j] = (((const float *)out->data)[i * cols + j] - shift) * scale;
    tape_free(t);
    return rc;
}

/* picture [h, w, 3] in [-1, 1] */
static void hide(const struct mask *m, float *picture)
{
    for (size_t i = 0; i < (size_t)m->width * (size_t)m->height; i++)
        if (m->data[i] > 0)
            memset(picture + i * 3, 0, 3 * sizeof(*picture));
}

static int run_encode(const struct codec_encode *x, struct backend *b, const struct picture *fitted,
                      float *latent, struct err *e)
{
    struct vae_step steps[VAE_MAX_STEP];
    struct bands bands = {
        .steps = steps, .precision = x->precision, .wrap = x->wrap, .pixels = x->band_pixels};
    struct band_map map = {NULL, fitted->height, fitted->width, 3, DTYPE_F32};
    size_t bytes;
    bool in_bands;
    int rc = choose_bands(x, &map, &in_bands, e);
    if (!rc && in_bands && !x->m->tiny_vae)
        bands.n = vae_encoder_steps(&x->m->vae, steps);
    if (!rc && bands.n)
        rc = bands_need(&bands, &map, &bytes, e);
    if (!rc && bands.n)
        rc = memory_allow(bytes, "encoding", e);
    if (rc)
        return rc;
    map.data = mem_try_aligned((size_t)(map.h * map.w * map.c) * sizeof(float), "the picture", e);
    if (!map.data)
        return ERR_NOMEM;
    picture_to_tensor(fitted, map.data);
    if (x->hide)
        hide(x->hide, map.data);
    if (bands.n)
        rc = bands_run(&bands, b, x->cancel, &map, e);
    if (!rc)
        rc = encode_map(x, b, &map, bands.n > 0, latent, e);
    band_map_release(&map);
    return rc;
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
    rc = run_encode(x, b, &fitted, latent, e);
    picture_release(&fitted);
    return rc;
}
