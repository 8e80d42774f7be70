/* condition.h - what the UNet is told: prompts as hidden states, SDXL's pooled text and sizes.
 *
 * Row 0 is the negative prompt where guidance is on, the last row the prompt.
 */
#ifndef LAR_PIPELINE_CONDITION_H
#define LAR_PIPELINE_CONDITION_H

#include "tensor/dtype.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct adapters;
struct backend;
struct err;
struct image_model;

struct condition_request {
    const char *prompt;
    const char *negative; /* NULL: none */
    bool guided;          /* a row for the negative prompt */
    int clip_skip;        /* >= 1 */
    int width, height;    /* pixels */
    enum dtype precision;
    const atomic_bool *cancel;       /* or NULL */
    const struct adapters *adapters; /* of the request's LoRAs; or NULL */
};

struct condition {
    int n;          /* rows: 1, or 2 with guidance */
    int64_t n_ctx;  /* tokens */
    float *context; /* owned; [n, n_ctx, n_context] */
    float *add;     /* owned; [n, n_add], SDXL; NULL otherwise */
    int n_cut;      /* tokens of the prompt that did not fit */
};

/* Runs the text encoders. ERR_CANCELLED, ERR_NOMEM, and ERR_FORMAT for tokens without a row. */
int condition_make(struct condition *c, const struct image_model *m, struct backend *b,
                   const struct condition_request *r, struct err *e);
void condition_release(struct condition *c);

#endif
