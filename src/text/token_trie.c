/* token_trie.c - see token_trie.h. */
#include "text/token_trie.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    const char *bytes;
    uint32_t n;
    int32_t id;
};

static int by_bytes(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->n < y->n ? x->n : y->n);
    if (order != 0)
        return order;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Sorts what the trie holds; the longer ones are counted from the end of t->tokens. */
static size_t collect(struct token_trie *t, struct entry *list, size_t *n_bytes)
{
    const struct token_pieces *p = &t->pieces;
    size_t n = 0;
    *n_bytes = 0;
    for (size_t i = 0; i < p->n; i++) {
        uint32_t len = p->n_bytes[i];
        if (len == 0 || (p->control && p->control[i]))
            continue;
        if (len > TOKEN_TRIE_DEPTH) {
            t->tokens[p->n - ++t->n_longer] = (int32_t)i;
            continue;
        }
        list[n++] = (struct entry){p->bytes[i], len, (int32_t)i};
        *n_bytes += len;
    }
    t->longer = t->tokens + p->n - t->n_longer;
    if (n > 1)
        qsort(list, n, sizeof *list, by_bytes);
    return n;
}

static void build(struct token_trie *t, const struct entry *list, size_t n)
{
    uint32_t open[TOKEN_TRIE_DEPTH + 1]; /* the nodes on the way to the last token, from the root */
    uint32_t depth = 0;
    t->nodes[t->n_nodes++] = (struct token_trie_node){0};
    open[0] = 0;
    for (size_t i = 0; i < n; i++) {
        const struct entry *x = &list[i];
        uint32_t common = 0;
        while (common < depth && common < x->n &&
               t->nodes[open[common + 1]].byte == (uint8_t)x->bytes[common])
            common++;
        for (; depth > common; depth--)
            t->nodes[open[depth]].end = t->n_nodes;
        for (; depth < x->n; depth++) {
            open[depth + 1] = t->n_nodes;
            t->nodes[t->n_nodes++] = (struct token_trie_node){
                0, t->n_tokens, (uint8_t)x->bytes[depth], (uint8_t)(depth + 1)};
        }
        t->tokens[t->n_tokens++] = x->id;
    }
    for (uint32_t d = 0; d <= depth; d++)
        t->nodes[open[d]].end = t->n_nodes;
    t->nodes[t->n_nodes] = (struct token_trie_node){.first = t->n_tokens};
}

int token_trie_new(struct token_trie **t, const struct token_pieces *p, struct err *e)
{
    size_t n_bytes;
    *t = NULL;
    struct token_trie *x = mem_alloc(sizeof *x);
    struct entry *list = mem_try_array(p->n + 1, sizeof *list, "the vocabulary", e);
    x->pieces = *p;
    x->tokens = mem_try_array(p->n + 1, sizeof *x->tokens, "the vocabulary", e);
    if (list && x->tokens) {
        size_t n = collect(x, list, &n_bytes);
        x->nodes = mem_try_array(n_bytes + 2, sizeof *x->nodes, "the vocabulary's trie", e);
        if (x->nodes) {
            build(x, list, n);
            x->nodes = mem_realloc(x->nodes, (x->n_nodes + 1) * sizeof *x->nodes);
            *t = x;
        }
    }
    free(list);
    if (*t)
        return 0;
    token_trie_free(x);
    return ERR_NOMEM;
}

void token_trie_free(struct token_trie *t)
{
    if (!t)
        return;
    free(t->nodes);
    free(t->tokens);
    free(t);
}
