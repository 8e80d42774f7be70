/* bpe_test.c - merging by rank against the plain definition. */
#include "support/test.h"

#include "base/err.h"
#include "base/hash.h"
#include "text/bpe.h"

#include <string.h>

static void first_by_rank_then_leftmost(void **state)
{
    (void)state;
    /* 0 1 2 are letters; 3 = "00", 4 = "01", 5 = "000", 6 = "12". */
    static const struct bpe_merge merges[] = {{1, 2, 6}, {0, 0, 3}, {0, 1, 4}, {3, 0, 5}};
    static const struct {
        size_t n, n_want;
        int32_t ids[6], want[6];
    } rows[] = {
        {0, 0, {0}, {0}},
        {1, 1, {2}, {2}},
        {2, 2, {2, 1}, {2, 1}},
        {3, 2, {0, 1, 2}, {0, 6}},
        {3, 1, {0, 0, 0}, {5}},
        {4, 2, {0, 0, 0, 0}, {3, 3}},
        {5, 2, {0, 0, 0, 0, 0}, {3, 5}},
        {5, 3, {0, 1, 0, 0, 1}, {4, 3, 1}},
    };
    struct bpe b;
    struct bpe_scratch s = {0};
    struct err e = {0};
    assert_ok(bpe_init(&b, 7, merges, 4, &e), e);
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        int32_t ids[6];
        size_t n = rows[r].n;
        memcpy(ids, rows[r].ids, sizeof(ids));
        assert_ok(bpe_apply(&b, &s, ids, &n, &e), e);
        assert_int_equal(n, rows[r].n_want);
        assert_memory_equal(ids, rows[r].want, n * sizeof(*ids));
    }
    bpe_scratch_release(&s);
    bpe_release(&b);
}

/* The later of two merges of one pair counts. */
static void doubled_pair(void **state)
{
    (void)state;
    static const struct bpe_merge merges[] = {{0, 1, 2}, {1, 1, 4}, {0, 1, 3}};
    struct bpe b;
    struct bpe_scratch s = {0};
    struct err e = {0};
    int32_t ids[] = {0, 1, 1};
    size_t n = 3;
    assert_ok(bpe_init(&b, 5, merges, 3, &e), e);
    assert_ok(bpe_apply(&b, &s, ids, &n, &e), e);
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 0);
    assert_int_equal(ids[1], 4);
    n = 2;
    ids[1] = 1;
    assert_ok(bpe_apply(&b, &s, ids, &n, &e), e);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 3);
    bpe_scratch_release(&s);
    bpe_release(&b);
}

#define N_LETTERS 3
#define N_MERGES  40

/* One merge at a time: the lowest rank that applies anywhere, its leftmost place. */
static size_t merge_plainly(const struct bpe_merge *merges, int32_t *ids, size_t n)
{
    for (;;) {
        size_t best = N_MERGES, at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t r = 0; r < best; r++)
                if (merges[r].left == (uint32_t)ids[i] && merges[r].right == (uint32_t)ids[i + 1]) {
                    best = r;
                    at = i;
                }
        if (best == N_MERGES)
            return n;
        ids[at] = (int32_t)merges[best].result;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof(*ids));
        n--;
    }
}

/* Merge r joins two earlier tokens, as a trained vocabulary does; no pair occurs twice. */
static void random_merges(struct bpe_merge *merges, uint64_t seed)
{
    for (uint32_t r = 0; r < N_MERGES;) {
        uint64_t z = hash_mix64(seed++ * 0x9e3779b97f4a7c15u);
        uint32_t left = (uint32_t)z % (N_LETTERS + r);
        uint32_t right = (uint32_t)(z >> 32) % (N_LETTERS + r), k = 0;
        while (k < r && (merges[k].left != left || merges[k].right != right))
            k++;
        if (k == r) {
            merges[r] = (struct bpe_merge){left, right, N_LETTERS + r};
            r++;
        }
    }
}

static void same_as_plain_merging(void **state)
{
    (void)state;
    struct bpe_scratch s = {0};
    struct err e = {0};
    size_t n_merged = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct bpe_merge merges[N_MERGES];
        struct bpe b;
        int32_t ids[100], plain[100];
        random_merges(merges, seed << 20);
        assert_ok(bpe_init(&b, N_LETTERS + N_MERGES, merges, N_MERGES, &e), e);
        for (size_t len = 0; len <= 100; len += 7) {
            size_t n = len, n_plain;
            for (size_t i = 0; i < len; i++)
                ids[i] = plain[i] = (int32_t)(hash_mix64(seed * 1000 + len * 131 + i) % N_LETTERS);
            n_plain = merge_plainly(merges, plain, len);
            assert_ok(bpe_apply(&b, &s, ids, &n, &e), e);
            assert_int_equal(n, n_plain);
            assert_memory_equal(ids, plain, n * sizeof(*ids));
            n_merged += len - n;
        }
        bpe_release(&b);
    }
    assert_true(n_merged > 10000);
    bpe_scratch_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_by_rank_then_leftmost),
        cmocka_unit_test(doubled_pair),
        cmocka_unit_test(same_as_plain_merging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
