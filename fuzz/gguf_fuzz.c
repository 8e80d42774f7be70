/* gguf_fuzz.c - any bytes as a GGUF file: it is refused with a sentence, or every value and every
 * byte of every tensor can be read. */
#include "base/err.h"
#include "format/gguf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_values(const struct gguf *g)
{
    for (size_t i = 0; i < g->n_values; i++) {
        const struct gguf_value *v = &g->values[i];
        struct arena arena = {0};
        const char **strings;
        size_t n;
        double x;
        bool b;
        for (size_t j = 0; j < v->n && gguf_num_at(v, j, &x); j++)
            ;
        gguf_bool(g, v->key, &b, NULL);
        if (gguf_strings(g, v->key, &arena, &strings, &n, NULL) == 0)
            free(strings);
        arena_release(&arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gguf g;
    struct err e = {0};
    volatile unsigned char sink = 0;
    if (gguf_parse(&g, data, n, &e) != 0) {
        if (!e.code || !e.text[0])
            abort();
        return 0;
    }
    read_values(&g);
    for (size_t i = 0; i < g.n_tensors; i++)
        for (size_t j = 0; j < g.tensors[i].size; j++)
            sink = sink ^ g.tensors[i].data[j];
    gguf_release(&g);
    return 0;
}
