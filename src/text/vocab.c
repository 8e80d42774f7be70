/* vocab.c - see vocab.h. */
#include "text/vocab.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Eight bytes at a time, seeded: whoever writes the file cannot make its tokens collide. */
static uint64_t hash_text(const char *text, size_t n)
{
    uint64_t h = map_seed() ^ n, word;
    for (; n >= 8; n -= 8, text += 8) {
        memcpy(&word, text, 8);
        h = hash_mix64(h ^ word);
    }
    word = 0;
    memcpy(&word, text, n);
    return hash_mix64(h ^ word);
}

static uint32_t *find_slot(const struct vocab *v, const char *text, size_t n)
{
    size_t i = hash_text(text, n) & v->mask;
    for (; v->slots[i]; i = (i + 1) & v->mask) {
        struct span s = vocab_text(v, (int32_t)(v->slots[i] - 1));
        if (s.n == n && memcmp(s.p, text, n) == 0)
            break;
    }
    return &v->slots[i];
}

static int measure(struct vocab *v, const struct span *tokens, size_t n, size_t *total,
                   struct err *e)
{
    *total = 0;
    if (n > VOCAB_MAX_TOKENS)
        return err_set(e, ERR_FORMAT, "the tokenizer has %zu tokens, more than the %zu supported",
                       n, VOCAB_MAX_TOKENS);
    for (size_t i = 0; i < n; i++) {
        if (tokens[i].n > VOCAB_MAX_TOKEN)
            return err_set(e, ERR_FORMAT, "token %zu has %zu bytes, more than %zu", i, tokens[i].n,
                           VOCAB_MAX_TOKEN);
        *total += tokens[i].n;
        if (*total > VOCAB_MAX_TEXT)
            return err_set(e, ERR_FORMAT, "the tokens are longer than %zu MiB together",
                           VOCAB_MAX_TEXT >> 20);
        if (tokens[i].n > v->longest)
            v->longest = tokens[i].n;
    }
    return 0;
}

int vocab_init(struct vocab *v, const struct span *tokens, size_t n, struct err *e)
{
    size_t total, cap = 64;
    *v = (struct vocab){0};
    int rc = measure(v, tokens, n, &total, e);
    if (rc)
        return rc;
    while (cap < 2 * n)
        cap *= 2;
    v->text = mem_try_array(total + 1, 1, "the tokens", e);
    v->begin = mem_try_array(n + 1, sizeof(*v->begin), "the tokens", e);
    v->slots = mem_try_array(cap, sizeof(*v->slots), "the tokens", e);
    if (!v->text || !v->begin || !v->slots) {
        vocab_release(v);
        return ERR_NOMEM;
    }
    v->mask = cap - 1;
    for (; v->n < n; v->n++) {
        const struct span *token = &tokens[v->n];
        uint32_t at = v->begin[v->n];
        if (token->n > 0)
            memcpy(v->text + at, token->p, token->n);
        v->begin[v->n + 1] = at + (uint32_t)token->n;
        uint32_t *slot = token->n > 0 ? find_slot(v, token->p, token->n) : NULL;
        if (slot && !*slot)
            *slot = (uint32_t)v->n + 1;
    }
    return 0;
}

void vocab_release(struct vocab *v)
{
    free(v->text);
    free(v->begin);
    free(v->slots);
    *v = (struct vocab){0};
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t n)
{
    if (n == 0 || n > v->longest)
        return -1;
    return (int32_t)*find_slot(v, text, n) - 1;
}

struct span vocab_text(const struct vocab *v, int32_t id)
{
    return (struct span){v->text + v->begin[id], v->begin[id + 1] - v->begin[id]};
}
