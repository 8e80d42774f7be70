/* clip_tokenizer_fuzz.c - any text with CLIP's vocabulary, and any vocabulary.
 *
 * Input: what comes before the first 0xff byte is a vocabulary, one line per entry: "left right"
 * is a merge whose result also becomes a token, anything else a token. The rest is the text. With
 * no 0xff all of it is text. Ids must be tokens, a refusal must have a reason.
 */
#include "base/err.h"
#include "format/checkpoint.h"
#include "text/clip_tokenizer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_IDS       75
#define MAX_ENTRIES 256
#define N_BYTES     512

static void check(const struct clip_tokenizer *t, const char *text, size_t len)
{
    int32_t ids[N_IDS];
    struct err e = {0};
    int n = clip_tokenizer_encode(t, text, len, ids, N_IDS, &e);
    if (n < 0)
        abort();
    for (int i = 0; i < n && i < N_IDS; i++)
        if (!clip_tokenizer_token(t, ids[i]))
            abort();
}

/* Cuts `lines` at its newlines and adds tokens and merges; results go into `joined`. */
static void read_entries(char *lines, const char **tokens, const char **merges, char **joined,
                         struct ckpt_vocab *v)
{
    for (char *line = lines, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        const char *gap = strchr(line, ' ');
        if (v->n_tokens == N_BYTES + MAX_ENTRIES)
            return;
        if (!gap) {
            tokens[v->n_tokens++] = line;
            continue;
        }
        size_t room = strlen(line) + 1;
        char *text = malloc(room);
        if (!text)
            return;
        snprintf(text, room, "%.*s%s", (int)(gap - line), line, gap + 1);
        joined[v->n_merges] = text;
        merges[v->n_merges++] = line;
        tokens[v->n_tokens++] = text;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct clip_tokenizer *builtin;
    const char *tokens[N_BYTES + MAX_ENTRIES + 2], *merges[MAX_ENTRIES];
    char *joined[MAX_ENTRIES] = {0};
    struct err e = {0};
    if (!builtin && clip_tokenizer_new(&builtin, NULL, &e))
        abort();
    const uint8_t *end = size ? memchr(data, 0xff, size) : NULL;
    if (!end) {
        check(builtin, (const char *)data, size);
        return 0;
    }
    struct ckpt_vocab v = {.tokens = tokens, .merges = merges, .bos = -1, .eos = -1, .pad = 3};
    for (; v.n_tokens < N_BYTES; v.n_tokens++)
        tokens[v.n_tokens] = clip_tokenizer_token(builtin, (int32_t)v.n_tokens);
    size_t n_lines = (size_t)(end - data);
    char *lines = calloc(1, n_lines + 1);
    if (!lines)
        return 0;
    memcpy(lines, data, n_lines);
    read_entries(lines, tokens, merges, joined, &v);
    tokens[v.n_tokens++] = "<|startoftext|>";
    tokens[v.n_tokens++] = "<|endoftext|>";
    struct clip_tokenizer *t;
    if (clip_tokenizer_new(&t, &v, &e) == 0)
        check(t, (const char *)end + 1, size - n_lines - 1);
    else if (!e.text[0])
        abort();
    clip_tokenizer_free(t);
    for (size_t i = 0; i < v.n_merges; i++)
        free(joined[i]);
    free(lines);
    return 0;
}
