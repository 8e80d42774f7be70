/* safetensors_fuzz.c - any bytes as a safetensors file: it is refused with a sentence, or every
 * byte of every tensor can be read. */
#include "base/err.h"
#include "format/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct safetensors s;
    struct err e = {0};
    volatile unsigned char sink = 0;
    if (safetensors_parse(&s, data, n, &e) != 0) {
        if (!e.code || !e.text[0])
            abort();
        return 0;
    }
    for (size_t i = 0; i < s.n; i++)
        for (size_t j = 0; j < s.tensors[i].size; j++)
            sink = sink ^ s.tensors[i].data[j];
    safetensors_release(&s);
    return 0;
}
