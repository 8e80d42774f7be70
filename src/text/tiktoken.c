/* tiktoken.c - tokenizers from OpenAI's tiktoken files: lines of "base64 rank", tokens of bytes
 * that merge wherever the result is a token, the lowest rank first (tokenizer_parts.h).
 *
 * https://github.com/openai/tiktoken. The pattern that cuts words is not in the file.
 */
#include "base/base64.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/pretokenizers.h"
#include "text/tokenizer_parts.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINE (2 * VOCAB_MAX_TOKEN)

/* The tokens by rank, spelled as byte-level vocabularies spell them. */
struct lines {
    struct buf texts;
    size_t *begin, *end; /* [n] in texts */
    struct span *tokens; /* [n], once all are read */
    size_t n, cap;
};

static bool grow(size_t **list, size_t n, size_t cap)
{
    size_t *grown = realloc(*list, cap * sizeof(*grown));
    if (!grown)
        return false;
    memset(grown + n, 0, (cap - n) * sizeof(*grown));
    *list = grown;
    return true;
}

static int put(struct lines *l, size_t rank, size_t begin, struct err *e)
{
    if (rank >= l->cap) {
        size_t cap = 2 * rank + 1024;
        if (!grow(&l->begin, l->cap, cap) || !grow(&l->end, l->cap, cap))
            return err_set(e, ERR_NOMEM, "not enough memory for %zu tokens", cap);
        l->cap = cap;
    }
    l->begin[rank] = begin;
    l->end[rank] = l->texts.len;
    l->n = rank >= l->n ? rank + 1 : l->n;
    return 0;
}

static int read_line(struct lines *l, struct span line, size_t number, struct err *e)
{
    unsigned char bytes[MAX_LINE];
    const char *blank = line.n < MAX_LINE ? memchr(line.p, ' ', line.n) : NULL;
    size_t n = blank ? base64_decode(line.p, (size_t)(blank - line.p), bytes) : SIZE_MAX;
    size_t rank = 0, begin = l->texts.len;
    for (const char *p = blank ? blank + 1 : NULL; p && p < line.p + line.n; p++)
        rank = *p >= '0' && *p <= '9' && rank < VOCAB_MAX_TOKENS ? 10 * rank + (size_t)(*p - '0')
                                                                 : VOCAB_MAX_TOKENS;
    if (n == SIZE_MAX || rank >= VOCAB_MAX_TOKENS)
        return err_set(e, ERR_FORMAT, "line %zu is not \"base64 rank\"", number);
    for (size_t i = 0; i < n; i++) {
        char spelled[4];
        buf_append(&l->texts, spelled, utf8_encode(byte_level_spelling(bytes[i]), spelled));
    }
    return put(l, rank, begin, e);
}

static int read_lines(struct lines *l, struct span file, struct err *e)
{
    int rc = 0;
    for (size_t number = 1; file.n > 0 && !rc; number++) {
        const char *end = memchr(file.p, '\n', file.n);
        size_t n = end ? (size_t)(end - file.p) : file.n;
        size_t n_line = n > 0 && file.p[n - 1] == '\r' ? n - 1 : n;
        if (n_line > 0)
            rc = read_line(l, (struct span){file.p, n_line}, number, e);
        n += end != NULL;
        file.p += n;
        file.n -= n;
    }
    if (!rc && buf_failed(&l->texts))
        rc = err_set(e, ERR_FORMAT, "the tokens are longer than %zu MiB together",
                     VOCAB_MAX_TEXT >> 20);
    if (rc)
        return rc;
    l->tokens = mem_try_array(l->n + 1, sizeof(*l->tokens), "the tokens", e);
    for (size_t i = 0; i < l->n && l->tokens; i++)
        l->tokens[i] = (struct span){buf_str(&l->texts) + l->begin[i], l->end[i] - l->begin[i]};
    return l->tokens ? 0 : ERR_NOMEM;
}

static int make(struct tokenizer *t, const struct lines *l, const char *pre, struct err *e)
{
    const struct pretokenizer *words = pretokenizer_find(pre);
    t->bos = t->eos = t->unknown = -1;
    t->model = MODEL_TEXTS;
    t->bytes = true;
    t->spelling = SPELLED_BYTES;
    t->whole_words = true; /* the same, sooner */
    int rc = words ? vocab_init(&t->vocab, l->tokens, l->n, e)
                   : err_set(e, ERR_ARG, "the pre-tokenizer \"%s\" is not known", pre);
    if (!rc)
        rc = tokenizer_reserve(t, e);
    if (rc)
        return rc;
    t->rank = mem_try_array(t->vocab.n + 1, sizeof(*t->rank), "the ranks", e);
    if (!t->rank)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->vocab.n; i++)
        t->rank[i] = (uint32_t)i;
    rc = steps_add_pretokenizer(&t->splitter, words, e);
    return rc ? rc : tokenizer_make_pieces(t, e);
}

int tokenizer_from_tiktoken(struct tokenizer **out, struct span file, const char *pre,
                            struct err *e)
{
    struct lines l = {0};
    struct tokenizer *t = mem_alloc(sizeof(*t));
    *out = NULL;
    buf_init(&l.texts, VOCAB_MAX_TEXT);
    int rc = read_lines(&l, file, e);
    if (!rc)
        rc = make(t, &l, pre, e);
    buf_release(&l.texts);
    free(l.begin);
    free(l.end);
    free(l.tokens);
    if (rc) {
        tokenizer_free(t);
        return rc;
    }
    *out = t;
    return 0;
}
