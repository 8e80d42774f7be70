/* arena_test.c - alignment, zeroing, large blocks, reuse after release. */
#include "support/test.h"

#include "base/arena.h"

#include <string.h>

static void blocks_are_aligned_zeroed_and_apart(void **state)
{
    (void)state;
    struct arena a = {0};
    unsigned char *p[200];
    size_t size[200];
    for (size_t i = 0; i < 200; i++) {
        size[i] = i % 50 == 49 ? 100000 : i * 37;
        p[i] = arena_alloc(&a, size[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(p[i][k], 0);
        memset(p[i], (int)i, size[i]);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(p[i][k], (unsigned char)i);
    arena_release(&a);
    assert_null(a.block);
    assert_non_null(arena_alloc(&a, 1));
    arena_release(&a);
    arena_release(&a);
}

static void strings(void **state)
{
    (void)state;
    struct arena a = {0};
    assert_null(arena_strdup(&a, NULL));
    const char *s = arena_strdup(&a, "layer"), *n = arena_strndup(&a, "layerwise", 5);
    const char *f = arena_printf(&a, "%s %d: %s", s, 3, "attn");
    assert_string_equal(s, n);
    assert_string_equal(f, "layer 3: attn");
    assert_string_equal(arena_strndup(&a, "", 0), "");
    const char *wide = arena_printf(&a, "%*d", 100000, 7);
    assert_int_equal(strlen(wide), 100000);
    assert_string_equal(s, "layer");
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_zeroed_and_apart),
        cmocka_unit_test(strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
