/* hires.h - pictures larger than a model can compose, as AUTOMATIC1111's "Hires. fix": drawn at the
 * usual size, enlarged, and then drawn again at the large size from a part of the noise.
 *
 *     latent --- interpolated ---------------------------> latent' --- last steps ---> picture
 *        └--- decoded, enlarged as a picture, encoded ----> latent'
 *
 * The second drawing has the same prompt, guides and seed, with noise of the large size.
 */
#ifndef LAR_PIPELINE_HIRES_H
#define LAR_PIPELINE_HIRES_H

#include "tensor/tape.h"

struct backend;
struct err;
struct esrgan;
struct image_model;
struct imagine_request;

/* What enlarges: the latent as torch's interpolate() does, or the picture. Interpolated latents are
 * blurred and want a strength above 0.5. */
enum hires_kind {
    HIRES_LATENT, /* bilinear */
    HIRES_LATENT_NEAREST,
    HIRES_LATENT_BICUBIC,
    HIRES_LANCZOS,
    HIRES_NETWORK, /* ESRGAN */
    N_HIRES
};

#define HIRES_MAX_SCALE 8
#define HIRES_STRENGTH  0.7

/* A part of the request; zeroed: off. */
struct imagine_hires {
    double scale; /* 1 < scale <= HIRES_MAX_SCALE; sides are rounded to what the model can draw */
    enum hires_kind kind;
    const struct esrgan *network; /* with HIRES_NETWORK; borrowed */
    double strength;              /* 0 < strength <= 1, how much is drawn anew */
    int steps;                    /* of which the strength is a part; 0: as many as before */
};

/* "latent", "latent-nearest", "latent-bicubic" or "lanczos", also as AUTOMATIC1111 writes them
 * ("Latent (nearest)", "Lanczos"); N_HIRES for anything else. */
enum hires_kind hires_parse(const char *name);
const char *hires_name(enum hires_kind kind);  /* for options and JSON; NULL for HIRES_NETWORK */
const char *hires_label(enum hires_kind kind); /* as AUTOMATIC1111 */

/* in [h, w, c] -> out [h_out, w_out, c] by a kind of latent; beyond a side that wraps lies the
 * other one, else the same pixel again. */
struct hires_latent {
    const float *in;
    int h, w, c, h_out, w_out;
    enum wrap wrap;
};
void hires_interpolate(const struct hires_latent *x, enum hires_kind kind, float *out);

/* imagine() for requests with hires.scale > 0. */
int hires_imagine(struct image_model *m, struct backend *b, const struct imagine_request *r,
                  struct err *e);

#endif
