/* embed_text.c - see embed_text.h. The texts are sorted by their number of tokens; those with the
 * same number go through the encoder together, so that none needs padding.
 */
#include "pipeline/embed_text.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/weights.h"
#include "models/bert.h"
#include "pipeline/cancel.h"
#include "tensor/backend.h"
#include "tensor/ops.h"
#include "text/tokenizer.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BATCH 4096 /* tokens of one run, if no text is longer: bounds memory */

struct text_embedder {
    struct checkpoint *file;
    struct bert *bert;
    struct tokenizer *tokenizer;
};

static int open_tokenizer(struct text_embedder *m, struct err *e)
{
    const struct weight_file *f = checkpoint_weights(m->file)->files[0];
    int rc;
    if (!f->is_gguf)
        return tokenizer_open(&m->tokenizer, checkpoint_path(m->file), e);
    rc = tokenizer_from_gguf(&m->tokenizer, &f->gguf, e);
    if (rc)
        err_prefix(e, "%s", f->path);
    return rc;
}

int text_embedder_open(struct text_embedder **out, const char *path, struct err *e)
{
    struct text_embedder *m = mem_alloc(sizeof(*m));
    *out = NULL;
    int rc = checkpoint_open(&m->file, path, e);
    if (!rc)
        rc = bert_open(&m->bert, m->file, e);
    if (!rc)
        rc = open_tokenizer(m, e);
    if (!rc && tokenizer_size(m->tokenizer) > (size_t)bert_params(m->bert)->n_vocab)
        rc = err_set(e, ERR_FORMAT, "%s: the tokenizer has %zu tokens, the model %d", path,
                     tokenizer_size(m->tokenizer), bert_params(m->bert)->n_vocab);
    if (rc)
        text_embedder_close(m);
    else
        *out = m;
    return rc;
}

void text_embedder_close(struct text_embedder *m)
{
    if (!m)
        return;
    tokenizer_free(m->tokenizer);
    bert_close(m->bert);
    checkpoint_close(m->file);
    free(m);
}

const struct bert_params *text_embedder_params(const struct text_embedder *m)
{
    return bert_params(m->bert);
}

/* One text on its way; sorted by length, then by place. */
struct item {
    size_t at; /* in the request */
    struct tokens tokens;
};

static int by_length(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->tokens.n != y->tokens.n)
        return x->tokens.n < y->tokens.n ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* One call's work. */
struct embedding {
    const struct text_embedder *m;
    struct backend *b;
    const struct embed_text_request *r;
    struct item *items; /* [r->n] */
    struct embed_text_result *out;
};

/* What is too long loses its end, but for the token that ends it. */
static int fit(struct embedding *w, struct item *x, struct err *e)
{
    size_t most = (size_t)bert_params(w->m->bert)->n_ctx, n = x->tokens.n;
    if (n == 0)
        return err_set(e, ERR_ARG, "text %zu has no tokens", x->at + 1);
    if (n > most && w->r->whole)
        return err_set(e, ERR_ARG, "text %zu has %zu tokens, the model takes %zu", x->at + 1, n,
                       most);
    if (n > most) {
        x->tokens.ids[most - 1] = x->tokens.ids[n - 1];
        x->tokens.n = most;
        w->out->n_cut++;
    }
    w->out->n_tokens += x->tokens.n;
    return 0;
}

static int encode(struct embedding *w, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < w->r->n; i++) {
        struct item *x = &w->items[i];
        x->at = i;
        rc = tokenizer_encode(w->m->tokenizer, w->r->texts[i], TOKENIZE_ENDS, &x->tokens, e);
        if (!rc)
            rc = fit(w, x, e);
    }
    return rc;
}

/* The direction of a vector's first n elements. */
static int normalise(float *v, int n, struct err *e)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    if (!(sum > 0) || !isfinite(sum))
        return err_set(e, ERR_NUMERIC, "a vector is zero or not finite; the model is damaged");
    for (int i = 0; i < n; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
    return 0;
}

/* hidden [length, n_embd] -> vector [n_dim]. */
static int pool(const struct bert_params *p, const float *hidden, size_t length, float *vector,
                int n_dim, struct err *e)
{
    size_t first = p->pooling == BERT_LAST ? length - 1 : 0;
    size_t end = p->pooling == BERT_FIRST ? 1 : length;
    for (int k = 0; k < n_dim; k++) {
        double sum = 0;
        for (size_t i = first; i < end; i++)
            sum += (double)hidden[i * (size_t)p->n_embd + (size_t)k];
        vector[k] = (float)(sum / (double)(end - first));
    }
    return normalise(vector, n_dim, e);
}

/* n texts of one length. */
static int run(const struct embedding *w, const struct item *items, size_t n, struct err *e)
{
    const struct bert_params *p = bert_params(w->m->bert);
    const struct embed_text_result *out = w->out;
    size_t length = items[0].tokens.n;
    struct tape *t = tape_new(DTYPE_F32);
    struct tensor *ids = tape_input(t, DTYPE_I32, "ids", 2,
                                    (int64_t[]){(int64_t)n, (int64_t)length});
    struct tensor *positions = tape_input(t, DTYPE_I32, "positions", 1,
                                          (int64_t[]){(int64_t)(n * length)});
    struct tensor *hidden = tape_keep(t, bert_forward(t, w->m->bert, ids, positions));
    int rc = tape_plan(t, e);
    for (size_t i = 0; !rc && i < n; i++) {
        memcpy((int32_t *)ids->data + i * length, items[i].tokens.ids, length * sizeof(int32_t));
        for (size_t k = 0; k < length; k++)
            ((int32_t *)positions->data)[i * length + k] = (int32_t)k;
    }
    if (!rc)
        rc = cancel_run(t, w->b, w->r->cancel, e);
    for (size_t i = 0; !rc && i < n; i++)
        rc = pool(p, (const float *)hidden->data + i * length * (size_t)p->n_embd, length,
                  out->vectors + items[i].at * (size_t)out->n_dim, out->n_dim, e);
    tape_free(t);
    return rc;
}

int embed_text(const struct text_embedder *m, struct backend *b, const struct embed_text_request *r,
               struct embed_text_result *out, struct err *e)
{
    int n_embd = bert_params(m->bert)->n_embd;
    *out = (struct embed_text_result){.n_dim = r->dimensions ? r->dimensions : n_embd};
    if (out->n_dim < 1 || out->n_dim > n_embd)
        return err_set(e, ERR_ARG, "%d dimensions: the model's vectors have %d", r->dimensions,
                       n_embd);
    struct item *items = mem_try_array(r->n, sizeof(*items), "the texts", e);
    struct embedding w = {m, b, r, items, out};
    int rc = items ? encode(&w, e) : ERR_NOMEM;
    if (!rc) {
        out->vectors = mem_try_array(r->n * (size_t)out->n_dim, sizeof(float), "the vectors", e);
        rc = out->vectors ? 0 : ERR_NOMEM;
        qsort(items, r->n, sizeof(*items), by_length);
    }
    for (size_t i = 0, n; !rc && i < r->n; i += n) {
        size_t length = items[i].tokens.n;
        n = 1;
        while (i + n < r->n && items[i + n].tokens.n == length && (n + 1) * length <= MAX_BATCH)
            n++;
        rc = run(&w, items + i, n, e);
    }
    for (size_t i = 0; items && i < r->n; i++)
        tokens_release(&items[i].tokens);
    free(items);
    if (rc) {
        free(out->vectors);
        out->vectors = NULL;
    }
    return rc;
}
