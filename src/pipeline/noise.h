/* noise.h - the Gaussian noise of one picture: its start and what stochastic samplers add.
 *
 * Every picture owns one generator, seeded with its own seed (picture i of a batch: seed + i, as
 * AUTOMATIC1111 does and diffusers with a list of generators), so a picture does not depend on the
 * batch it was drawn in. Each noise_fill() continues the stream, as one torch.randn() of shape
 * [c, h, w] on that generator would.
 *
 * A variation mixes the first fill with that of another seed, as AUTOMATIC1111 does: by spherical
 * interpolation between columns, that is over h for each channel and x.
 */
#ifndef LAR_PIPELINE_NOISE_H
#define LAR_PIPELINE_NOISE_H

#include "base/rng.h"

struct err;

enum noise_kind {
    NOISE_PHILOX,  /* AUTOMATIC1111 ("NV"), torch on CUDA; the default */
    NOISE_MT19937, /* ComfyUI, diffusers with a CPU generator, AUTOMATIC1111 ("CPU") */
    N_NOISE
};

struct noise {
    enum noise_kind kind;
    int h, w, c;  /* shape of the latent */
    float *draft; /* owned; [c, h, w], the order in which values are drawn */
    float *other; /* owned; [c, h, w], the first draw of the variation; NULL: none, or mixed in */
    double strength;
    union {
        struct rng_philox philox;
        struct rng_mt19937 mt19937;
    } rng;
};

/* "philox" (also "nv", "cuda", "gpu") and "mt19937" (also "cpu", "torch"), in any case. ERR_ARG for
 * another name. */
int noise_kind_parse(const char *name, enum noise_kind *kind, struct err *e);
const char *noise_kind_name(enum noise_kind kind); /* "philox", "mt19937" */

struct noise_options {
    enum noise_kind kind;
    uint64_t seed;
    int h, w, c;        /* of the latent, all > 0 */
    uint64_t variation; /* the other seed */
    double strength;    /* its share, 0 (none) to 1 */
};

/* ERR_NOMEM when there is no room for the drafts. A zeroed struct may be released. */
int noise_init(struct noise *s, const struct noise_options *o, struct err *e);
void noise_release(struct noise *s);

size_t noise_size(const struct noise *s); /* h * w * c */

/* The next h * w * c values, stored channels last: dst [h, w, c]. */
void noise_fill(struct noise *s, float *dst);

#endif
