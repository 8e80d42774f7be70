/* manifest.h - what a model in a store is made of: a list of blobs, each named by its SHA-256.
 *
 *     {"schemaVersion": 2, "config": {"mediaType": "...", "digest": "sha256:...", "size": 485},
 *      "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": ..., "size": ...},
 *                 {"mediaType": "application/vnd.ollama.image.template", ...}, ...]}
 *
 * Source: the OCI image manifest, schema 2, with Ollama's media types.
 */
#ifndef LAR_ENGINE_MANIFEST_H
#define LAR_ENGINE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define MANIFEST_MAX_SIZE   ((size_t)16 << 20)
#define MANIFEST_MAX_LAYERS 65536
#define DIGEST_TEXT         72 /* "sha256:", 64 lower-case digits, NUL */

struct manifest_layer {
    char *kind; /* owned: "model", "template", "params", ...; the media type where it is foreign */
    char *name; /* owned: of a tensor or a configuration file; NULL for others */
    char digest[DIGEST_TEXT];
    int64_t size;
};

struct manifest {
    struct manifest_layer config;
    struct manifest_layer *layers; /* owned */
    size_t n_layers;
};

/* Parses n bytes; `name` is for messages. On an error nothing is held. */
int manifest_parse(struct manifest *m, const char *name, const void *text, size_t n, struct err *e);
void manifest_release(struct manifest *m); /* a zeroed one is fine */

/* The first layer of a kind, or NULL. */
const struct manifest_layer *manifest_layer(const struct manifest *m, const char *kind);
int64_t manifest_size(const struct manifest *m); /* bytes of all blobs, each counted once */

/* "sha256:..." or "sha256-..." with 64 hexadecimal digits, as "sha256:" and lower case. ERR_FORMAT
 * for anything else: digests become file names. */
int digest_parse(char out[DIGEST_TEXT], const char *text, struct err *e);
/* "sha256:..." of bytes. */
void digest_of(char out[DIGEST_TEXT], const void *data, size_t n);
/* The same of a finished hash. */
void digest_text(char out[DIGEST_TEXT], const unsigned char hash[32]);

#endif
