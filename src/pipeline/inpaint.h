/* inpaint.h - drawing only the part of a picture that a mask covers.
 *
 *     ordinary models     after each step the latent outside the mask is put back: the source's,
 *                         with the noise of that level (diffusers' StableDiffusionInpaintPipeline)
 *     inpainting models   9 input channels: noisy latent, mask, latent of the picture without what
 *                         the mask covers; without a mask all is covered
 *
 * In the end the drawn picture is laid over the source, whose pixels outside the mask stay as they
 * are, to the byte; the seam lies inside the mask. With `area` only the mask's surroundings are
 * drawn, at the request's full size, and scaled back into the picture.
 */
#ifndef LAR_PIPELINE_INPAINT_H
#define LAR_PIPELINE_INPAINT_H

#include "format/mask.h"
#include "pipeline/noise.h"
#include "tensor/tape.h"

#include <stdatomic.h>

struct backend;
struct err;
struct image_model;
struct sampler;

#define INPAINT_SEAM    8  /* pixels, where the user says nothing */
#define INPAINT_PADDING 32 /* pixels around the mask's area */

struct inpaint_request {
    struct image_model *m;
    const struct picture *image, *mask; /* mask NULL: everything is drawn */
    int h, w;                           /* of the latent */
    int seam;                           /* pixels */
    bool area;
    int padding; /* pixels of the source around the mask, with `area` */
    enum dtype precision;
    const atomic_bool *cancel;
    enum wrap wrap;
};

/* A zeroed struct does nothing and may be released. Tensors are of the latent's size. */
struct inpaint {
    bool masked;           /* there is a mask */
    bool nine;             /* the model takes 9 channels */
    int h, w, c;           /* latent */
    struct picture whole;  /* the source; as large as the drawing but with an area */
    struct picture source; /* what the latent was made from, [h f, w f] */
    struct mask_box box;   /* of the area in `whole` */
    struct mask seam;      /* how much of the drawing shows, of `source` */
    float *mask;           /* [h, w] 1: drawn */
    float *hidden;         /* [h, w, c] the source's latent without what is covered; 9 channels */
    float *noise, *kept;   /* [h, w, c] */
};

/* Does this request need it? */
bool inpaint_wanted(const struct image_model *m, const struct picture *mask);

/* Everything but the source's latent. ERR_ARG when the mask covers nothing. */
int inpaint_open(struct inpaint *p, struct backend *b, const struct inpaint_request *x,
                 struct err *e);
void inpaint_release(struct inpaint *p);

/* A picture begins: keeps its initial noise, which the same options give again. */
int inpaint_begin(struct inpaint *p, const struct noise_options *o, struct err *e);

/* After a step: puts the source's latent back outside the mask. Nothing for 9 channels. */
void inpaint_keep(const struct inpaint *p, const struct sampler *s, const float *latent, float *x);

/* The UNet's input, [h, w, 9] from [h, w, c]; a copy for ordinary models. */
void inpaint_input(const struct inpaint *p, const float *x, float *in);

/* Lays the drawing, which is replaced, over the source. */
int inpaint_paste(const struct inpaint *p, struct picture *drawn, struct err *e);

#endif
