/* lru_test.c - a bounded cache: what is used stays, what is not goes. */
#include "support/test.h"

#include "base/err.h"
#include "base/lru.h"
#include "base/mem.h"

#include <string.h>

static void put(struct lru *c, const char *key, const char *value)
{
    assert_int_equal(lru_put(c, key, strlen(key), value, strlen(value), NULL), 0);
    assert_true(c->bytes <= c->max);
}

static void expect(struct lru *c, const char *key, const char *value)
{
    size_t n = 0;
    const char *got = lru_get(c, key, strlen(key), &n);
    if (!value) {
        assert_null(got);
        return;
    }
    assert_non_null(got);
    assert_int_equal(n, strlen(value));
    assert_memory_equal(got, value, n);
}

static void keeps_and_replaces(void **state)
{
    (void)state;
    struct lru c;
    lru_init(&c, 100);
    expect(&c, "a", NULL);
    put(&c, "a", "one");
    put(&c, "ab", "two");
    expect(&c, "a", "one");
    expect(&c, "ab", "two");
    expect(&c, "b", NULL);
    put(&c, "a", "three");
    expect(&c, "a", "three");
    assert_int_equal(c.bytes, 6 + 5);
    lru_release(&c);
    assert_int_equal(c.bytes, 0);
    assert_null(c.first);
}

static void least_recently_used_goes(void **state)
{
    (void)state;
    struct lru c;
    lru_init(&c, 3 * 5);
    put(&c, "a", "1111");
    put(&c, "b", "2222");
    put(&c, "c", "3333");
    expect(&c, "a", "1111"); /* now b is the oldest */
    put(&c, "d", "4444");
    expect(&c, "b", NULL);
    expect(&c, "a", "1111");
    put(&c, "e", "123456789"); /* two of them go */
    expect(&c, "c", NULL);
    expect(&c, "d", NULL);
    expect(&c, "a", "1111");
    expect(&c, "e", "123456789");
    lru_release(&c);
}

static void too_large_is_not_kept(void **state)
{
    (void)state;
    struct lru c;
    lru_init(&c, 5);
    put(&c, "a", "1111");
    put(&c, "b", "12345");
    expect(&c, "a", "1111");
    put(&c, "a", "12345"); /* its old value must not be found any more */
    expect(&c, "a", NULL);
    mem_fail_nth(1);
    assert_int_equal(lru_put(&c, "a", 1, "1", 1, NULL), ERR_NOMEM);
    mem_fail_nth(0);
    expect(&c, "a", NULL);
    lru_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_and_replaces),
        cmocka_unit_test(least_recently_used_goes),
        cmocka_unit_test(too_large_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
