/* mem_test.c - overflow, alignment, fault injection. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void arrays_check_the_product(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(mem_try_array(SIZE_MAX / 4, 8, "the weights", &e));
    assert_err(e, ERR_NOMEM, "the weights");
    e = (struct err){0};
    assert_null(mem_try_array(SIZE_MAX / 8, 4, "the weights", &e));
    assert_int_equal(e.code, ERR_NOMEM);
    e = (struct err){0};
    unsigned char *p = mem_try_array(1000, 3, "bytes", &e), *none = mem_try_array(0, 8, "none", &e);
    assert_non_null(p);
    assert_non_null(none);
    assert_int_equal(e.code, 0);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(p[i], 0);
    free(p);
    free(none);
}

static void aligned_blocks(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, (size_t)3 << 20, ((size_t)9 << 20) + 5};
    struct err e = {0};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned char *p = mem_try_aligned(sizes[i], "a tensor", &e);
        assert_ok(p ? 0 : e.code, e);
        assert_int_equal((uintptr_t)p % 64, 0);
        if (sizes[i])
            p[0] = p[sizes[i] - 1] = 1;
        mem_free_aligned(p);
    }
    assert_null(mem_try_aligned(SIZE_MAX, "a tensor", &e));
    assert_err(e, ERR_NOMEM, "a tensor");
    mem_free_aligned(NULL);
}

static void the_nth_fails(void **state)
{
    (void)state;
    struct err e = {0};
    void *p[4];
    mem_fail_nth(3);
    for (int i = 0; i < 4; i++)
        p[i] = i % 2 ? mem_try_aligned(8, "x", &e) : mem_try_array(1, 8, "x", &e);
    for (int i = 0; i < 4; i++)
        assert_int_equal(p[i] == NULL, i == 2);
    mem_fail_nth(0);
    mem_free_aligned(p[1]);
    mem_free_aligned(p[3]);
    free(p[0]);
}

static void strings(void **state)
{
    (void)state;
    char *a = mem_strdup("abc"), *b = mem_strndup("abcdef", 3), *c = mem_printf("%s%03d", "x", 7);
    char *d = mem_realloc(mem_alloc(0), 100);
    assert_null(mem_strdup(NULL));
    assert_string_equal(a, b);
    assert_string_equal(c, "x007");
    memset(d, 1, 100);
    free(a);
    free(b);
    free(c);
    free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_check_the_product),
        cmocka_unit_test(aligned_blocks),
        cmocka_unit_test(the_nth_fails),
        cmocka_unit_test(strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
