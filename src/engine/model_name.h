/* model_name.h - names of models in a store: [host/][namespace/]model[:tag].
 *
 *     llama3.2                    registry.ollama.ai/library/llama3.2:latest
 *     someone/llama3.2:1b         registry.ollama.ai/someone/llama3.2:1b
 *     hf.co/owner/repo:Q4_K_M     itself
 *
 * The parts become folders, so what a part may hold is what keeps a name inside the store: it
 * begins with a letter, a digit or _, goes on with these, - and . (but no . in a namespace; a host
 * may have a :port), and is at most 80 bytes long, a host 350. Source: Ollama, types/model/name.go.
 */
#ifndef LAR_ENGINE_MODEL_NAME_H
#define LAR_ENGINE_MODEL_NAME_H

#include <stdbool.h>

struct err;

#define MODEL_NAME_HOST      "registry.ollama.ai"
#define MODEL_NAME_NAMESPACE "library"
#define MODEL_NAME_TAG       "latest"

struct model_name {
    char host[351], space[81], model[81], tag[81];
};

/* Parses a name with an optional "https://" in front; what it does not say is as above. */
int model_name_parse(struct model_name *n, const char *text, struct err *e);
/* Sets one part as a folder name gives it; false if it may not be one. For reading a store. */
enum model_name_part {
    MODEL_NAME_IS_HOST,
    MODEL_NAME_IS_SPACE,
    MODEL_NAME_IS_MODEL,
    MODEL_NAME_IS_TAG
};
bool model_name_set(struct model_name *n, enum model_name_part part, const char *text);
/* "llama3.2:latest": without the host and namespace that are taken for granted; heap. */
char *model_name_text(const struct model_name *n);
/* "host/namespace/model/tag", the path of its manifest; heap. */
char *model_name_path(const struct model_name *n);
/* Names are the same whatever their letters' case. */
bool model_name_same(const struct model_name *a, const struct model_name *b);

#endif
