/* encode.h - chunks of a prompt become a text encoder's states, or are remembered.
 *
 * Chunks are encoded once per model, however often they occur: in the next picture, in the next
 * prompt, as the padding of a shorter prompt. Row by row the states do not depend on what else is
 * encoded with them, so a remembered chunk is the same to the bit.
 */
#ifndef LAR_PIPELINE_ENCODE_H
#define LAR_PIPELINE_ENCODE_H

#include "tensor/dtype.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct adapters;
struct backend;
struct err;
struct image_model;

/* What to encode and how. All that decides about a chunk's states is part of the cache's key. */
struct encode_request {
    const int32_t *ids; /* [n, n_ctx] */
    size_t n;
    int which;       /* text encoder 0 or 1 */
    int skip;        /* layers left out at the end */
    bool final_norm; /* normalise the state */
    bool pooled;     /* the pooled state too; the encoder has a projection */
    enum dtype precision;
    const float
        *vectors; /* [n_vectors, n_embd]: what ids from the encoder's n_vocab on stand for */
    size_t n_vectors;
    const struct adapters *adapters; /* of LoRAs, or NULL */
    const char *adapters_id;         /* tells them apart; NULL: nothing is remembered with them */
    const atomic_bool *cancel;       /* or NULL */
};

/* The states of one chunk. */
struct encode_result {
    float *hidden; /* [n_ctx, n_embd], the caller's */
    float *pooled; /* [n_proj] or NULL */
};

/* Fills out[0..n). ERR_CANCELLED, ERR_NOMEM. */
int encode_chunks(struct image_model *m, struct backend *b, const struct encode_request *r,
                  const struct encode_result *out, struct err *e);

#endif
