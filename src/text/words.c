/* words.c - the BPE models of a tokenizer: the ids of one word (tokenizer_parts.h). */
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_parts.h"

#include <stdlib.h>

#define MAX_SYMBOL 6 /* ids of a character, and one before it */

uint32_t byte_level_spelling(unsigned char byte)
{
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte >= 0x7f && byte <= 0xa0)
        return 0x121u + (byte - 0x7fu);
    return byte == 0xad ? 0x143u : byte;
}

int byte_level_byte(uint32_t cp)
{
    if (cp >= 0x100 && cp <= 0x120)
        return (int)(cp - 0x100);
    if (cp >= 0x121 && cp <= 0x142)
        return (int)(cp - 0x121 + 0x7f);
    if (cp == 0x143)
        return 0xad;
    return cp > 0x20 && cp < 0x100 && byte_level_spelling((unsigned char)cp) == cp ? (int)cp : -1;
}

/* Room for a word of n symbols. */
static int reserve(struct encoder *c, size_t n)
{
    if (n <= c->ids.cap)
        return 0;
    tokens_release(&c->ids);
    free(c->begin);
    c->begin = NULL;
    size_t cap = n < 64 ? 64 : n;
    c->ids.ids = mem_try_array(cap, sizeof(*c->ids.ids), "a long word", c->e);
    c->begin = mem_try_array(cap + 1, sizeof(*c->begin), "a long word", c->e);
    if (!c->ids.ids || !c->begin)
        return ERR_NOMEM;
    c->ids.cap = cap;
    return 0;
}

/* Puts down what a symbol without a token becomes: the tokens of its bytes if all are there, else
 * the unknown one, once in a row where the model says so. Returns the new number of ids. */
size_t model_put_unknown(const struct tokenizer *t, struct span symbol, int32_t *ids, size_t n)
{
    bool fallback = t->byte_fallback;
    for (size_t i = 0; i < symbol.n && fallback; i++)
        fallback = t->byte_id[(unsigned char)symbol.p[i]] >= 0;
    for (size_t i = 0; i < symbol.n && fallback; i++)
        ids[n++] = t->byte_id[(unsigned char)symbol.p[i]];
    if (fallback || t->unknown < 0 || (t->fuse_unknown && n > 0 && ids[n - 1] == t->unknown))
        return n;
    ids[n++] = t->unknown;
    return n;
}

/* The token of the character at word[at, at + n), with what it is spelled with at its place. */
static int32_t find_character(struct encoder *c, struct span word, size_t at, size_t n)
{
    const struct tokenizer *t = c->t;
    struct span before = at > 0 ? t->char_prefix : (struct span){"", 0};
    struct span after = at + n == word.n ? t->char_suffix : (struct span){"", 0};
    if (before.n == 0 && after.n == 0)
        return vocab_find(&t->vocab, word.p + at, n);
    buf_reset(&c->texts[TEXT_OF_WORD]);
    buf_append(&c->texts[TEXT_OF_WORD], before.p, before.n);
    buf_append(&c->texts[TEXT_OF_WORD], word.p + at, n);
    buf_append(&c->texts[TEXT_OF_WORD], after.p, after.n);
    return vocab_find(&t->vocab, buf_str(&c->texts[TEXT_OF_WORD]), c->texts[TEXT_OF_WORD].len);
}

/* The symbols that merging begins with: bytes or characters. With merges by text, those that are
 * no tokens are -1 for now, since they may become one with their neighbours. */
static size_t first_symbols(struct encoder *c, struct span word)
{
    const struct tokenizer *t = c->t;
    size_t n = 0;
    for (size_t i = 0, taken = 1; i < word.n; i += taken) {
        struct span symbol = {word.p + i, 1};
        if (!t->bytes)
            utf8_decode(word.p + i, word.n - i, &taken);
        symbol.n = taken;
        int32_t id = t->bytes ? t->byte_id[(unsigned char)word.p[i]]
                              : find_character(c, word, i, taken);
        c->begin[n] = (uint32_t)i;
        if (id >= 0 || t->model == MODEL_TEXTS)
            c->ids.ids[n++] = id;
        else
            n = model_put_unknown(t, symbol, c->ids.ids, n);
    }
    c->begin[n] = (uint32_t)word.n;
    return n;
}

static int push_ids(struct encoder *c, const int32_t *ids, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = tokens_push(c->out, ids[i], c->e);
    return rc;
}

/* After merging by text: what is still no token is unknown. */
static int push_texts(struct encoder *c, const struct bpe_pieces *p)
{
    int rc = 0;
    bool unknown = false; /* the last one was the unknown token */
    for (size_t i = 0; i < p->n && !rc; i++) {
        struct span symbol = {p->text + p->begin[i], p->begin[i + 1] - p->begin[i]};
        int32_t ids[MAX_SYMBOL], *first = ids + 1;
        size_t n = 1;
        ids[0] = unknown ? c->t->unknown : -1;
        if (p->ids[i] >= 0)
            ids[n++] = p->ids[i];
        else
            n = model_put_unknown(c->t, symbol, ids, n);
        rc = push_ids(c, first, n - 1);
        unknown = ids[n - 1] == c->t->unknown && p->ids[i] < 0;
    }
    return rc;
}

static int push_bpe(struct encoder *c, struct span word)
{
    const struct tokenizer *t = c->t;
    int rc = reserve(c, word.n);
    if (rc)
        return rc;
    struct bpe_pieces p = {word.p, c->ids.ids, c->begin, first_symbols(c, word)};
    if (t->model == MODEL_BPE) {
        rc = bpe_apply(&t->bpe, &c->bpe, p.ids, &p.n, c->e);
        return rc ? rc : push_ids(c, p.ids, p.n);
    }
    struct bpe_texts texts = {t->bytes ? &t->pieces : &t->vocab, t->rank};
    rc = bpe_apply_texts(&texts, &c->bpe, &p, c->e);
    return rc ? rc : push_texts(c, &p);
}

int model_word(struct encoder *c, struct span word)
{
    const struct tokenizer *t = c->t;
    if (t->whole_words) {
        int32_t id = vocab_find(t->bytes ? &t->pieces : &t->vocab, word.p, word.n);
        if (id >= 0)
            return tokens_push(c->out, id, c->e);
    }
    if (t->model == MODEL_UNIGRAM)
        return model_unigram(c, word);
    return t->model == MODEL_WORDPIECE ? model_wordpiece(c, word) : push_bpe(c, word);
}
