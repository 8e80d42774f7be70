/* tokenizer_json_fuzz.c - any tokenizer.json, with any text.
 *
 * Input: what comes before the first 0xff byte is the file, the rest the text. Every id must be a
 * token, a refusal must have a reason.
 */
#include "base/err.h"
#include "text/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct tokenizer *t, struct span text, unsigned flags)
{
    struct tokens ids = {0};
    struct err e = {0};
    if (tokenizer_encode(t, text, flags, &ids, &e)) {
        if (!e.text[0])
            abort();
    }
    for (size_t i = 0; i < ids.n; i++)
        if (ids.ids[i] < 0 || (size_t)ids.ids[i] >= tokenizer_size(t))
            abort();
    tokens_release(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello  World's 123\n\n\xe2\x96\x81\xc3\xa4<s></s>\xff[MASK]";
    const uint8_t *end = size ? memchr(data, 0xff, size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    struct tokenizer *t;
    struct err e = {0};
    if (tokenizer_from_json(&t, (struct span){(const char *)data, n}, (struct span){"", 0}, &e)) {
        if (!e.text[0] || t)
            abort();
        return 0;
    }
    encode(t, (struct span){text, sizeof(text) - 1}, TOKENIZE_SPECIAL | TOKENIZE_ENDS);
    if (end)
        encode(t, (struct span){(const char *)end + 1, size - n - 1}, 0);
    for (int32_t id = -1; id < 300; id++) {
        struct span piece = tokenizer_piece(t, id), spelling = tokenizer_spelling(t, id);
        if (piece.n && spelling.n && tokenizer_find(t, spelling) > id)
            abort();
    }
    tokenizer_free(t);
    return 0;
}
