/* token_trie.h - a vocabulary by its beginnings, so that what cannot come next is ruled out for all
 * tokens that begin alike at once. Made once per model; read-only then, for any thread.
 *
 *     nodes in depth-first order:   ""  a  ab  abc  ac  b       byte, depth, end of the subtree
 *     tokens in the order of nodes:     3  17  40   8   9
 */
#ifndef LAR_TEXT_TOKEN_TRIE_H
#define LAR_TEXT_TOKEN_TRIE_H

#include "text/token_pieces.h"

#include <stddef.h>
#include <stdint.h>

struct err;

#define TOKEN_TRIE_DEPTH 64 /* bytes; the few longer tokens stand apart */

struct token_trie_node {
    uint32_t end;   /* the node after its subtree */
    uint32_t first; /* in `tokens`: its own, then those of its subtree */
    uint8_t byte, depth;
};

struct token_trie {
    struct token_pieces pieces;    /* borrowed bytes */
    struct token_trie_node *nodes; /* [n_nodes + 1]; the root first, a border last; owned */
    int32_t *tokens;               /* [n_tokens] sorted by their bytes; owned */
    int32_t *longer;               /* [n_longer] behind `tokens`: those deeper than the trie */
    uint32_t n_nodes, n_tokens, n_longer;
};

/* The arrays of `p`, and what they point to, must outlive the trie. Tokens without bytes, and those
 * that p->control marks, are not in it. ERR_NOMEM. */
int token_trie_new(struct token_trie **t, const struct token_pieces *p, struct err *e);
void token_trie_free(struct token_trie *t);

#endif
