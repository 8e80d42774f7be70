/* condition.h - what the UNet is told: prompts as hidden states, SDXL's pooled text and sizes.
 *
 * Row 0 is the negative prompt where guidance is on, the last row the prompt. Prompts are read as
 * text/prompt.h says and cut as text/chunks.h says; the shorter of the two is followed by chunks of
 * nothing. A token's weight multiplies its state, and each chunk's states are then scaled back to
 * the mean they had (stable-diffusion-webui, modules/sd_emphasis.py, EmphasisOriginal). The pooled
 * text is that of the first chunk, without weights.
 */
#ifndef LAR_PIPELINE_CONDITION_H
#define LAR_PIPELINE_CONDITION_H

#include "tensor/dtype.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct adapters;
struct backend;
struct condition_part;
struct embeddings;
struct err;
struct image_model;

struct condition_request {
    const char *prompt;
    const char *negative; /* NULL: none */
    bool guided;          /* a row for the negative prompt */
    int clip_skip;        /* >= 1 */
    int width, height;    /* pixels */
    enum dtype precision;
    const atomic_bool *cancel;           /* or NULL */
    const struct adapters *adapters;     /* of the request's LoRAs; or NULL */
    const char *adapters_id;             /* as struct lora_stack has it */
    const struct embeddings *embeddings; /* textual inversions: for condition_cut(); or NULL */
};

struct condition {
    int n;                        /* rows: 1, or 2 with guidance */
    int n_chunks;                 /* of each row */
    int64_t n_ctx;                /* tokens of a row: those of all its chunks */
    float *context;               /* owned; [n, n_ctx, n_context] */
    float *add;                   /* owned; [n, n_add], SDXL; NULL otherwise */
    struct condition_part *parts; /* owned; the cut prompts, until they are encoded */
    int n_parts;
};

/* Cuts the prompts into chunks: n, n_chunks and n_ctx are known. ERR_ARG for a prompt that is too
 * long or a clip skip beyond the layers, ERR_NOMEM. */
int condition_cut(struct condition *c, const struct image_model *m,
                  const struct condition_request *r, struct err *e);

/* Then runs the text encoders for the same request, or recalls what they made. ERR_CANCELLED,
 * ERR_NOMEM; `c` is empty then. */
int condition_encode(struct condition *c, struct image_model *m, struct backend *b,
                     const struct condition_request *r, struct err *e);
void condition_release(struct condition *c);

#endif
