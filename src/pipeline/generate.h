/* generate.h - answers of a language model: many requests, one batch per step.
 *
 *     generator_add(g, &request, &id, e);          any number, at any time
 *     while (generator_step(g)) {}                 events come from inside
 *
 *     waiting ──► prompt, in chunks ──► one token a step ──► end
 *                 (what the cache knows is skipped)
 *
 * A step is one run of the model: a token of every sequence that is answering and, in the rows left
 * over, chunks of prompts, so that a long prompt does not hold up the others. A request waits until
 * a sequence is free and the cache could hold all it may need, so none is ever stopped half way for
 * another. Tokens go in and text comes out: templates, thinking and tool calls are others'
 * business.
 *
 * The same request and seed give the same answer on the same machine when it runs alone; in a batch
 * sums are taken in another order, so two equally likely tokens may be swapped.
 *
 * One thread at a time; only the flags of requests may be set from others.
 */
#ifndef LAR_PIPELINE_GENERATE_H
#define LAR_PIPELINE_GENERATE_H

#include "tensor/dtype.h"
#include "text/token_sampler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend;
struct constraint;
struct err;
struct generator;
struct text_model;

struct generator_options {
    struct backend *backend; /* both borrowed until generator_free() */
    const struct text_model *model;
    enum dtype cache_type; /* f16, q8_0, q4_0 or f32 */
    int n_ctx;             /* tokens of a request, prompt and answer */
    int n_cache;           /* tokens the cache holds; 0: n_ctx for each sequence */
    int n_sequences;       /* that run at once */
    int n_batch;           /* rows of a step at most */
    int n_chunk;           /* rows of prompts in a step while others are answering */
    bool exact;            /* activations are not rounded before products; slower */
};

enum generate_finish {
    GENERATE_STOP,   /* the model, a stop string or the constraint ended it */
    GENERATE_LENGTH, /* max_tokens, or the context is full */
    GENERATE_CANCELLED,
    GENERATE_ERROR
};

struct generate_timings {
    int n_prompt, n_cached; /* tokens; cached ones were not evaluated */
    int n_generated;
    double waited;     /* seconds until the request was begun */
    double prompt;     /* from then to the first token */
    double generation; /* from the first token to the end */
};

/* Text comes in whole characters, held back while a stop string may have begun; the sum of all
 * events' texts is the answer. Everything is borrowed for the callback. */
struct generate_event {
    bool end;         /* the last event of the request: no token */
    const char *text; /* n_text bytes, NUL-terminated, may be "" */
    size_t n_text;
    const struct token_choice
        *token;                  /* its id, log probability and alternatives; NULL at the end */
    enum generate_finish finish; /* the rest at the end */
    const char *stop;            /* the stop string found, or NULL */
    const struct err *error;     /* of GENERATE_ERROR */
    struct generate_timings timings;
};

/* May add and cancel requests. */
typedef void generate_event_fn(const struct generate_event *ev, void *ctx);

struct generate_request {
    const int32_t *prompt; /* [n_prompt], at least one */
    int n_prompt;
    struct token_sampler_params sampler; /* with its seed */
    struct constraint *constraint; /* what the answer must be; borrowed until the end; or NULL */
    const char *const *stop;       /* [n_stop] */
    int n_stop;
    int max_tokens;  /* of the answer; < 0: until the context is full */
    bool ignore_end; /* an end token is a token like others; for benchmarks */
    bool special;    /* the text of special tokens belongs to the answer, but for end tokens' */
    bool shift;      /* a full context forgets the older half of what follows the first n_keep */
    int n_keep;      /* tokens */
    const atomic_bool *cancel; /* ends it within a step, with its end event; or NULL */
    generate_event_fn *on_event;
    void *ctx;
};

/* n_sequences 1, n_batch 512, n_chunk 128, f16, and the model's context up to 4096. */
void generator_options_init(struct generator_options *o, struct backend *b,
                            const struct text_model *m);
/* max_tokens < 0; the sampler's defaults are the model's. */
void generate_request_init(struct generate_request *r, const struct text_model *m);

int generator_new(struct generator **g, const struct generator_options *o, struct err *e);
/* NULL is fine. Requests that are left get no more events. */
void generator_free(struct generator *g);

/* Copies all of the request but what is said to be borrowed. ERR_ARG with what is wrong with it. */
int generator_add(struct generator *g, const struct generate_request *r, int *id, struct err *e);

/* The request's end event comes within the next step; one that is gone is fine. */
void generator_cancel(struct generator *g, int id);

/* Runs one batch. The number of requests that are not at their end: 0 means there is nothing to
 * do. What fails ends the requests it concerns. */
int generator_step(struct generator *g);

/* What the cache holds, for showing it. */
struct kvcache_use generator_cache_use(const struct generator *g);
size_t generator_cache_bytes(const struct generator *g);

#endif
