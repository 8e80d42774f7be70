/* trie.h - a set of byte strings, walked one byte at a time: all tokens that begin at a place are
 * found in one pass over its bytes. */
#ifndef LAR_TEXT_TRIE_H
#define LAR_TEXT_TRIE_H

#include "text/vocab.h"

/* Nodes in breadth-first order, so that the children of one node lie side by side, sorted by their
 * bytes. Node 0 is the root. Read-only once made; a zeroed one is empty. */
struct trie {
    size_t n_nodes;
    uint32_t *child;      /* [n_nodes + 1] the first child; child[i + 1] ends them */
    int32_t *value;       /* [n_nodes] -1: no string ends here */
    unsigned char *label; /* [n_nodes] the byte that leads here */
    uint32_t start[256];  /* the root's children by byte; 0: none */
};

struct trie_key {
    struct span text; /* an empty one is left out */
    int32_t value;    /* >= 0 */
};

/* Sorts the keys; of equal texts the smallest value counts. */
int trie_init(struct trie *t, struct trie_key *keys, size_t n, struct err *e);
void trie_release(struct trie *t);

uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char byte); /* 0: no such child */

/* The longest string of the set that `text` begins with: its value and its length, or -1. */
int32_t trie_longest(const struct trie *t, const char *text, size_t n, size_t *len);

#endif
