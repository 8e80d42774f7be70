/* pytorch_fuzz.c - any bytes as a file of torch.save(): it is refused with a sentence, or every
 * byte of every tensor can be read. */
#include "base/err.h"
#include "format/pytorch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct pytorch p;
    struct err e = {0};
    volatile unsigned char sink = 0;
    if (!pytorch_probe(data, n))
        return 0;
    if (pytorch_parse(&p, data, n, &e) != 0) {
        if (!e.code || !e.text[0])
            abort();
        return 0;
    }
    for (size_t i = 0; i < p.n; i++)
        for (size_t j = 0; j < p.tensors[i].size; j++)
            sink = sink ^ p.tensors[i].data[j];
    pytorch_release(&p);
    return 0;
}
