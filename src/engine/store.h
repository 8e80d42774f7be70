/* store.h - the models kept on this machine, in Ollama's layout:
 *
 *     <root>/manifests/<host>/<namespace>/<model>/<tag>     JSON (manifest.h)
 *     <root>/blobs/sha256-<64 digits>                       weights, templates, parameters
 *
 * Several roots are read, so that what Ollama has pulled is used where it lies.
 */
#ifndef LAR_ENGINE_STORE_H
#define LAR_ENGINE_STORE_H

#include "engine/manifest.h"
#include "engine/model_name.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

#define STORE_MAX_ROOTS 4

struct store {
    char *root[STORE_MAX_ROOTS]; /* owned; the first is ours to write, it need not exist */
    int n_roots;
};

/* $LAR_MODELS, else $OLLAMA_MODELS, else $XDG_DATA_HOME/lar/models (~/.local/share/...); then
 * Ollama's own: ~/.ollama/models and /usr/share/ollama/.ollama/models. */
void store_open(struct store *s);
void store_close(struct store *s);

/* A model found. */
struct store_model {
    struct model_name name; /* as the folders spell it */
    char *root;             /* owned */
    char id[DIGEST_TEXT];   /* digest of the manifest's bytes */
    int64_t modified;       /* seconds since 1970 */
    struct manifest manifest;
};
void store_model_release(struct store_model *m);

/* Looks the name up, whatever its case; the first root wins. ERR_NOT_FOUND says how to get it. */
int store_find(const struct store *s, const struct model_name *name, struct store_model *m,
               struct err *e);

/* "<root>/blobs/sha256-<digits>"; heap. */
char *store_blob_path(const char *root, const char *digest);

/* Makes the first root and its folders. */
int store_make_folders(const struct store *s, struct err *e);
/* Writes a manifest into the first root, whole or not at all, in place of an older one. */
int store_write_manifest(const struct store *s, const struct model_name *name, const char *text,
                         size_t n, struct err *e);

/* Path of a layer's bytes; heap. ERR_NOT_FOUND when it is
 * not there, ERR_FORMAT when its size is another. */
int store_layer_path(const struct store_model *m, const struct manifest_layer *l, char **path,
                     struct err *e);
/* The text of the first layer of this kind ("template", "system"), at most 1 MiB; NULL and no
 * error when there is none; heap. */
int store_layer_text(const struct store_model *m, const char *kind, char **text, struct err *e);

/* What a person calls a model: a file or folder, else a name in the store, whose weights' path is
 * given; heap. ERR_NOT_FOUND when it is neither. */
int store_weights(const char *text, char **path, struct err *e);

/* Calls fn with every model, newest first; a manifest that cannot be read is reported through
 * `bad` with its sentence and left out. */
struct store_visitor {
    void (*model)(const struct store_model *m, void *ctx);
    void (*bad)(const struct err *e, void *ctx);
    void *ctx;
};
int store_each(const struct store *s, const struct store_visitor *v, struct err *e);

#endif
