/* codec.h - a picture's latent and back, with whichever autoencoder the model has. */
#ifndef LAR_PIPELINE_CODEC_H
#define LAR_PIPELINE_CODEC_H

#include "pipeline/bands.h"

#include <stdatomic.h>

struct backend;
struct err;
struct image_model;
struct mask;
struct picture;
struct tape;
struct tensor;

/* Where the activations would take more bytes than this, or than there are, the picture is computed
 * in bands (bands.h): a quarter to a half slower, with a third of the memory. */
#define CODEC_WHOLE_BYTES ((size_t)1 << 30)

/* A recorded decoder; one serves all pictures of a size. */
struct codec {
    struct tape *tape; /* owned; the whole decoder, or what comes before its steps */
    struct tensor *in, *out;
    const struct image_model *m;
    struct vae_step steps[VAE_MAX_STEP];
    struct bands bands; /* n 0: the tape does it all */
};

/* Records a decoder; no memory is taken yet. */
struct codec_options {
    int h, w; /* of the latents */
    enum dtype precision;
    enum wrap wrap;
};
int codec_init(struct codec *c, const struct image_model *m, const struct codec_options *o,
               struct err *e);
/* Decodes in bands of about so many pixels (0: as is best), however small the picture is.
 * ERR_UNSUPPORTED where the autoencoder has no steps; the codec is as it was then. */
int codec_use_bands(struct codec *c, long pixels, struct err *e);
void codec_release(struct codec *c);

/* latent [h, w, n_latent] of the UNet -> picture, new RGB. Activations take memory for this call
 * only. */
int codec_decode(struct codec *c, struct backend *b, const float *latent, const atomic_bool *cancel,
                 struct picture *out, struct err *e);

/* picture, fitted to the size of the latent [h, w, n_latent] -> the UNet's latent, the mean of the
 * encoder's distribution. */
struct codec_encode {
    const struct image_model *m;
    const struct picture *picture;
    int h, w;
    enum dtype precision;
    const atomic_bool *cancel;
    enum wrap wrap;
    long band_pixels;        /* > 0: in bands of about so many, however small the picture is */
    const struct mask *hide; /* mid-grey where it covers the fitted picture; or NULL */
};
int codec_encode(const struct codec_encode *x, struct backend *b, float *latent, struct err *e);

#endif
