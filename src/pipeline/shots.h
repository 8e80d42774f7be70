/* shots.h - the pictures that are sampled together, and how many those are.
 *
 * An evaluation of the UNet for several pictures reads its weights once. That pays while a
 * picture has few pixels, as most of the time is spent on the weights then; large pictures gain
 * nothing and take more memory, so each is drawn alone. Every picture has its own noise and sampler
 * and comes out as it would alone.
 */
#ifndef LAR_PIPELINE_SHOTS_H
#define LAR_PIPELINE_SHOTS_H

#include "pipeline/noise.h"
#include "pipeline/sampler.h"

struct err;

/* One evaluation is for no more latent pixels than an SD picture of 512x512 with guidance has: its
 * memory then never grows by drawing several. */
#define SHOTS_PIXELS (2 * 64 * 64)
#define SHOTS_MAX    16

/* How many of n pictures to draw together, of `rows` rows of h x w latent pixels each; >= 1. */
int shots_together(int n, int rows, int h, int w);

struct shot {
    struct noise_options options; /* its seed among them */
    struct noise noise;
    struct sampler sampler;
    float *x; /* [h, w, c], its state; borrowed */
};

/* .options and .x are set. A zeroed one may be closed. */
int shot_open(struct shot *s, enum sampler_kind kind, const struct schedule *schedule,
              struct err *e);
void shot_close(struct shot *s);

#endif
