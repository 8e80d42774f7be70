/* image_model.h - a text-to-image model of the Stable Diffusion family, opened from any file or
 * folder that format/checkpoint.h reads. What it is follows from the file, never from a flag.
 *
 *     family      told by                                          conditioning
 *     SD 1.x      one text encoder with quick GELU (CLIP-L)        last state, normalised
 *     SD 2.x      one text encoder with GELU (OpenCLIP-H)          last state, normalised; the
 * layer after it is not in the model SDXL        the UNet has an added embedding both encoders'
 * states before the last; pooled text; sizes
 */
#ifndef LAR_PIPELINE_IMAGE_MODEL_H
#define LAR_PIPELINE_IMAGE_MODEL_H

#include "base/lru.h"
#include "models/clip.h"
#include "models/taesd.h"
#include "models/unet.h"
#include "models/vae.h"
#include "pipeline/distilled.h"
#include "pipeline/sampler.h"

struct checkpoint;
struct clip_tokenizer;
struct err;

#define IMAGE_MAX_LATENT 16 /* channels for which there are previews */

enum image_family { IMAGE_SD1, IMAGE_SD2, IMAGE_SDXL };

/* What to use where the user says nothing. */
struct image_defaults {
    int width, height; /* pixels */
    int steps;
    double guidance; /* <= 1: none */
    enum sampler_kind sampler;
    enum schedule_kind schedule;
};

struct image_text {
    struct clip encoder;
    struct clip_tokenizer *tokenizer;
    bool present;
};

struct image_model {
    struct checkpoint *file; /* owned */
    enum image_family family;
    struct image_text text[2]; /* "text_encoder", "text_encoder_2" */
    struct unet unet;
    struct vae vae;
    struct taesd taesd; /* instead of the VAE where the file has this one */
    bool tiny_vae;
    struct schedule_params schedule; /* training noise levels, prediction type */
    struct image_defaults defaults;
    bool zero_negative; /* an absent negative prompt is zeros, not the encoding of "" (SDXL) */
    struct distilled distilled;

    /* Of requests, which run one after the other: what the text encoders made of chunks. */
    struct lru text_states;
    unsigned long n_encoded; /* chunks that a text encoder was run for */
    /* RGB in 0..255 of a latent and of 1, fitted by the first preview that wants it (preview.h). */
    float preview_map[IMAGE_MAX_LATENT + 1][3];
    bool has_preview_map;
};

/* The files of a model. `path` may hold all of it; what the others hold takes its place. */
struct image_files {
    const char *path;            /* a file or folder */
    const char *vae;             /* a VAE or TAESD, or a model with one; NULL */
    const char *text_encoder[2]; /* in any order; NULL at the end */
};
int image_model_open_files(struct image_model **m, const struct image_files *f, struct err *e);

/* Opens everything the pictures need. ERR_FORMAT and friends name file and tensor; *m is NULL
 * then. */
int image_model_open(struct image_model **m, const char *path, struct err *e);
void image_model_close(struct image_model *m); /* NULL is fine */

/* The name of the file or folder without its extension, "sd_turbo"; heap,
 * the caller frees. */
char *image_model_name(const struct image_model *m);

/* Pixels per latent, and the multiple that width and height must have: 8. */
int image_model_factor(const struct image_model *m);

#endif
