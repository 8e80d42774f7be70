/* imagine.h - from a prompt (and perhaps a picture) to pictures.
 *
 *     encode the prompts once -> for each picture: noise -> sampler and UNet -> VAE -> callback
 *
 * Picture i of a request has the seeds that imagine_seeds() gives and is the same picture as a
 * request of its own with these would give.
 */
#ifndef LAR_PIPELINE_IMAGINE_H
#define LAR_PIPELINE_IMAGINE_H

#include "pipeline/hires.h"
#include "pipeline/lora_stack.h"
#include "pipeline/noise.h"
#include "pipeline/schedule.h"
#include "tensor/tape.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct backend;
struct err;
struct image_model;
struct imagine_control;
struct imagine_reference;
struct picture;
struct taesd;

enum imagine_phase { IMAGINE_ENCODE, IMAGINE_STEP, IMAGINE_DECODE };

struct imagine_progress {
    enum imagine_phase phase; /* about to begin; IMAGINE_STEP: `step` steps are done */
    int step, n_steps;        /* model evaluations of this picture */
    int picture, n_pictures;  /* 0 .. n_pictures - 1 */
};

/* Start with imagine_init(), which takes the model's defaults. Everything is borrowed for the
 * call. */
struct imagine_request {
    const char *prompt;   /* UTF-8; "" is allowed */
    const char *negative; /* NULL: none */
    int width, height;    /* multiples of image_model_factor() */
    int steps;
    double guidance;         /* <= 1: off, and the negative prompt has no effect */
    double guidance_rescale; /* 0: off, to 1; see guidance.h */
    enum sampler_kind sampler;
    enum schedule_kind schedule;
    const double *sigmas; /* [steps] noise levels in place of the schedule; NULL */
    double eta;           /* of the sampler, see schedule.h; < 0: the usual */
    enum noise_kind noise;
    uint64_t seed;
    const uint64_t *seeds;       /* [n_pictures] in place of seed, seed + 1, ...; NULL */
    uint64_t variation;          /* another seed, whose noise is mixed in (noise.h) */
    double variation_strength;   /* 0: off, to 1 */
    int n_pictures;              /* >= 1 */
    int clip_skip;               /* as A1111: 1 is the usual last state, 2 leaves one more out */
    const struct picture *image; /* start from this picture, scaled and cropped to fit; or NULL */
    const float *latent;         /* start from this [h / factor, w / factor, c] in place; or NULL */
    double strength;             /* 0 < strength <= 1: how much of it is drawn anew */
    const struct imagine_control *controls; /* ControlNets, pipeline/control.h; they add up */
    int n_controls;
    const struct imagine_lora *loras; /* n_loras of them; their order does not matter */
    int n_loras;
    const struct picture *mask; /* with `image`: white is drawn anew, black stays; or NULL */
    int mask_seam;              /* pixels of transition inside the mask */
    bool mask_area;             /* draw the mask's surroundings only, at the full size */
    int mask_padding;           /* pixels of `image` around the mask to draw with it */
    const struct imagine_reference *references; /* styles and faces, pipeline/reference.h */
    int n_references;
    enum wrap wrap;                /* tileable: the picture goes on at its other side */
    struct imagine_hires hires;    /* draw again at a larger size */
    const char *const *embeddings; /* files of textual inversions, pipeline/embedding.h */
    int n_embeddings;
    enum dtype precision; /* of activations: DTYPE_F32 or DTYPE_BF16 */

    /* Called from imagine() in its thread. A non-zero result ends the request with that code. */
    int (*on_progress)(const struct imagine_progress *p, void *ctx);
    /* The finished picture, owned by imagine(); copy or write it. RGB of the request's size; with
     * a mask it has the source's alpha, with mask_area the source's size. */
    int (*on_picture)(const struct picture *p, int i, uint64_t seed, void *ctx);
    /* In place of decoding and on_picture: takes the finished latent, [h / factor, w / factor, c].
     */
    int (*on_drawn)(const float *latent, int i, void *ctx);
    /* What the picture will look like after this step of it (preview.h), owned by imagine(). NULL:
     * no previews. They take at most this share of the time; 0: one after each step. */
    int (*on_preview)(const struct picture *p, int step, void *ctx);
    double preview_share;
    const struct taesd *preview_decoder; /* NULL: the model's own where it is tiny, else linear */
    void *ctx;
    const atomic_bool *cancel; /* polled after every op; true ends with ERR_CANCELLED; or NULL */

    /* For tests, in place of the noise and the result: called after each step (with hires: of the
     * second drawing) with the latent [h, w, c]; may be NULL. */
    void (*on_latent)(const float *latent, int step, void *ctx);
};

void imagine_init(struct imagine_request *r, const struct image_model *m, const struct backend *b);

/* The seeds of picture i: of a variation the second one counts up, as in AUTOMATIC1111, unless
 * `seeds` are given. */
struct imagine_seeds {
    uint64_t seed, variation;
};
struct imagine_seeds imagine_seeds(const struct imagine_request *r, int i);

/* Draws. ERR_ARG for values out of range, ERR_NOMEM with the memory it would take when the
 * machine has too little for this size, ERR_NUMERIC naming the tensor when the weights hold NaN. */
int imagine(struct image_model *m, struct backend *b, const struct imagine_request *r,
            struct err *e);

#endif
