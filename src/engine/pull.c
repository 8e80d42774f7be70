/* pull.c - see pull.h. */
#include "engine/pull.h"

#include "base/err.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/download.h"
#include "engine/registry.h"
#include "engine/store.h"

#include <stdlib.h>
#include <string.h>

/* The blobs of a pull, one after the other. */
struct blobs {
    const struct pull *p;
    struct registry *registry;
    int64_t before, size; /* bytes of the blobs that are done, and of all */
};

static void tell(int64_t done, int64_t size, void *ctx)
{
    const struct blobs *b = ctx;
    (void)size;
    if (b->p->progress)
        b->p->progress(b->before + done, b->size, b->p->ctx);
}

static int fetch(struct blobs *b, const struct manifest_layer *l, struct err *e)
{
    char *url = registry_blob_url(b->registry, l->digest);
    char *path = store_blob_path(b->p->store->root[0], l->digest);
    struct download d = {.url = url,
                         .authorization = registry_authorization(b->registry),
                         .plain = b->p->plain,
                         .digest = l->digest,
                         .size = l->size,
                         .path = path,
                         .cancel = b->p->cancel,
                         .progress = tell,
                         .ctx = b};
    int rc = download_blob(&d, e);
    b->before += l->size;
    free(path);
    free(url);
    return rc;
}

static int fetch_all(struct blobs *b, const struct manifest *m, struct err *e)
{
    struct map seen = {0};
    int rc = m->config.kind ? fetch(b, &m->config, e) : 0;
    for (size_t i = 0; i < m->n_layers && !rc; i++)
        if (!map_put(&seen, m->layers[i].digest, DIGEST_TEXT - 1, m->layers + i))
            rc = fetch(b, &m->layers[i], e);
    map_release(&seen);
    return rc;
}

/* What is in the first root now; an unreadable manifest counts as another model. */
static enum pull_result compare(const struct pull *p, const char *id)
{
    const struct store first = {.root = {p->store->root[0]}, .n_roots = 1};
    struct store_model m;
    struct err e = {0};
    int rc = store_find(&first, p->name, &m, &e);
    enum pull_result result = rc == ERR_NOT_FOUND ? PULL_NEW : PULL_NEWER;
    if (rc)
        return result;
    if (strcmp(m.id, id) == 0)
        result = PULL_CURRENT;
    store_model_release(&m);
    return result;
}

static int pull(const struct pull *p, struct registry *r, enum pull_result *result, struct err *e)
{
    char *text, id[DIGEST_TEXT], *shown = model_name_text(p->name);
    struct manifest m = {0};
    size_t n = 0;
    int rc = registry_manifest(r, &text, &n, e);
    if (!rc)
        rc = manifest_parse(&m, shown, text, n, e);
    if (!rc) {
        digest_of(id, text, n);
        *result = compare(p, id);
        if (!p->check) { /* blobs of the same manifest may still be missing */
            struct blobs b = {.p = p, .registry = r, .size = manifest_size(&m)};
            rc = store_make_folders(p->store, e);
            if (!rc)
                rc = fetch_all(&b, &m, e);
            if (!rc && *result != PULL_CURRENT)
                rc = store_write_manifest(p->store, p->name, text, n, e);
        }
    }
    manifest_release(&m);
    free(text);
    free(shown);
    return rc;
}

int pull_model(const struct pull *p, enum pull_result *result, struct err *e)
{
    struct registry *r;
    *result = PULL_NEW;
    if (!p->store->n_roots)
        return err_set(e, ERR_NOT_FOUND,
                       "there is no folder for models: set LAR_MODELS, or HOME, to one");
    int rc = registry_new(&r, p->name, p->plain, p->cancel, e);
    if (!rc)
        rc = pull(p, r, result, e);
    registry_free(r);
    return rc;
}
