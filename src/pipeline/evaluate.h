/* evaluate.h - runs a language model over tokens of several sequences at once.
 *
 *     parts  { A: 1 token } { B: 1 token } { C: 300 tokens of a prompt }
 *     rows   [ a ][ b ][ c c c c c c c ... c ]      one run: attention knows which row is whose
 *     logits [ a ][ b ][                   c ]      of the rows that somebody wants them of
 *
 * Prompts, decoding and anything mixed are the same thing. Tapes are kept by the number of rows and
 * outputs, so that decoding records nothing. generate.h, perplexity.h and the benchmarks stand on
 * this. One thread at a time.
 */
#ifndef LAR_PIPELINE_EVALUATE_H
#define LAR_PIPELINE_EVALUATE_H

#include "tensor/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend;
struct err;
struct evaluator;
struct kvcache;
struct kvcache_seq;
struct language_model;

/* Asked between operations: true stops the run with ERR_CANCELLED. */
typedef bool evaluate_stop(void *ctx);

struct evaluator_options {
    struct backend *backend; /* both borrowed until evaluator_free() */
    const struct language_model *model;
    enum dtype cache_type; /* kv_can() */
    int n_tokens;          /* that the cache holds, of all sequences together */
    int n_ctx;             /* the longest a sequence can become; 0: n_tokens */
    bool exact;            /* activations are not rounded before products; slower */
    evaluate_stop *stop;   /* or NULL */
    void *ctx;
};

/* ERR_ARG names a cache type that is none; ERR_NOMEM when the cache cannot fit. */
int evaluator_new(struct evaluator **ev, const struct evaluator_options *o, struct err *e);
void evaluator_free(struct evaluator *ev); /* NULL is fine; sequences end before */

/* For beginning and ending sequences. */
struct kvcache *evaluator_cache(struct evaluator *ev);
size_t evaluator_cache_bytes(const struct evaluator *ev); /* when all of it is in use */

/* The next n tokens of a sequence, and of how many of them, counted from the last, the logits are
 * wanted. */
struct evaluator_part {
    struct kvcache_seq *seq;
    const int32_t *tokens;
    int n, n_outputs;
};

/* Evaluates all parts in one run. *logits [sum of n_outputs, n_vocab] is borrowed until the next
 * call and may be written to. After a failure no sequence has moved. */
int evaluate(struct evaluator *ev, const struct evaluator_part *parts, int n_parts, float **logits,
             struct err *e);

#endif
