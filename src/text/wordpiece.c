/* wordpiece.c - BERT's WordPiece: the longest token that a word begins with, then the longest that
 * the rest begins with (tokenizer_parts.h). A word that is not used up is unknown as a whole.
 *
 * Schuster, Nakajima, "Japanese and Korean Voice Search" (2012);
 * https://github.com/google-research/bert/blob/master/tokenization.py.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/utf8.h"
#include "text/tokenizer_parts.h"

static size_t count_characters(struct span word)
{
    size_t n = 0;
    for (size_t i = 0; i < word.n; i++)
        n += ((unsigned char)word.p[i] & 0xc0) != 0x80;
    return n;
}

/* The longest token that prefix + text begins with, at least one character of the text; its length
 * without the prefix goes to *len. */
static int32_t longest(struct encoder *c, struct span prefix, struct span text, size_t *len)
{
    const struct vocab *v = &c->t->vocab;
    size_t n = text.n;
    if (prefix.n >= v->longest)
        return -1;
    if (n > v->longest - prefix.n)
        n = v->longest - prefix.n;
    buf_reset(&c->texts[TEXT_OF_WORD]);
    buf_append(&c->texts[TEXT_OF_WORD], prefix.p, prefix.n);
    buf_append(&c->texts[TEXT_OF_WORD], text.p, n);
    for (; n > 0 && !buf_failed(&c->texts[TEXT_OF_WORD]); n--) {
        if (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
            continue; /* inside a character */
        int32_t id = vocab_find(v, buf_str(&c->texts[TEXT_OF_WORD]), prefix.n + n);
        if (id >= 0) {
            *len = n;
            return id;
        }
    }
    return -1;
}

int model_wordpiece(struct encoder *c, struct span word)
{
    const struct tokenizer *t = c->t;
    size_t n_before = c->out->n;
    bool known = count_characters(word) <= t->max_word;
    int rc = 0;
    for (size_t i = 0, len; i < word.n && known && !rc; i += len) {
        struct span rest = {word.p + i, word.n - i};
        int32_t id = longest(c, i ? t->inner_prefix : t->word_prefix, rest, &len);
        known = id >= 0;
        rc = known ? tokens_push(c->out, id, c->e) : 0;
        len = known ? len : rest.n;
    }
    if (rc || known)
        return rc;
    c->out->n = n_before;
    return t->unknown >= 0 ? tokens_push(c->out, t->unknown, c->e) : 0;
}
