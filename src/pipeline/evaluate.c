/* evaluate.c - see evaluate.h. */
#include "pipeline/evaluate.h"

#include "base/err.h"
#include "base/mem.h"
#include "models/language.h"
#include "nn/kvcache.h"
#include "pipeline/memory.h"
#include "tensor/backend.h"
#include "tensor/kv.h"
#include "tensor/tape.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Tapes of many rows take much memory: two are kept, for the chunks of a prompt and its last one.
 * Those of few rows are kept by the dozen, since a server's batches differ from step to step. */
#define FEW_ROWS  32
#define MAX_LARGE 2
#define MAX_TAPES 24

struct recorded {
    struct tape *tape; /* owned */
    int rows, outputs;
    uint64_t used; /* when last */
    struct tensor *tokens, *positions, *wanted, *logits;
};

struct evaluator {
    struct backend *backend;
    const struct language_model *model;
    int n_ctx;
    bool exact;
    evaluate_stop *stop;
    void *ctx;
    struct kvcache *cache; /* owned */
    size_t cache_bytes;
    struct recorded tapes[MAX_TAPES];
    int n_tapes;
    uint64_t clock;
    struct kv_batch batch; /* of the run; recorded tapes point here */
    int max_seq;
};

/* ---- opening ---- */

static int make_cache(struct evaluator *ev, const struct evaluator_options *o, struct err *e)
{
    const struct language_params *p = language_params(ev->model);
    int n_blocks = (int)(((int64_t)o->n_tokens + KV_BLOCK - 1) / KV_BLOCK);
    struct kv_layer *layers = mem_try_array((size_t)p->n_layer, sizeof(*layers), "a cache's layers",
                                            e);
    if (!layers)
        return ERR_NOMEM;
    for (int i = 0; i < p->n_layer; i++)
        layers[i] = (struct kv_layer){
            .type = o->cache_type, .n_head_kv = p->n_head_kv, .d_k = p->d_k, .d_v = p->d_v};
    size_t block = kvcache_block_bytes(layers, p->n_layer);
    int rc = 0;
    if (__builtin_mul_overflow(block, (size_t)n_blocks, &ev->cache_bytes) || block == 0)
        ev->cache_bytes = SIZE_MAX;
    rc = memory_allow(ev->cache_bytes, "the cache of keys and values", e);
    if (rc)
        err_prefix(e, "a context of %d tokens", o->n_tokens);
    else
        rc = kvcache_new(&ev->cache, layers, p->n_layer, n_blocks, e);
    free(layers);
    return rc;
}

int evaluator_new(struct evaluator **out, const struct evaluator_options *o, struct err *e)
{
    *out = NULL;
    if (!kv_can(o->cache_type))
        return err_set(e, ERR_ARG, "a cache of type %s: it can be f16, q8_0, q4_0 or f32",
                       dtype_name(o->cache_type));
    if (o->n_tokens < 1)
        return err_set(e, ERR_ARG, "a context of %d tokens", o->n_tokens);
    struct evaluator *ev = mem_alloc(sizeof(*ev));
    ev->backend = o->backend;
    ev->model = o->model;
    ev->n_ctx = o->n_ctx ? o->n_ctx : o->n_tokens;
    ev->exact = o->exact;
    ev->stop = o->stop;
    ev->ctx = o->ctx;
    int rc = make_cache(ev, o, e);
    if (rc) {
        evaluator_free(ev);
        return rc;
    }
    *out = ev;
    return 0;
}

void evaluator_free(struct evaluator *ev)
{
    if (!ev)
        return;
    for (int i = 0; i < ev->n_tapes; i++)
        tape_free(ev->tapes[i].tape);
    kvcache_free(ev->cache);
    free(ev->batch.seq);
    free(ev);
}

struct kvcache *evaluator_cache(struct evaluator *ev)
{
    return ev->cache;
}

size_t evaluator_cache_bytes(const struct evaluator *ev)
{
    return ev->cache_bytes;
}

/* ---- tapes ---- */

/* A place for a tape: a free one, or that of the tape least recently used. */
static struct recorded *place_for(struct evaluator *ev, int rows)
{
    struct recorded *oldest = NULL;
    bool large = rows > FEW_ROWS;
    int n = 0;
    for (int i = 0; i < ev->n_tapes; i++) {
        struct recorded *r = &ev->tapes[i];
        if (large && r->rows <= FEW_ROWS)
            continue;
        n++;
        if (!oldest || r->used < oldest->used)
            oldest = r;
    }
    if (n < (large ? MAX_LARGE : MAX_TAPES) && ev->n_tapes < MAX_TAPES)
        return &ev->tapes[ev->n_tapes++];
    return oldest;
}

static int record(struct evaluator *ev, struct recorded *r, int rows, int outputs, struct err *e)
{
    tape_free(r->tape);
    *r = (struct recorded){.tape = tape_new(DTYPE_F32), .rows = rows, .outputs = outputs};
    tape_set_fast(r->tape, !ev->exact);
    r->tokens = tape_input(r->tape, DTYPE_I32, "tokens", 1, (int64_t[]){rows});
    r->positions = tape_input(r->tape, DTYPE_I32, "positions", 1, (int64_t[]){rows});
    r->wanted = tape_input(r->tape, DTYPE_I32, "outputs", 1, (int64_t[]){outputs});
    r->logits = language_forward(r->tape, ev->model,
                                 &(struct language_batch){.tokens = r->tokens,
                                                          .positions = r->positions,
                                                          .outputs = r->wanted,
                                                          .kv = kvcache_layers(ev->cache),
                                                          .batch = &ev->batch,
                                                          .n_ctx = ev->n_ctx});
    tape_keep(r->tape, r->logits);
    int rc = memory_check(r->tape, "running the model", e);
    if (!rc)
        rc = tape_plan(r->tape, e);
    if (rc)
        r->rows = 0; /* finds no run; it is forgotten with the others */
    return rc;
}

static int find_tape(struct evaluator *ev, int rows, int outputs, struct recorded **out,
                     struct err *e)
{
    int rc = 0;
    *out = NULL;
    for (int i = 0; i < ev->n_tapes && !*out; i++)
        if (ev->tapes[i].rows == rows && ev->tapes[i].outputs == outputs)
            *out = &ev->tapes[i];
    if (!*out) {
        *out = place_for(ev, rows);
        rc = record(ev, *out, rows, outputs, e);
    }
    (*out)->used = ++ev->clock;
    return rc;
}

/* ---- runs ---- */

static int ask(const struct op *op, void *ctx)
{
    const struct evaluator *ev = ctx;
    (void)op;
    return ev->stop(ev->ctx) ? ERR_CANCELLED : 0;
}

static int reserve(struct evaluator *ev, const struct evaluator_part *parts, int n_parts,
                   struct err *e)
{
    int rc = 0;
    if (n_parts > ev->max_seq) {
        struct kv_seq *seq = mem_try_array((size_t)n_parts, sizeof(*seq), "a batch", e);
        if (!seq)
            return ERR_NOMEM;
        free(ev->batch.seq);
        ev->batch.seq = seq;
        ev->max_seq = n_parts;
    }
    for (int i = 0; i < n_parts && !rc; i++)
        rc = kvcache_reserve(ev->cache, parts[i].seq, parts[i].n, e);
    return rc;
}

/* Fills the tape's inputs and ev->batch. */
static void feed(struct evaluator *ev, const struct recorded *r, const struct evaluator_part *parts,
                 int n_parts)
{
    int32_t *tokens = r->tokens->data, *positions = r->positions->data, *wanted = r->wanted->data;
    int row = 0, k = 0;
    ev->batch.n_seq = n_parts;
    for (int i = 0; i < n_parts; i++) {
        const struct evaluator_part *p = &parts[i];
        ev->batch.seq[i] = (struct kv_seq){
            .first_row = row, .n_rows = p->n, .n_past = p->seq->n_past, .blocks = p->seq->blocks};
        memcpy(tokens + row, p->tokens, (size_t)p->n * sizeof(*tokens));
        for (int t = 0; t < p->n; t++)
            positions[row + t] = p->seq->n_past + t;
        row += p->n;
        for (int t = p->n_outputs; t > 0; t--)
            wanted[k++] = row - t;
    }
    if (k == 0)
        wanted[0] = row - 1; /* a tape has at least one output */
}

int evaluate(struct evaluator *ev, const struct evaluator_part *parts, int n_parts, float **logits,
             struct err *e)
{
    struct recorded *r;
    int rows = 0, outputs = 0;
    *logits = NULL;
    for (int i = 0; i < n_parts; i++) {
        assert(parts[i].n > 0 && parts[i].n <= INT_MAX - rows);
        assert(parts[i].n_outputs >= 0 && parts[i].n_outputs <= parts[i].n);
        rows += parts[i].n;
        outputs += parts[i].n_outputs;
    }
    int rc = find_tape(ev, rows, outputs > 0 ? outputs : 1, &r, e);
    if (!rc)
        rc = reserve(ev, parts, n_parts, e);
    if (rc)
        return rc;
    feed(ev, r, parts, n_parts);
    tape_observe(r->tape, ev->stop ? ask : NULL, ev);
    rc = tape_run(r->tape, ev->backend, e);
    if (rc)
        return rc;
    for (int i = 0; i < n_parts; i++)
        kvcache_commit(ev->cache, parts[i].seq, parts[i].tokens, parts[i].n);
    *logits = r->logits->data;
    return 0;
}
