/* generate.c - see generate.h: which tokens of which request run next. */
#include "pipeline/generate.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "models/language.h"
#include "nn/kvcache.h"
#include "pipeline/evaluate.h"
#include "pipeline/generation.h"
#include "pipeline/text_model.h"

#include <stdlib.h>
#include <string.h>

#define STANDARD_CTX 4096

struct generator {
    struct generator_options o;
    struct evaluator *ev;
    struct generation
        *first; /* all that have not ended, as they came: running ones, then waiting */
    int n_live, n_running;
    int last_id;
    int n_blocks, promised;       /* of the cache, and what running requests may need of it */
    struct evaluator_part *parts; /* [n_sequences], of the step */
    struct generation **who;      /* [n_sequences] whose part it is */
    int n_parts;
};

/* ---- options ---- */

void generator_options_init(struct generator_options *o, struct backend *b,
                            const struct text_model *m)
{
    int n_ctx = language_params(m->language)->n_ctx_train;
    *o = (struct generator_options){.backend = b,
                                    .model = m,
                                    .cache_type = DTYPE_F16,
                                    .n_ctx = n_ctx < STANDARD_CTX ? n_ctx : STANDARD_CTX,
                                    .n_sequences = 1,
                                    .n_batch = 512,
                                    .n_chunk = 128};
}

void generate_request_init(struct generate_request *r, const struct text_model *m)
{
    *r = (struct generate_request){.sampler = m->sampler, .max_tokens = -1};
}

static int check(const struct generator_options *o, struct err *e)
{
    if (o->n_ctx < 2 || o->n_sequences < 1)
        return err_set(e, ERR_ARG, "a context of %d tokens for %d sequences", o->n_ctx,
                       o->n_sequences);
    if (o->n_batch < o->n_sequences || o->n_chunk < 1)
        return err_set(e, ERR_ARG, "batches of %d and chunks of %d tokens for %d sequences",
                       o->n_batch, o->n_chunk, o->n_sequences);
    if (o->n_cache < 0 || (o->n_cache == 0 && o->n_ctx > INT32_MAX / 2 / o->n_sequences))
        return err_set(e, ERR_ARG, "a cache for %d sequences of %d tokens is too large",
                       o->n_sequences, o->n_ctx);
    return 0;
}

/* ---- cancelling ---- */

static bool is_cancelled(const struct generation *x)
{
    return x->cancelled || (x->r.cancel && atomic_load(x->r.cancel));
}

/* Nobody wants what is being computed any more. */
static bool all_cancelled(void *ctx)
{
    const struct generator *g = ctx;
    for (int i = 0; i < g->n_parts; i++)
        if (!is_cancelled(g->who[i]))
            return false;
    return true;
}

/* ---- opening ---- */

static int blocks_of(int n_tokens)
{
    return (n_tokens + KV_BLOCK - 1) / KV_BLOCK;
}

int generator_new(struct generator **out, const struct generator_options *o, struct err *e)
{
    *out = NULL;
    int rc = check(o, e);
    if (rc)
        return rc;
    struct generator *g = mem_alloc(sizeof(*g));
    size_t n = (size_t)o->n_sequences;
    g->o = *o;
    g->n_blocks = o->n_cache ? blocks_of(o->n_cache) : o->n_sequences * blocks_of(o->n_ctx);
    g->parts = mem_try_array(n, sizeof(*g->parts), "a batch", e);
    g->who = mem_try_array(n, sizeof(struct generation *), "a batch", e);
    rc = g->parts && g->who ? 0 : ERR_NOMEM;
    if (!rc)
        rc = evaluator_new(&g->ev,
                           &(struct evaluator_options){.backend = o->backend,
                                                       .model = o->model->language,
                                                       .cache_type = o->cache_type,
                                                       .n_tokens = g->n_blocks * KV_BLOCK,
                                                       .n_ctx = o->n_ctx,
                                                       .exact = o->exact,
                                                       .stop = all_cancelled,
                                                       .ctx = g},
                           e);
    if (rc) {
        generator_free(g);
        return rc;
    }
    *out = g;
    return 0;
}

/* Takes an ended or abandoned request out of the list that `at` points into. */
static void drop(struct generator *g, struct generation **at)
{
    struct generation *x = *at;
    *at = x->next;
    kvcache_end(evaluator_cache(g->ev), &x->seq);
    g->n_running -= x->promised > 0;
    g->promised -= x->promised;
    g->n_live--;
    generation_free(x);
}

void generator_free(struct generator *g)
{
    if (!g)
        return;
    while (g->first)
        drop(g, &g->first);
    evaluator_free(g->ev);
    free(g->parts);
    free(g->who);
    free(g);
}

struct kvcache_use generator_cache_use(const struct generator *g)
{
    return kvcache_use(evaluator_cache(g->ev));
}

size_t generator_cache_bytes(const struct generator *g)
{
    return evaluator_cache_bytes(g->ev);
}

/* ---- requests ---- */

/* Blocks of the cache that the request may come to hold. */
static int blocks_needed(const struct generation *x)
{
    int most = x->n_ctx - x->n_tokens;
    if (x->r.max_tokens >= 0 && x->r.max_tokens < most)
        most = x->r.max_tokens;
    return blocks_of(x->n_tokens + most);
}

int generator_add(struct generator *g, const struct generate_request *r, int *id, struct err *e)
{
    struct generation *x, **at = &g->first;
    int rc = generation_new(&x, g->o.model, r, g->o.n_ctx, e);
    if (rc)
        return rc;
    if (blocks_needed(x) > g->n_blocks) {
        rc = err_set(e, ERR_ARG,
                     "prompt and answer may have %d tokens, and the cache holds %d: ask for fewer, "
                     "or give it more",
                     blocks_needed(x) * KV_BLOCK, g->n_blocks * KV_BLOCK);
        generation_free(x);
        return rc;
    }
    while (*at)
        at = &(*at)->next;
    *at = x;
    *id = x->id = ++g->last_id;
    g->n_live++;
    return 0;
}

void generator_cancel(struct generator *g, int id)
{
    for (struct generation *x = g->first; x; x = x->next)
        if (x->id == id)
            x->cancelled = true;
}

/* Ends cancelled requests and forgets ended ones. */
static void sweep(struct generator *g)
{
    for (struct generation **at = &g->first; *at;) {
        if (!(*at)->ended && is_cancelled(*at))
            generation_end(*at, GENERATE_CANCELLED, NULL, NULL);
        if ((*at)->ended)
            drop(g, at);
        else
            at = &(*at)->next;
    }
}

/* Starts waiting requests in their order, as far as sequences and the cache reach. */
static void admit(struct generator *g)
{
    for (struct generation *x = g->first; x; x = x->next) {
        if (x->promised > 0)
            continue;
        int need = blocks_needed(x);
        if (g->n_running == g->o.n_sequences || need > g->n_blocks - g->promised)
            return;
        x->promised = need;
        x->started = clock_seconds();
        g->promised += need;
        g->n_running++;
    }
}

/* ---- steps ---- */

static bool is_answering(const struct generation *x)
{
    return x->begun && x->seq.n_past == x->n_tokens - 1;
}

static void add_part(struct generator *g, struct generation *x, int n)
{
    int at = x->seq.n_past;
    g->who[g->n_parts] = x;
    g->parts[g->n_parts++] = (struct evaluator_part){
        .seq = &x->seq, .tokens = x->tokens + at, .n = n, .n_outputs = at + n == x->n_tokens};
}

/* Is another one in this step about to evaluate a beginning that x has, too? Then x waits for it.
 */
static bool is_being_evaluated(const struct generator *g, const struct generation *x)
{
    for (int i = 0; i < g->n_parts; i++) {
        const struct generation *y = g->who[i];
        int end = y->seq.n_past + g->parts[i].n, n = 0;
        int most = end < x->n_tokens - 1 ? end : x->n_tokens - 1;
        while (n < most && x->tokens[n] == y->tokens[n])
            n++;
        if (n / KV_BLOCK * KV_BLOCK > x->seq.n_past && n > y->seq.n_past)
            return true;
    }
    return false;
}

/* The sequence of a request whose prompt has not been begun, with what the cache knows of it. */
static int begin(struct generator *g, struct generation *x)
{
    struct kvcache *cache = evaluator_cache(g->ev);
    struct err e = {0};
    kvcache_end(cache, &x->seq);
    int rc = kvcache_begin(cache, &x->seq, x->tokens, x->n_tokens - 1, &e);
    if (rc) {
        generation_end(x, GENERATE_ERROR, NULL, &e);
        return rc;
    }
    return 0;
}

/* Fills g->parts: one token of each that answers, and chunks of prompts in the rows that are left.
 */
static void plan(struct generator *g)
{
    g->n_parts = 0;
    for (struct generation *x = g->first; x; x = x->next)
        if (x->promised && is_answering(x))
            add_part(g, x, 1);
    int room = g->o.n_batch - g->n_parts;
    if (g->n_parts > 0 && g->o.n_chunk < room)
        room = g->o.n_chunk;
    for (struct generation *x = g->first; x && room > 0; x = x->next) {
        if (!x->promised || is_answering(x))
            continue;
        if (!x->begun && begin(g, x))
            continue;
        if (!x->begun && is_being_evaluated(g, x)) /* look again in the next step */
            continue;
        if (!x->begun && x->timings.n_generated == 0)
            x->timings.n_cached = x->seq.n_past;
        x->begun = true;
        int left = x->n_tokens - x->seq.n_past, n = left < room ? left : room;
        add_part(g, x, n);
        room -= n;
    }
}

static void run(struct generator *g)
{
    struct err e = {0};
    float *logits;
    int n_vocab = language_params(g->o.model->language)->n_vocab;
    int rc = evaluate(g->ev, g->parts, g->n_parts, &logits, &e);
    if (rc == ERR_CANCELLED)
        return;
    for (int i = 0; i < g->n_parts; i++) {
        struct generation *x = g->who[i];
        if (rc)
            generation_end(x, GENERATE_ERROR, NULL, &e);
        if (rc || g->parts[i].n_outputs == 0)
            continue;
        if (is_cancelled(x))
            generation_end(x, GENERATE_CANCELLED, NULL, NULL);
        else if (x->r.max_tokens == 0)
            generation_end(x, GENERATE_LENGTH, NULL, NULL);
        else
            generation_take(x, logits);
        logits += n_vocab;
    }
}

int generator_step(struct generator *g)
{
    sweep(g);
    admit(g);
    plan(g);
    if (g->n_parts > 0)
        run(g);
    sweep(g);
    return g->n_live;
}
