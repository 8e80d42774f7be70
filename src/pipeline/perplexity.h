/* perplexity.h - how well a language model predicts a text: exp of the mean negative log
 * probability of its tokens.
 *
 *     text     [ window 0 ][ window 1 ][ window 2 ] rest left out
 *     window   [ context   | counted   ]                each one starts afresh, with BOS
 *
 * As llama.cpp's llama-perplexity does it, so that the figures compare: windows of n_ctx tokens
 * side by side, the first token of each replaced by BOS where the model wants one, tokens counted
 * from the middle of a window on.
 */
#ifndef LAR_PIPELINE_PERPLEXITY_H
#define LAR_PIPELINE_PERPLEXITY_H

#include <stdint.h>

struct err;
struct evaluator;

struct perplexity {
    int n_windows;    /* so far */
    int64_t n_tokens; /* counted */
    double sum, sum2; /* of -log p and its square */
    double value;     /* the perplexity */
    double error;     /* its standard error */
};

struct perplexity_request {
    const int32_t *tokens; /* [n] */
    int n, n_vocab;
    int n_ctx;     /* of a window; 8 at least */
    int n_windows; /* at most; 0: all */
    int32_t bos;   /* -1: the model wants none */
    int (*on_window)(const struct perplexity *p, int n_windows, void *ctx); /* or NULL; else 0 */
    void *ctx;
};

/* The evaluator's cache holds at least n_ctx tokens and belongs to nobody else meanwhile. ERR_ARG
 * for a text of less than two windows. */
int perplexity(struct evaluator *ev, const struct perplexity_request *r, struct perplexity *p,
               struct err *e);

#endif
