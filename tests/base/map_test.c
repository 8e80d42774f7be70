/* map_test.c - many keys, replaced values, keys with any bytes. */
#include "support/test.h"

#include "base/map.h"

#include <stdio.h>
#include <string.h>

#define N 5000

static void many_keys(void **state)
{
    (void)state;
    static int values[N];
    struct map m = {0};
    char key[32];
    assert_null(map_get_str(&m, "absent"));
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof(key), "tensor.%d", i);
        assert_null(map_put(&m, key, strlen(key), &values[i]));
    }
    assert_int_equal(m.n, N);
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof(key), "tensor.%d", i);
        assert_ptr_equal(map_get_str(&m, key), &values[i]);
    }
    assert_null(map_get_str(&m, "tensor.5000"));
    assert_null(map_get_str(&m, "tensor."));
    assert_ptr_equal(map_put(&m, "tensor.7", 8, &values[0]), &values[7]);
    assert_ptr_equal(map_get_str(&m, "tensor.7"), &values[0]);
    assert_int_equal(m.n, N);
    map_release(&m);
    assert_null(map_get_str(&m, "tensor.7"));
    map_release(&m);
}

static void keys_are_bytes(void **state)
{
    (void)state;
    struct map m = {0};
    char key[] = "ab";
    int x, y, z, w;
    map_put(&m, key, 2, &x);
    key[0] = 'z'; /* the map has its own copy */
    map_put(&m, "ab\0", 3, &y);
    map_put(&m, "", 0, &z);
    map_put(&m, "a", 1, &w);
    assert_ptr_equal(map_get(&m, "ab", 2), &x);
    assert_ptr_equal(map_get(&m, "ab\0c", 3), &y);
    assert_ptr_equal(map_get_str(&m, ""), &z);
    assert_ptr_equal(map_get(&m, "ab", 1), &w);
    assert_null(map_get_str(&m, "zb"));
    map_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_keys),
        cmocka_unit_test(keys_are_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
