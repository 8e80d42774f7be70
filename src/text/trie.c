/* trie.c - see trie.h. */
#include "text/trie.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const struct trie_key *x = a, *y = b;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int order = n ? memcmp(x->text.p, y->text.p, n) : 0;
    if (order)
        return order;
    if (x->text.n != y->text.n)
        return x->text.n < y->text.n ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

static size_t common_prefix(const struct span *a, const struct span *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->p[n] == b->p[n])
        n++;
    return n;
}

/* The keys that pass through a node, while the trie is built. */
struct range {
    uint32_t begin, end, depth;
};

/* Appends a node for every byte that follows the node's strings; returns the new number of nodes.
 */
static size_t add_children(struct trie *t, struct range *ranges, const struct trie_key *keys,
                           size_t node, size_t n)
{
    struct range r = ranges[node];
    uint32_t i = r.begin;
    t->value[node] = -1;
    if (i < r.end && keys[i].text.n == r.depth) {
        t->value[node] = r.depth ? keys[i].value : -1;
        while (i < r.end && keys[i].text.n == r.depth)
            i++;
    }
    t->child[node] = (uint32_t)n;
    while (i < r.end) {
        char byte = keys[i].text.p[r.depth];
        uint32_t begin = i;
        while (i < r.end && keys[i].text.p[r.depth] == byte)
            i++;
        t->label[n] = (unsigned char)byte;
        ranges[n++] = (struct range){begin, i, r.depth + 1};
    }
    return n;
}

int trie_init(struct trie *t, struct trie_key *keys, size_t n, struct err *e)
{
    *t = (struct trie){0};
    if (n)
        qsort(keys, n, sizeof(*keys), compare);
    size_t nodes = 1;
    for (size_t i = 0; i < n; i++)
        nodes += keys[i].text.n - (i ? common_prefix(&keys[i - 1].text, &keys[i].text) : 0);
    struct range *ranges = mem_try_array(nodes, sizeof(*ranges), "the tokens", e);
    t->child = mem_try_array(nodes + 1, sizeof(*t->child), "the tokens", e);
    t->value = mem_try_array(nodes, sizeof(*t->value), "the tokens", e);
    t->label = mem_try_array(nodes, 1, "the tokens", e);
    if (!ranges || !t->child || !t->value || !t->label) {
        free(ranges);
        trie_release(t);
        return ERR_NOMEM;
    }
    size_t known = 1;
    ranges[0] = (struct range){0, (uint32_t)n, 0};
    for (size_t i = 0; i < known; i++)
        known = add_children(t, ranges, keys, i, known);
    t->child[known] = (uint32_t)known;
    t->n_nodes = known;
    for (uint32_t i = t->child[0]; i < t->child[1]; i++)
        t->start[t->label[i]] = i;
    free(ranges);
    return 0;
}

void trie_release(struct trie *t)
{
    free(t->child);
    free(t->value);
    free(t->label);
    *t = (struct trie){0};
}

uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char byte)
{
    if (node == 0)
        return t->start[byte];
    uint32_t lo = t->child[node], hi = t->child[node + 1];
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->label[mid] == byte)
            return mid;
        if (t->label[mid] < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

int32_t trie_longest(const struct trie *t, const char *text, size_t n, size_t *len)
{
    int32_t best = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < n && (node = trie_step(t, node, (unsigned char)text[i])); i++) {
        if (t->value[node] >= 0) {
            best = t->value[node];
            *len = i + 1;
        }
    }
    return best;
}
