/* encode.c - see encode.h. */
#include "pipeline/encode.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/lru.h"
#include "base/mem.h"
#include "nn/adapter.h"
#include "pipeline/cancel.h"
#include "pipeline/image_model.h"
#include "tensor/backend.h"
#include "tensor/tape.h"
#include "text/clip_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BATCH 8                  /* chunks in one run: bounds the activations */
#define MAX_KEY   ((size_t)64 << 20) /* bytes */

/* One call's work. */
struct encoding {
    struct image_model *m;
    const struct encode_request *r;
    const struct image_text *text;
    struct tape *tape;
    struct tensor *ids;
    struct clip_output out;
    size_t n; /* rows of the tape */
    struct buf key;
};

static size_t n_hidden(const struct encoding *x)
{
    return (size_t)(x->text->encoder.n_ctx * x->text->encoder.n_embd);
}

static size_t n_pooled(const struct encoding *x)
{
    return x->r->pooled ? (size_t)x->text->encoder.projection->dim[0] : 0;
}

/* Everything that the states of a chunk follow from, but for the model's own weights. */
static int write_key(struct encoding *x, const struct backend *b, const int32_t *ids, struct err *e)
{
    const struct encode_request *r = x->r;
    const struct clip *c = &x->text->encoder;
    const int head[] = {r->which, r->skip, r->final_norm, r->pooled, (int)r->precision};
    struct buf *key = &x->key;
    buf_reset(key);
    buf_append(key, head, sizeof(head));
    buf_append(key, b->name, strlen(b->name) + 1);
    buf_append_str(key, r->adapters_id ? r->adapters_id : "");
    buf_append_char(key, '\0');
    for (int64_t i = 0; i < c->n_ctx; i++) {
        bool own = ids[i] >= c->n_vocab;
        int32_t id = own ? -1 : ids[i];
        buf_append(key, &id, sizeof(id));
        if (own)
            buf_append(key, r->vectors + (ids[i] - c->n_vocab) * c->n_embd,
                       (size_t)c->n_embd * sizeof(float));
    }
    return buf_failed(key) ? err_set(e, ERR_NOMEM, "not enough memory for a prompt's tokens") : 0;
}

static bool remembers(const struct encoding *x)
{
    return x->r->adapters_id || !x->r->adapters || x->r->adapters->by_weight.n == 0;
}

static void copy(const struct encoding *x, const struct encode_result *from,
                 const struct encode_result *to)
{
    if (from == to)
        return;
    memcpy(to->hidden, from->hidden, n_hidden(x) * sizeof(float));
    if (x->r->pooled)
        memcpy(to->pooled, from->pooled, n_pooled(x) * sizeof(float));
}

/* Copies the remembered states, if there are any. */
static int recall(struct encoding *x, const struct backend *b, const int32_t *ids,
                  const struct encode_result *out, bool *found, struct err *e)
{
    size_t n;
    int rc = remembers(x) ? write_key(x, b, ids, e) : 0;
    if (rc || !remembers(x))
        return rc;
    float *states = lru_get(&x->m->text_states, x->key.data, x->key.len, &n);
    *found = states != NULL;
    if (states)
        copy(x, &(struct encode_result){states, states + n_hidden(x)}, out);
    return 0;
}

static int remember(struct encoding *x, const struct backend *b, const int32_t *ids,
                    const struct encode_result *out, struct err *e)
{
    int rc = remembers(x) ? write_key(x, b, ids, e) : 0;
    if (rc || !remembers(x))
        return rc;
    size_t n = n_hidden(x) + n_pooled(x);
    float *states = mem_try_array(n, sizeof(*states), "the prompt's embedding", e);
    if (!states)
        return ERR_NOMEM;
    copy(x, out, &(struct encode_result){states, states + n_hidden(x)});
    rc = lru_put(&x->m->text_states, x->key.data, x->key.len, states, n * sizeof(*states), e);
    free(states);
    return rc;
}

static void record(struct encoding *x)
{
    const struct clip *c = &x->text->encoder;
    struct tape *t = x->tape = tape_new(x->r->precision);
    tape_adapt(t, x->r->adapters);
    int64_t n = (int64_t)x->n;
    x->ids = tape_input(t, DTYPE_I32, "ids", 2, (int64_t[]){n, c->n_ctx});
    x->out = (struct clip_output){.skip = x->r->skip, .final_norm = x->r->final_norm};
    if (x->r->pooled)
        x->out.eos = tape_input(t, DTYPE_I32, "eos", 1, (int64_t[]){n});
    if (x->r->n_vectors) {
        x->out.vectors = tape_input(t, DTYPE_F32, "vectors", 2,
                                    (int64_t[]){(int64_t)x->r->n_vectors, c->n_embd});
        x->out.select = tape_input(t, DTYPE_I32, "select", 2, (int64_t[]){n, c->n_ctx});
    }
    clip_forward(t, c, x->ids, &x->out);
    x->out.hidden = tape_keep(t, op_cast(t, x->out.hidden, DTYPE_F32));
    if (x->r->pooled)
        x->out.pooled = tape_keep(t, op_cast(t, x->out.pooled, DTYPE_F32));
}

/* Row i of the inputs. */
static void write_row(const struct encoding *x, size_t i, const int32_t *ids)
{
    const struct clip *c = &x->text->encoder;
    size_t n_ctx = (size_t)c->n_ctx, end = 0;
    int32_t *row = (int32_t *)x->ids->data + i * n_ctx;
    for (size_t k = 0; k < n_ctx; k++) {
        bool own = ids[k] >= c->n_vocab;
        row[k] = own ? 0 : ids[k];
        if (x->out.select)
            ((int32_t *)x->out.select->data)[i * n_ctx + k] =
                (int32_t)(own ? x->n * n_ctx + (size_t)(ids[k] - c->n_vocab) : i * n_ctx + k);
    }
    while (end + 1 < n_ctx && ids[end] != clip_tokenizer_eos(x->text->tokenizer))
        end++;
    if (x->out.eos)
        ((int32_t *)x->out.eos->data)[i] = (int32_t)(i * n_ctx + end);
}

/* Copies row i of the results. */
static void read_row(const struct encoding *x, size_t i, const struct encode_result *out)
{
    size_t n = n_hidden(x), n_proj = n_pooled(x);
    memcpy(out->hidden, (const float *)x->out.hidden->data + i * n, n * sizeof(float));
    if (n_proj)
        memcpy(out->pooled, (const float *)x->out.pooled->data + i * n_proj,
               n_proj * sizeof(float));
}

/* Runs the encoder for the x->n chunks at[0..n). */
static int run(struct encoding *x, struct backend *b, const size_t *at,
               const struct encode_result *out, struct err *e)
{
    size_t n_ctx = (size_t)x->text->encoder.n_ctx;
    const int32_t *ids = x->r->ids;
    record(x);
    int rc = tape_plan(x->tape, e);
    if (!rc && x->out.vectors)
        memcpy(x->out.vectors->data, x->r->vectors, tensor_size(x->out.vectors));
    for (size_t i = 0; i < x->n && !rc; i++)
        write_row(x, i, ids + at[i] * n_ctx);
    if (!rc)
        rc = cancel_run(x->tape, b, x->r->cancel, e);
    for (size_t i = 0; i < x->n && !rc; i++) {
        read_row(x, i, &out[at[i]]);
        rc = remember(x, b, ids + at[i] * n_ctx, &out[at[i]], e);
        x->m->n_encoded++;
    }
    tape_free(x->tape);
    x->n = 0;
    return rc;
}

/* The first chunk that is the same as chunk i. */
static size_t twin(const int32_t *ids, size_t n_ctx, size_t i)
{
    size_t k = 0;
    while (memcmp(ids + k * n_ctx, ids + i * n_ctx, n_ctx * sizeof(*ids)) != 0)
        k++;
    return k;
}

int encode_chunks(struct image_model *m, struct backend *b, const struct encode_request *r,
                  const struct encode_result *out, struct err *e)
{
    struct encoding x = {.m = m, .r = r, .text = &m->text[r->which]};
    size_t n_ctx = (size_t)x.text->encoder.n_ctx, at[MAX_BATCH] = {0};
    int rc = 0;
    buf_init(&x.key, MAX_KEY);
    for (size_t i = 0; i < r->n && !rc; i++) {
        bool known = twin(r->ids, n_ctx, i) < i;
        if (!known)
            rc = recall(&x, b, r->ids + i * n_ctx, &out[i], &known, e);
        if (!known)
            at[x.n++] = i;
        if (!rc && x.n == MAX_BATCH)
            rc = run(&x, b, at, out, e);
    }
    if (!rc && x.n)
        rc = run(&x, b, at, out, e);
    for (size_t i = 0; i < r->n && !rc; i++)
        copy(&x, &out[twin(r->ids, n_ctx, i)], &out[i]);
    buf_release(&x.key);
    return rc;
}
