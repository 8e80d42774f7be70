/* tokenizer_gguf_fuzz.c - any GGUF file's tokenizer: metadata that lies about tokens, merges,
 * types, scores and ids. Every id must be a token, a refusal must have a reason. */
#include "base/err.h"
#include "format/gguf.h"
#include "text/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello  World's 123\n\n\xe2\x96\x81\xc3\xa4<s></s>\xff[MASK] aab ba";
    struct gguf g = {0};
    struct tokenizer *t = NULL;
    struct err e = {0};
    if (gguf_parse(&g, data, size, &e))
        return 0;
    if (tokenizer_from_gguf(&t, &g, &e)) {
        if (!e.text[0] || t)
            abort();
        gguf_release(&g);
        return 0;
    }
    gguf_release(&g); /* the tokenizer borrows nothing of it */
    for (unsigned flags = 0; flags < 4; flags++) {
        struct tokens ids = {0};
        if (tokenizer_encode(t, (struct span){text, sizeof(text) - 1}, flags, &ids, &e) &&
            !e.text[0])
            abort();
        for (size_t i = 0; i < ids.n; i++)
            if (ids.ids[i] < 0 || (size_t)ids.ids[i] >= tokenizer_size(t))
                abort();
        tokens_release(&ids);
    }
    if (tokenizer_bos(t) >= (int32_t)tokenizer_size(t) ||
        tokenizer_eos(t) >= (int32_t)tokenizer_size(t))
        abort();
    tokenizer_free(t);
    return 0;
}
