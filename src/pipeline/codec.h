/* codec.h - a picture's latent and back, with whichever autoencoder the model has. */
#ifndef LAR_PIPELINE_CODEC_H
#define LAR_PIPELINE_CODEC_H

#include "tensor/dtype.h"

#include <stdatomic.h>

struct backend;
struct err;
struct image_model;
struct picture;
struct tape;
struct tensor;

/* A recorded decoder; one serves all pictures of a size. */
struct codec {
    struct tape *tape; /* owned */
    struct tensor *in, *out;
    const struct image_model *m;
};

/* Records a decoder for latents [h, w]; no memory is taken yet. */
int codec_init(struct codec *c, const struct image_model *m, int h, int w, enum dtype precision,
               struct err *e);
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
};
int codec_encode(const struct codec_encode *x, struct backend *b, float *latent, struct err *e);

#endif
