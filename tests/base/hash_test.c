/* hash_test.c - against published vectors. */
#include "support/test.h"

#include "base/hash.h"

static void fnv1a(void **state)
{
    (void)state; /* http://www.isthe.com/chongo/tech/comp/fnv/, test_fnv.c */
    assert_int_equal(hash_fnv1a("", 0), 0xcbf29ce484222325u);
    assert_int_equal(hash_fnv1a("a", 1), 0xaf63dc4c8601ec8cu);
    assert_int_equal(hash_fnv1a("foobar", 6), 0x85944171f73967e8u);
}

static void mix64(void **state)
{
    (void)state; /* splitmix64 with seed 0 gives this first (java.util.SplittableRandom) */
    assert_int_equal(hash_mix64(0x9e3779b97f4a7c15u), 0xe220a8397b1dcdafu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fnv1a), cmocka_unit_test(mix64)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
