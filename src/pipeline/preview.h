/* preview.h - what the picture will look like, from the sampler's estimate of the clean latent.
 *
 *     a tiny autoencoder's decoder   (models/taesd.h) where there is one: nearly the picture
 *     else a linear map              latent -> RGB, a pixel per latent, fitted by least squares to
 *                                    what the model's own VAE makes of a few known latents
 *
 * Either is enlarged to the picture's shape, at most PREVIEW_SIDE pixels a side. Previews look,
 * they change nothing in the picture.
 */
#ifndef LAR_PIPELINE_PREVIEW_H
#define LAR_PIPELINE_PREVIEW_H

#include "pipeline/codec.h"
#include "pipeline/image_model.h"

#include <stdbool.h>
#include <stddef.h>

struct backend;
struct checkpoint;
struct err;
struct picture;

#define PREVIEW_SIDE 512

/* A tiny autoencoder from a file of its own. */
struct preview_decoder {
    struct checkpoint *file; /* owned */
    struct taesd taesd;
};

/* Opens `path`; for NULL looks beside the model for taesd or taesdxl, as its family wants: a
 * folder, NAME.safetensors or NAME_decoder.safetensors. *d is NULL without an error where none is
 * there. */
int preview_decoder_open(struct preview_decoder **d, const struct image_model *m, const char *path,
                         struct err *e);
void preview_decoder_close(struct preview_decoder *d); /* NULL is fine */

struct preview {
    struct image_model *m;
    struct backend *b;
    const atomic_bool *cancel;
    int h, w, shrink;        /* of the latent; 1 latent of the preview is the mean of shrink^2 */
    struct image_model tiny; /* only its autoencoder, borrowed; .tiny_vae false: linear */
    struct codec codec;      /* of that */
    float *small;            /* owned: [h / shrink, w / shrink, c] */
    double share;            /* of the time that previews may take; 0: all are made */
    double next;             /* when the next one is due, seconds */
};

struct preview_options {
    const struct taesd *taesd; /* borrowed; NULL: the model's own where it is tiny, else linear */
    int h, w;                  /* of the latent */
    enum dtype precision;
    double share;
    const atomic_bool *cancel; /* or NULL */
};

/* Fits the linear map if it is wanted and the model has none yet. `m` and `b` are borrowed. */
int preview_init(struct preview *p, struct image_model *m, struct backend *b,
                 const struct preview_options *o, struct err *e);
void preview_release(struct preview *p); /* a zeroed one is fine */

/* Has so much time passed since the last one that another is within the share? */
bool preview_due(const struct preview *p);

/* latent [h, w, c] -> new RGB picture. */
int preview_make(struct preview *p, const float *latent, struct picture *out, struct err *e);

/* Least squares: the map [c + 1][3], the last row constant, for which z [n, c] gives rgb [n, 3]
 * best. c <= IMAGE_MAX_LATENT. ERR_NUMERIC where the z do not tell. */
int preview_fit(const float *z, const float *rgb, size_t n, int c, float (*map)[3], struct err *e);

#endif
