/* token_trie_test.c - the trie of a vocabulary lists each token once, below its own bytes. */
#include "support/test.h"

#include "base/err.h"
#include "base/hash.h"
#include "text/token_trie.h"

#include <stdlib.h>
#include <string.h>

enum { N = 500 };

/* Spells each node's path and compares it with its tokens. */
static void every_token_once(void **state)
{
    (void)state;
    static char text[N][100];
    const char *bytes[N];
    uint32_t n_bytes[N];
    uint8_t control[N] = {0};
    int seen[N] = {0};
    for (uint32_t i = 0; i < N; i++) {
        uint64_t r = hash_mix64(i);
        n_bytes[i] = i == 7 ? 0 : i == 8 ? 90 : 1 + (uint32_t)(r % 6);
        for (uint32_t k = 0; k < n_bytes[i]; k++)
            text[i][k] = (char)("ab\xff\0c"[(r = hash_mix64(r)) % 5]);
        bytes[i] = text[i];
    }
    control[9] = 1;
    const struct token_pieces pieces = {N, bytes, n_bytes, control};
    struct err e = {0};
    struct token_trie *t;
    assert_ok(token_trie_new(&t, &pieces, &e), e);

    char path[TOKEN_TRIE_DEPTH];
    for (uint32_t i = 1; i < t->n_nodes; i++) {
        const struct token_trie_node *x = &t->nodes[i];
        path[x->depth - 1] = (char)x->byte;
        assert_true(x->end > i && x->end <= t->n_nodes);
        for (uint32_t k = x->first; k < t->nodes[i + 1].first; k++) {
            int32_t id = t->tokens[k];
            assert_int_equal(n_bytes[id], x->depth);
            assert_memory_equal(path, bytes[id], x->depth);
            seen[id]++;
        }
        for (uint32_t k = x->first; k < t->nodes[x->end].first; k++)
            assert_memory_equal(path, bytes[t->tokens[k]], x->depth);
    }
    assert_int_equal(t->n_longer, 1);
    assert_int_equal(t->longer[0], 8);
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], i != 7 && i != 8 && i != 9);
    token_trie_free(t);
}

static void empty_vocabularies(void **state)
{
    (void)state;
    struct err e = {0};
    struct token_trie *t;
    assert_ok(token_trie_new(&t, &(struct token_pieces){0}, &e), e);
    assert_int_equal(t->n_nodes, 1);
    token_trie_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_once),
        cmocka_unit_test(empty_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
