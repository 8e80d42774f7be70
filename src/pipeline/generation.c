/* generation.c - see generation.h. */
#include "pipeline/generation.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "pipeline/text_model.h"
#include "text/constraint.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests ---- */

static int check(const struct generate_request *r, int n_vocab, int n_ctx, struct err *e)
{
    if (r->n_prompt < 1)
        return err_set(e, ERR_ARG, "the prompt is empty");
    if (r->n_prompt >= n_ctx)
        return err_set(
            e, ERR_ARG,
            "the prompt has %d tokens, and the context holds %d with the answer: shorten "
            "it, or give a larger context",
            r->n_prompt, n_ctx);
    for (int i = 0; i < r->n_prompt; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= n_vocab)
            return err_set(e, ERR_ARG, "token %d of the prompt is %d: the model has %d", i,
                           (int)r->prompt[i], n_vocab);
    if (r->shift && (r->n_keep < 0 || r->n_keep > n_ctx / 2))
        return err_set(e, ERR_ARG, "%d tokens to keep: at most half of the context, %d", r->n_keep,
                       n_ctx / 2);
    return 0;
}

int generation_new(struct generation **out, const struct text_model *m,
                   const struct generate_request *r, int n_ctx, struct err *e)
{
    int n_vocab = language_params(m->language)->n_vocab;
    *out = NULL;
    int rc = check(r, n_vocab, n_ctx, e);
    if (rc)
        return rc;
    struct generation *x = mem_alloc(sizeof(*x));
    x->r = *r;
    x->model = m;
    x->n_ctx = n_ctx;
    x->added = clock_seconds();
    x->timings.n_prompt = r->n_prompt;
    buf_init(&x->text, SIZE_MAX);
    detokenizer_init(&x->detokenizer, m->tokenizer, r->special);
    x->detokenizer.begun = true; /* the answer goes on with the text of the prompt */
    rc = stop_init(&x->stop, r->stop, r->n_stop, e);
    if (!rc)
        rc = token_sampler_new(&x->sampler, &r->sampler, (size_t)n_vocab, e);
    if (!rc && !(x->tokens = mem_try_array((size_t)n_ctx, sizeof(*x->tokens), "a context", e)))
        rc = ERR_NOMEM;
    if (!rc && r->constraint &&
        !(x->allowed = mem_try_array(((size_t)n_vocab + 31) / 32, sizeof(*x->allowed),
                                     "a constraint", e)))
        rc = ERR_NOMEM;
    if (rc) {
        generation_free(x);
        return rc;
    }
    memcpy(x->tokens, r->prompt, (size_t)r->n_prompt * sizeof(*x->tokens));
    x->n_tokens = r->n_prompt;
    for (int i = 0; i < r->n_prompt; i++)
        token_sampler_accept(x->sampler, r->prompt[i]);
    x->r.prompt = NULL;
    x->r.stop = NULL;
    *out = x;
    return 0;
}

void generation_free(struct generation *x)
{
    if (!x)
        return;
    free(x->tokens);
    free(x->allowed);
    token_sampler_free(x->sampler);
    stop_release(&x->stop);
    buf_release(&x->text);
    free(x);
}

/* ---- events ---- */

static void send(struct generation *x, struct generate_event *ev)
{
    ev->text = buf_str(&x->text);
    ev->n_text = x->text.len;
    if (x->r.on_event)
        x->r.on_event(ev, x->r.ctx);
    buf_reset(&x->text);
}

/* What the detokeniser and the stop strings hold back; true when that completes a stop string. */
static void flush(struct generation *x, const char **stop)
{
    struct buf rest;
    buf_init(&rest, SIZE_MAX);
    detokenizer_flush(&x->detokenizer, &rest);
    int found = stop_push(&x->stop, buf_str(&rest), rest.len, &x->text);
    if (found >= 0)
        *stop = x->stop.text[found];
    else
        stop_flush(&x->stop, &x->text);
    buf_release(&rest);
}

void generation_end(struct generation *x, enum generate_finish finish, const char *stop,
                    const struct err *error)
{
    double now = clock_seconds(), started = x->started > 0 ? x->started : now;
    double first = x->first > 0 ? x->first : now;
    if (!stop)
        flush(x, &stop);
    x->timings.waited = started - x->added;
    x->timings.prompt = first - started;
    x->timings.generation = now - first;
    x->ended = true;
    send(x, &(struct generate_event){.end = true,
                                     .finish = stop ? GENERATE_STOP : finish,
                                     .stop = stop,
                                     .error = error,
                                     .timings = x->timings});
}

/* ---- tokens ---- */

/* Forgets the older half of what follows the first n_keep tokens. What stays is evaluated anew, at
 * its new place: exact for every type of cache, and seldom. */
static void shift(struct generation *x)
{
    int keep = x->r.n_keep, drop = (x->n_tokens - keep) / 2;
    memmove(x->tokens + keep, x->tokens + keep + drop,
            (size_t)(x->n_tokens - keep - drop) * sizeof(*x->tokens));
    x->n_tokens -= drop;
    x->begun = false;
}

static int choose(struct generation *x, float *logits, struct token_choice *c, struct err *e)
{
    int rc = 0;
    if (x->allowed)
        rc = constraint_mask(x->r.constraint, x->allowed, e);
    if (!rc)
        rc = token_sampler_pick(x->sampler, logits, x->allowed, c, e);
    if (rc)
        return rc;
    token_sampler_accept(x->sampler, c->id);
    return x->allowed ? constraint_accept(x->r.constraint, c->id, e) : 0;
}

/* Tells the token and its text; the stop string that it completed, or NULL. */
static const char *tell(struct generation *x, const struct token_choice *c)
{
    struct buf piece;
    buf_init(&piece, SIZE_MAX);
    detokenizer_push(&x->detokenizer, c->id, &piece);
    int found = stop_push(&x->stop, buf_str(&piece), piece.len, &x->text);
    buf_release(&piece);
    send(x, &(struct generate_event){.token = c});
    return found >= 0 ? x->stop.text[found] : NULL;
}

void generation_take(struct generation *x, float *logits)
{
    struct token_choice c;
    struct err e = {0};
    if (!(x->first > 0))
        x->first = clock_seconds();
    if (choose(x, logits, &c, &e)) {
        generation_end(x, GENERATE_ERROR, NULL, &e);
        return;
    }
    if (!x->r.ignore_end && tokenizer_is_end(x->model->tokenizer, c.id)) {
        generation_end(x, GENERATE_STOP, NULL, NULL);
        return;
    }
    x->tokens[x->n_tokens++] = c.id;
    x->timings.n_generated++;
    const char *stop = tell(x, &c);
    if (stop)
        generation_end(x, GENERATE_STOP, stop, NULL);
    else if (x->allowed && constraint_done(x->r.constraint))
        generation_end(x, GENERATE_STOP, NULL, NULL);
    else if (x->r.max_tokens >= 0 && x->timings.n_generated >= x->r.max_tokens)
        generation_end(x, GENERATE_LENGTH, NULL, NULL);
    else if (x->n_tokens == x->n_ctx && !x->r.shift)
        generation_end(x, GENERATE_LENGTH, NULL, NULL);
    else if (x->n_tokens == x->n_ctx)
        shift(x);
}
