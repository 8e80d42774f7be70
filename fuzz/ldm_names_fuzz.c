/* ldm_names_fuzz.c - any lines as the tensor names of one file. */
#include "base/mem.h"
#include "format/esrgan_names.h"
#include "format/ldm_names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct ldm_names l;
    char out[LDM_NAME_MAX];
    char *text = mem_strndup((const char *)data, n);
    size_t end = strlen(text);
    for (size_t i = 0; i < end; i++)
        text[i] = text[i] == '\n' ? '\0' : text[i];
    ldm_names_init(&l);
    for (size_t i = 0; i < end; i += strlen(text + i) + 1)
        ldm_names_scan(&l, text + i);
    ldm_names_finish(&l);
    for (size_t i = 0; i < end; i += strlen(text + i) + 1) {
        enum ldm_kind kind = ldm_names_map(&l, text + i, out);
        if ((kind == LDM_PLAIN || kind == LDM_TRANSPOSED) && strlen(out) >= LDM_NAME_MAX)
            abort();
        if (kind == LDM_QKV && !strchr(out, '?'))
            abort();
        ldm_names_map_taesd(i % 2, text + i, out);
        ldm_names_map_old_vae(text + i, out);
        if (esrgan_names_map(esrgan_names_layer(text + i), text + i, out) &&
            strlen(out) >= ESRGAN_NAME_MAX)
            abort();
    }
    free(text);
    return 0;
}
