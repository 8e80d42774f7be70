/* lar_embed.c - see lar.h: texts become vectors. */
#include "lar.h"

#include "api/handles.h"
#include "base/err.h"
#include "base/mem.h"
#include "models/bert.h"
#include "pipeline/embed_text.h"

#include <stdlib.h>
#include <string.h>

int lar_embedder_open(struct lar_embedder **out, struct lar *lar, const char *path,
                      struct lar_error *e)
{
    struct err own = {0};
    struct text_embedder *model;
    *out = NULL;
    int rc = text_embedder_open(&model, path, &own);
    if (!rc) {
        *out = mem_alloc(sizeof(**out));
        **out = (struct lar_embedder){lar, model};
    }
    return api_report(rc, &own, e);
}

void lar_embedder_close(struct lar_embedder *m)
{
    if (!m)
        return;
    text_embedder_close(m->model);
    free(m);
}

int lar_embedder_dimensions(const struct lar_embedder *m)
{
    return text_embedder_params(m->model)->n_embd;
}

int lar_embed(struct lar_embedder *m, struct lar_embed *x, struct lar_error *e)
{
    struct err own = {0};
    struct embed_text_result result = {0};
    if (x->n < 1)
        return api_report(err_set(&own, ERR_ARG, "%d texts: there must be one at least", x->n),
                          &own, e);
    struct span *spans = mem_alloc((size_t)x->n * sizeof(*spans));
    for (int i = 0; i < x->n; i++)
        spans[i] = (struct span){x->texts[i], strlen(x->texts[i])};
    atomic_store(&m->lar->cancel, false);
    struct embed_text_request r = {
        .texts = spans, .n = (size_t)x->n, .dimensions = x->dimensions, .cancel = &m->lar->cancel};
    int rc = embed_text(m->model, m->lar->backend, &r, &result, &own);
    if (!rc)
        memcpy(x->vectors, result.vectors,
               (size_t)x->n * (size_t)result.n_dim * sizeof(*x->vectors));
    x->n_cut = (int)result.n_cut;
    free(result.vectors);
    free(spans);
    return api_report(rc, &own, e);
}
