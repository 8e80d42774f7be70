/* generation.h - one request of a generator: its tokens, and the way from logits to events.
 *
 *     logits ─► sampler ─► token ─► characters ─► stop strings ─► event
 *
 * generate.c decides what runs when; here nothing knows of batches.
 */
#ifndef LAR_PIPELINE_GENERATION_H
#define LAR_PIPELINE_GENERATION_H

#include "nn/kvcache.h"
#include "pipeline/generate.h"
#include "text/stop.h"
#include "text/detokenizer.h"

struct generation {
    struct generation *next; /* in the order they came */
    int id;
    struct generate_request r; /* prompt and stop strings are here, not there */
    const struct text_model *model;
    struct kvcache_seq seq;
    int32_t *tokens; /* owned; [n_ctx]: the prompt, then the answer */
    int n_tokens, n_ctx;
    struct token_sampler *sampler; /* owned */
    uint32_t *allowed;             /* owned; the constraint's mask; NULL without one */
    struct detokenizer detokenizer;
    struct stop_filter stop;
    struct buf text; /* of the event to come */
    int promised;    /* blocks of the cache it may need; 0: it waits */
    bool begun;      /* has its sequence */
    bool cancelled;
    bool ended;                   /* its last event is out */
    double added, started, first; /* when, in clock_seconds(); 0: not yet */
    struct generate_timings timings;
};

/* Checks and copies the request. */
int generation_new(struct generation **out, const struct text_model *m,
                   const struct generate_request *r, int n_ctx, struct err *e);
/* The sequence has ended before. */
void generation_free(struct generation *x);

/* Chooses the next token from these logits, which it overwrites, and tells it; ends the request
 * where this was the last one. A full context of a request that may shift is shortened: then
 * x->begun is false and the sequence must be begun anew. */
void generation_take(struct generation *x, float *logits);

/* Sends the last event, with the text still held back unless a stop string was found. */
void generation_end(struct generation *x, enum generate_finish finish, const char *stop,
                    const struct err *error);

#endif
