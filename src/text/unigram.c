/* unigram.c - SentencePiece's Unigram model: the likeliest way to cut a word into tokens
 * (tokenizer_parts.h).
 *
 * Kudo, "Subword Regularization" (2018). Viterbi's algorithm over the places in the word; a
 * character that is no token may be the unknown one, at a price.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_parts.h"

#include <stdlib.h>

#define UNKNOWN_PENALTY 10.0
#define MAX_UNKNOWN     5 /* ids of an unknown character, and one before it */

/* The best way to reach a place in the word. */
struct best {
    double score;
    uint32_t begin; /* of the last token */
    uint32_t end;   /* of the token that begins here on the best way */
    int32_t id;     /* of the last token, NOT_REACHED or UNKNOWN */
};

enum { NOT_REACHED = -1, UNKNOWN = -2 };

static int reserve(struct encoder *c, size_t n)
{
    if (n <= c->n_best)
        return 0;
    free(c->best);
    c->n_best = 0;
    c->best = mem_try_array(n < 256 ? 256 : n, sizeof(*c->best), "a long word", c->e);
    if (!c->best)
        return ERR_NOMEM;
    c->n_best = n < 256 ? 256 : n;
    return 0;
}

static void reach(struct best *to, double score, size_t begin, int32_t id)
{
    if (to->id == NOT_REACHED || score > to->score)
        *to = (struct best){score, (uint32_t)begin, 0, id};
}

static void search(const struct tokenizer *t, struct span word, struct best *best)
{
    for (size_t i = 0; i <= word.n; i++)
        best[i].id = NOT_REACHED;
    best[0].score = 0;
    for (size_t i = 0, taken; i < word.n; i += taken) {
        uint32_t node = 0;
        bool single = false;
        double score = best[i].score;
        utf8_decode(word.p + i, word.n - i, &taken);
        for (size_t end = i; end < word.n;) {
            node = trie_step(&t->by_text, node, (unsigned char)word.p[end++]);
            if (!node)
                break;
            int32_t id = t->by_text.value[node];
            if (id < 0)
                continue;
            reach(&best[end], score + t->score[id], i, id);
            single |= end == i + taken;
        }
        if (!single)
            reach(&best[i + taken], score + t->unknown_score, i, UNKNOWN);
    }
}

/* Walks back from the end and notes at each place where the token that begins there ends. */
static void link_path(struct best *best, size_t n)
{
    for (size_t at = n; at > 0; at = best[at].begin)
        best[best[at].begin].end = (uint32_t)at;
}

int model_unigram(struct encoder *c, struct span word)
{
    const struct tokenizer *t = c->t;
    bool unknown = false; /* the last one was the unknown token */
    int rc = reserve(c, word.n + 1);
    if (rc)
        return rc;
    search(t, word, c->best);
    link_path(c->best, word.n);
    for (size_t i = 0, end; i < word.n && !rc; i = end) {
        int32_t ids[MAX_UNKNOWN] = {unknown ? t->unknown : -1};
        size_t n = 1;
        end = c->best[i].end;
        unknown = c->best[end].id == UNKNOWN;
        if (unknown)
            n = model_put_unknown(t, (struct span){word.p + i, end - i}, ids, n);
        else
            ids[n++] = c->best[end].id;
        for (size_t k = 1; k < n && !rc; k++)
            rc = tokens_push(c->out, ids[k], c->e);
        unknown = unknown && t->unknown >= 0 && ids[n - 1] == t->unknown;
    }
    return rc;
}

int tokenizer_index_unigram(struct tokenizer *t, struct err *e)
{
    struct trie_key *keys = mem_try_array(t->vocab.n + 1, sizeof(*keys), "the tokens", e);
    size_t n = 0;
    double least = 0;
    if (!keys)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->vocab.n; i++) {
        if (t->kind[i] == TOKEN_NORMAL && t->score[i] < least)
            least = t->score[i];
        if (t->kind[i] == TOKEN_USER)
            t->score[i] = 0; /* always preferred */
        if (t->kind[i] == TOKEN_NORMAL || t->kind[i] == TOKEN_USER || t->kind[i] == TOKEN_UNUSED)
            keys[n++] = (struct trie_key){vocab_text(&t->vocab, (int32_t)i), (int32_t)i};
    }
    t->unknown_score = least - UNKNOWN_PENALTY;
    int rc = trie_init(&t->by_text, keys, n, e);
    free(keys);
    return rc;
}
