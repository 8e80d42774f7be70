/* perplexity.c - see perplexity.h. */
#include "pipeline/perplexity.h"

#include "base/err.h"
#include "base/mem.h"
#include "nn/kvcache.h"
#include "pipeline/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Logits of a large vocabulary take half a megabyte a row. */
#define MAX_OUTPUTS 128

/* -log of what softmax gives token `id`. */
static double surprise(const float *logits, int n, int32_t id)
{
    float most = logits[0];
    double sum = 0;
    for (int i = 1; i < n; i++)
        most = logits[i] > most ? logits[i] : most;
    for (int i = 0; i < n; i++)
        sum += expf(logits[i] - most);
    return log(sum) + most - logits[id];
}

/* The last token predicts nothing that is counted, so it is not evaluated. */
static int evaluate_window(struct evaluator *ev, const struct perplexity_request *r,
                           const int32_t *tokens, struct kvcache_seq *s, struct perplexity *p,
                           struct err *e)
{
    int first = r->n_ctx / 2;
    for (int at = 0; at < r->n_ctx - 1;) {
        int end = at < first ? first : r->n_ctx - 1;
        int n = end - at < MAX_OUTPUTS || at < first ? end - at : MAX_OUTPUTS;
        float *logits;
        struct evaluator_part part = {s, tokens + at, n, at < first ? 0 : n};
        int rc = evaluate(ev, &part, 1, &logits, e);
        if (rc)
            return rc;
        for (int i = 0; i < part.n_outputs; i++) {
            double x = surprise(logits + (size_t)i * (size_t)r->n_vocab, r->n_vocab,
                                tokens[at + i + 1]);
            if (!isfinite(x))
                return err_set(e, ERR_NUMERIC, "the model gave NaN or infinity at token %d",
                               at + i);
            p->sum += x;
            p->sum2 += x * x;
            p->n_tokens++;
        }
        at += n;
    }
    return 0;
}

static void conclude(struct perplexity *p)
{
    double n = (double)p->n_tokens, mean = p->sum / n;
    double variance = p->sum2 / n - mean * mean;
    p->value = exp(mean);
    p->error = n > 1 && variance > 0 ? p->value * sqrt(variance / (n - 1)) : 0;
}

int perplexity(struct evaluator *ev, const struct perplexity_request *r, struct perplexity *p,
               struct err *e)
{
    *p = (struct perplexity){0};
    if (r->n_ctx < 8)
        return err_set(e, ERR_ARG, "a window of %d tokens: 8 is the least", r->n_ctx);
    if (r->n / r->n_ctx < 2)
        return err_set(e, ERR_ARG,
                       "the text has %d tokens: perplexity in windows of %d needs %d or more", r->n,
                       r->n_ctx, 2 * r->n_ctx);
    int n_windows = r->n / r->n_ctx;
    if (r->n_windows > 0 && r->n_windows < n_windows)
        n_windows = r->n_windows;
    int32_t *tokens = mem_try_array((size_t)r->n_ctx, sizeof(*tokens), "a window", e);
    int rc = tokens ? 0 : ERR_NOMEM;
    while (!rc && p->n_windows < n_windows) {
        struct kvcache_seq s = {0};
        memcpy(tokens, r->tokens + (size_t)p->n_windows * (size_t)r->n_ctx,
               (size_t)r->n_ctx * sizeof(*tokens));
        if (r->bos >= 0)
            tokens[0] = r->bos;
        rc = evaluate_window(ev, r, tokens, &s, p, e);
        kvcache_end(evaluator_cache(ev), &s);
        p->n_windows += !rc;
        conclude(p);
        if (!rc && r->on_window && (rc = r->on_window(p, n_windows, r->ctx)))
            err_set(e, rc, "stopped after window %d", p->n_windows);
    }
    free(tokens);
    return rc;
}
