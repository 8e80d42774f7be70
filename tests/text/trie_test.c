/* trie_test.c - longest strings of a set, by the trie and by comparing them all. */
#include "support/test.h"

#include "base/err.h"
#include "base/hash.h"
#include "text/trie.h"

#include <string.h>

#define N_KEYS 60

static void longest_as_by_comparing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 300; seed++) {
        char texts[N_KEYS][6];
        struct trie_key keys[N_KEYS], sorted[N_KEYS];
        struct trie t;
        struct err e = {0};
        for (size_t i = 0; i < N_KEYS; i++) {
            uint64_t r = hash_mix64(seed * 1000 + i);
            size_t n = r % 6; /* an empty one is left out */
            for (size_t k = 0; k < n; k++)
                texts[i][k] = (char)("ab\xff"[(r >> (8 + 2 * k)) % 3]);
            keys[i] = sorted[i] = (struct trie_key){{texts[i], n}, (int32_t)i};
        }
        assert_ok(trie_init(&t, sorted, N_KEYS, &e), e);
        for (size_t i = 0; i < N_KEYS; i++) {
            struct span text = keys[(i + 1) % N_KEYS].text;
            size_t len = 0, want_len = 0;
            int32_t want = -1, got = trie_longest(&t, text.p, text.n, &len);
            for (int32_t k = 0; k < N_KEYS; k++) {
                struct span key = keys[k].text;
                if (key.n > want_len && key.n <= text.n && !memcmp(key.p, text.p, key.n)) {
                    want = k;
                    want_len = key.n;
                }
            }
            assert_int_equal(got, want);
            assert_int_equal(len, want_len);
        }
        trie_release(&t);
    }
}

static void empty(void **state)
{
    (void)state;
    struct trie t;
    struct err e = {0};
    size_t len;
    assert_ok(trie_init(&t, NULL, 0, &e), e);
    assert_int_equal(trie_longest(&t, "a", 1, &len), -1);
    trie_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longest_as_by_comparing),
        cmocka_unit_test(empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
