/* recipe.h - everything that draws a picture again, and how it travels inside the picture.
 *
 * Two forms: A1111's "infotext" (PNG keyword `parameters`), which every gallery and web UI reads,
 * and our JSON (keyword `lar`), which loses nothing.
 */
#ifndef LAR_PIPELINE_RECIPE_H
#define LAR_PIPELINE_RECIPE_H

#include "pipeline/recipe_mask.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;
struct picture_text;

#define RECIPE_MAX_TEXT     (4u << 20) /* bytes of either form */
#define RECIPE_MAX_GUIDANCE 1e6
#define RECIPE_MAX_UPSCALE  1000

struct recipe_lora {
    char *name;
    char *hash;         /* NULL: unknown */
    double weight;      /* 1: as trained; on the UNet */
    double text_weight; /* on the text encoders */
};

/* Strings are owned UTF-8, NULL when unknown. Values outside the range given mean "unknown", so
 * that a recipe read from a picture only overrides what it says. recipe_init() makes everything
 * unknown. */
struct recipe {
    char *prompt;
    char *negative;
    char *sampler;    /* our name: euler, euler_a, dpmpp_2m, ...; foreign names as they are */
    char *schedule;   /* our name: normal, karras, trailing, ...; foreign names as they are */
    char *sigmas;     /* noise levels given in place of a schedule: "14.6,6.5,...,0" */
    char *embeddings; /* textual inversions, "name: hash, name: hash" as A1111's "TI hashes" */
    char *model;
    char *model_hash;      /* leading hexadecimal digits of its SHA-256 */
    char *vae;             /* in place of the model's own: the file, without folders and ending */
    char *text_encoder[2]; /* likewise */
    char *source;          /* the picture it started from, without folders */
    char *source_hash;
    char *tileable;  /* the ways its sides fit together: both, x or y; NULL: they need not */
    char *precision; /* of the activations: f32 or bf16; in JSON only */
    char *rng;       /* philox (as CUDA, A1111's "NV") or mt19937 (as PyTorch's CPU) */
    char *upscaler;  /* the network that enlarged it afterwards */
    char *version;   /* the program: "lar 0.1.0" */
    struct recipe_lora *loras;
    int n_loras;
    char *hires_upscaler;        /* a name of pipeline/hires.h or of a network; with `hires` */
    char *extend;                /* how far beyond the source's sides: margins_text() */
    struct recipe_mask mask;     /* which part of the source was drawn */
    struct recipe_guide *guides; /* pipeline/recipe_guides.h */
    int n_guides;
    int steps;                 /* >= 1 */
    int width, height;         /* pixels, >= 1 */
    int clip_skip;             /* as A1111 counts: 1 is the last layer, >= 1 */
    double guidance;           /* >= 0 */
    double guidance_rescale;   /* 0..1 */
    double eta;                /* 0..1; < 0: the sampler's usual one */
    double strength;           /* 0..1; < 0: drawn from noise alone */
    double hires;              /* times as large it was drawn again; < 0: it was not */
    double hires_strength;     /* 0..1 */
    int hires_steps;           /* >= 1 */
    double variation_strength; /* 0..1; <= 0: no variation */
    double upscale;            /* how many times; <= 0: not enlarged */
    bool has_seed;
    uint64_t seed, variation_seed;
};

void recipe_init(struct recipe *r);
void recipe_release(struct recipe *r);
/* Replaces an owned string field by a copy; NULL clears it. */
void recipe_set(char **field, const char *value);
/* With one weight for all; set .text_weight for another. */
void recipe_add_lora(struct recipe *r, const char *name, double weight, const char *hash);

/* Appends text with malformed UTF-8 replaced by U+FFFD, as both forms need it. */
void recipe_append_utf8(struct buf *b, const char *s);
/* A decimal number below 2^64 and nothing else. */
bool recipe_parse_seed(const char *s, uint64_t *seed);

/* A1111's infotext, byte for byte as its create_infotext() would; broken UTF-8 becomes U+FFFD.
 * Heap, the caller frees. LoRAs are `<lora:name:weight>` after the prompt, as there. */
char *recipe_to_parameters(const struct recipe *r);

/* Reads infotext into `r`, which need not be initialised; the caller releases it. Unknown keys are
 * ignored, impossible values too, and text without any settings is all prompt, as in A1111; so
 * only a text beyond 4 MiB fails, with ERR_FORMAT and `r` empty. Old forms are understood
 * (`Sampler: DPM++ 2M Karras`); `<lora:name:weight>` moves from the prompt to the list. */
int recipe_from_parameters(struct recipe *r, const char *text, struct err *e);

/* One JSON object with the field names of struct recipe, heap; unknown fields are left out. Numbers
 * have 15 digits; seeds above 2^53 are strings, since JavaScript would round them. */
char *recipe_to_json(const struct recipe *r);
/* ERR_FORMAT with the place when it is not JSON, not an object, or a field has a wrong type or
 * range; fields we do not know are ignored. `r` as above. */
int recipe_from_json(struct recipe *r, const char *text, struct err *e);

/* Adds both forms as the texts of a PNG, keywords `parameters` and `lar`. */
void recipe_to_text(const struct recipe *r, struct picture_text *t);
/* The best recipe in a picture's texts: `lar`, else `parameters`, else EXIF's UserComment where
 * A1111 wrote it. ERR_NOT_FOUND when there is none; `name` is the picture in messages. `r` as
 * above. */
int recipe_from_text(struct recipe *r, const struct picture_text *t, const char *name,
                     struct err *e);

#endif
