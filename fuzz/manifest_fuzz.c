/* manifest_fuzz.c - manifests and names of models from a registry that lies: what is accepted stays
 * inside the store.
 */
#include "base/err.h"
#include "base/mem.h"
#include "engine/manifest.h"
#include "engine/model_name.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest m;
    struct model_name n;
    struct err e = {0};
    if (manifest_parse(&m, "fuzz", data, size, &e) == 0) {
        for (size_t i = 0; i < m.n_layers; i++)
            if (strspn(m.layers[i].digest + 7, "0123456789abcdef") != 64)
                abort();
        if (manifest_size(&m) < 0)
            abort();
        manifest_release(&m);
    }
    char *text = mem_strndup((const char *)data, size);
    if (model_name_parse(&n, text, &e) == 0) {
        char *path = model_name_path(&n);
        if (strstr(path, "..") == path || strstr(path, "/..") || path[0] == '/')
            abort();
        free(path);
    }
    free(text);
    return 0;
}
