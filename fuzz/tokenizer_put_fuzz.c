/* tokenizer_put_fuzz.c - any bytes as a tokenizer.json: it is refused with a sentence, or metadata
 * are written. */
#include "base/err.h"
#include "format/gguf.h"
#include "text/tokenizer.h"
#include "text/tokenizer_put.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct tokenizer_files f = {.json = {(const char *)data, n}};
    struct gguf_writer w;
    struct err e = {0};
    gguf_writer_init(&w);
    int rc = tokenizer_put(&f, &w, &e);
    if (rc && (!e.code || !e.text[0]))
        abort();
    gguf_writer_release(&w);
    return 0;
}
