/* registry.h - a model in a registry: the OCI distribution protocol as Ollama's registry, Hugging
 * Face (hf.co) and Docker's speak it.
 *
 *     GET <base>/v2/<namespace>/<model>/manifests/<tag>       the manifest
 *     GET <base>/v2/<namespace>/<model>/blobs/<digest>        its blobs, often through a redirect
 *
 * Where the registry wants a token (401 with a Bearer challenge) it is asked for one, but only on
 * its own host: a token for one host is never fetched from another. Hugging Face gets $HF_TOKEN;
 * $HF_ENDPOINT stands for https://hf.co.
 * Source: https://github.com/opencontainers/distribution-spec, Ollama, server/auth.go.
 */
#ifndef LAR_ENGINE_REGISTRY_H
#define LAR_ENGINE_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct err;
struct model_name;
struct registry;

/* `plain`: http in place of https. The flag may be NULL. */
int registry_new(struct registry **r, const struct model_name *name, bool plain,
                 const atomic_bool *cancel, struct err *e);
void registry_free(struct registry *r); /* NULL is fine */

/* The bytes of the manifest, at most MANIFEST_MAX_SIZE, NUL-terminated; heap. ERR_NOT_FOUND names
 * the model. */
int registry_manifest(struct registry *r, char **text, size_t *n, struct err *e);

/* Where a blob is, heap, and the header it takes ("Authorization: ..."), borrowed until the next
 * call; NULL where it takes none. */
char *registry_blob_url(const struct registry *r, const char *digest);
const char *registry_authorization(const struct registry *r);

#endif
