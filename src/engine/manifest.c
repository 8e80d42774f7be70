/* manifest.c - see manifest.h. */
#include "engine/manifest.h"

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "format/json.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define MEDIA "application/vnd.ollama.image."

int digest_parse(char out[DIGEST_TEXT], const char *text, struct err *e)
{
    size_t n = strlen(text);
    if (n != DIGEST_TEXT - 1 || strncmp(text, "sha256", 6) != 0 || !strchr(":-", text[6]) ||
        strspn(text + 7, "0123456789abcdefABCDEF") != 64)
        return err_set(e, ERR_FORMAT, "\"%.80s\" is no digest: sha256: and 64 digits 0-9 a-f",
                       text);
    memcpy(out, "sha256:", sizeof("sha256:"));
    for (size_t i = 7; i <= n; i++)
        out[i] = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] + 32 : text[i]);
    return 0;
}

void digest_text(char out[DIGEST_TEXT], const unsigned char hash[32])
{
    static const char digits[] = "0123456789abcdef";
    memcpy(out, "sha256:", sizeof("sha256:"));
    for (int i = 0; i < 32; i++) {
        out[7 + 2 * i] = digits[hash[i] >> 4];
        out[8 + 2 * i] = digits[hash[i] & 15];
    }
    out[DIGEST_TEXT - 1] = '\0';
}

void digest_of(char out[DIGEST_TEXT], const void *data, size_t n)
{
    unsigned char hash[32] = {0};
    EVP_Digest(data, n, hash, NULL, EVP_sha256(), NULL);
    digest_text(out, hash);
}

static void release_layer(struct manifest_layer *l)
{
    free(l->kind);
    free(l->name);
}

void manifest_release(struct manifest *m)
{
    release_layer(&m->config);
    for (size_t i = 0; i < m->n_layers; i++)
        release_layer(&m->layers[i]);
    free(m->layers);
    *m = (struct manifest){0};
}

/* The layer at a path of the document: "config" or "layers.7". */
static int read_layer(struct manifest_layer *l, const struct json_doc *d, const char *path,
                      struct err *e)
{
    static const char *const keys[] = {"mediaType", "digest", "name"};
    const char *text[3] = {NULL};
    int rc = 0;
    char *key = NULL;
    *l = (struct manifest_layer){0};
    for (int i = 0; i < 3 && !rc; i++) {
        free(key);
        key = mem_printf("%s.%s", path, keys[i]);
        rc = json_doc_str(d, key, &text[i], e);
        if (!rc && !text[i] && i < 2)
            rc = err_set(e, ERR_FORMAT, "%s: %s is missing", d->name, key);
    }
    if (!rc) {
        free(key);
        key = mem_printf("%s.size", path);
        rc = json_doc_int(d, key, 0, INT64_MAX / MANIFEST_MAX_LAYERS, &l->size, e);
    }
    if (!rc && (rc = digest_parse(l->digest, text[1], e)))
        err_prefix(e, "%s: %s", d->name, path);
    if (!rc) {
        bool own = strncmp(text[0], MEDIA, strlen(MEDIA)) == 0;
        l->kind = mem_strdup(own ? text[0] + strlen(MEDIA) : text[0]);
        l->name = text[2] ? mem_strdup(text[2]) : NULL;
    }
    free(key);
    return rc;
}

static int read_layers(struct manifest *m, const struct json_doc *d, struct err *e)
{
    const json_t *layers = json_doc_at(d, "layers");
    size_t n = json_array_size(layers);
    if (!json_is_array(layers) || n > MANIFEST_MAX_LAYERS)
        return err_set(e, ERR_FORMAT, "%s: layers is no list of at most %d", d->name,
                       MANIFEST_MAX_LAYERS);
    m->layers = mem_alloc((n + 1) * sizeof(*m->layers));
    for (; m->n_layers < n; m->n_layers++) {
        char *path = mem_printf("layers.%zu", m->n_layers);
        int rc = read_layer(&m->layers[m->n_layers], d, path, e);
        free(path);
        if (rc)
            return rc;
    }
    return 0;
}

int manifest_parse(struct manifest *m, const char *name, const void *text, size_t n, struct err *e)
{
    struct json_doc d = {0};
    int64_t version = 0;
    *m = (struct manifest){0};
    int rc = json_doc_parse(&d, name, text, n, e);
    if (!rc)
        rc = json_doc_int(&d, "schemaVersion", 2, 2, &version, e);
    if (!rc && version != 2)
        rc = err_set(e, ERR_FORMAT, "%s: schemaVersion 2 is missing: this is no manifest", name);
    if (!rc && json_doc_at(&d, "config")) /* models of tensor blobs may have none */
        rc = read_layer(&m->config, &d, "config", e);
    if (!rc)
        rc = read_layers(m, &d, e);
    json_doc_release(&d);
    if (rc)
        manifest_release(m);
    return rc;
}

const struct manifest_layer *manifest_layer(const struct manifest *m, const char *kind)
{
    for (size_t i = 0; i < m->n_layers; i++)
        if (strcmp(m->layers[i].kind, kind) == 0)
            return &m->layers[i];
    return NULL;
}

int64_t manifest_size(const struct manifest *m)
{
    struct map seen = {0};
    int64_t size = m->config.size;
    for (size_t i = 0; i < m->n_layers; i++) {
        const char *digest = m->layers[i].digest;
        if (!map_put(&seen, digest, strlen(digest), m->layers + i))
            size += m->layers[i].size;
    }
    map_release(&seen);
    return size;
}
