/* prompt_fuzz.c - any text as a prompt: its parts lie in its text, its chunks are framed. */
#include "base/err.h"
#include "text/chunks.h"
#include "text/clip_tokenizer.h"
#include "text/prompt.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(const char *text, size_t size)
{
    struct prompt p;
    if (prompt_parse(&p, text, size, NULL) != 0)
        return;
    for (size_t i = 0; i < p.n; i++) {
        const struct prompt_part *x = &p.parts[i];
        if (x->begin > size || x->len > size - x->begin || !isfinite(x->weight))
            abort();
    }
    prompt_release(&p);
}

/* A word of three vectors, in a context that hardly holds it. */
static void check_chunks(const struct clip_tokenizer *t, const char *text, size_t size)
{
    const int32_t ids[] = {320};
    const struct chunk_word word = {"a", ids, 1, 50000, 3};
    const struct chunk_rules rules = {t, 7, &word, 1};
    struct chunks c;
    if (chunks_make(&c, &rules, text, size, NULL) != 0)
        return;
    if (c.n < 1 || c.n > CHUNKS_MAX)
        abort();
    for (size_t i = 0; i < c.n; i++) {
        const int32_t *chunk = c.ids + i * 7;
        size_t end = 1;
        while (end < 7 && chunk[end] != clip_tokenizer_eos(t))
            end++;
        if (chunk[0] != clip_tokenizer_bos(t) || end == 7)
            abort();
    }
    chunks_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct clip_tokenizer *t;
    if (!t && clip_tokenizer_new(&t, NULL, NULL) != 0)
        abort();
    check_parts((const char *)data, size);
    check_chunks(t, (const char *)data, size);
    return 0;
}
