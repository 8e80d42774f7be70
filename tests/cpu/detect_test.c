/* detect_test.c - the choice of a kernel table. */
#include "support/test.h"

#include "base/err.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"

#include <stdlib.h>
#include <string.h>

static void test_best_first(void **state)
{
    struct err e = {0};
    int n = 0;
    (void)state;
    while (kernels_at(n))
        n++;
    assert_true(n >= 1);
    assert_string_equal(kernels_at(n - 1)->name, "generic");
    assert_ptr_equal(kernels_pick(NULL, &e), kernels_at(0));
    assert_ptr_equal(kernels_pick("", &e), kernels_at(0));
#if defined(__aarch64__)
    assert_string_equal(kernels_at(0)->name, "neon");
#endif
}

static void test_by_name(void **state)
{
    const struct kernels *k;
    struct err e = {0};
    (void)state;
    for (int i = 0; (k = kernels_at(i)); i++)
        assert_ptr_equal(kernels_pick(k->name, &e), k);
    assert_null(kernels_pick("avx1024", &e));
    assert_err(e, ERR_ARG, "LAR_CPU=avx1024");
    assert_non_null(strstr(e.text, "generic"));
}

static void check_product(const struct kernels *k, const struct product *p)
{
    assert_true(p->mr >= 1 && p->mr <= 32);
    assert_true(p->group == 1 || (p->group == 16 && p->mr % p->group == 0));
    assert_true(p->k_step == 1 || p->k_step % 2 == 0);
    assert_int_equal(p->nr % k->width, 0);
    assert_int_equal(p->n % p->nr, 0);
}

/* What a table promises to the drivers. */
static void test_tables(void **state)
{
    const struct kernels *k;
    (void)state;
    for (int i = 0; (k = kernels_at(i)); i++) {
        check_product(k, &k->f32);
        assert_true(!k->bf16.gemm == !k->bf16.pack);
        if (k->bf16.gemm)
            check_product(k, &k->bf16);
    }
}

static void test_environment(void **state)
{
    struct backend *b;
    struct err e = {0};
    (void)state;
    setenv("LAR_CPU", "generic", 1);
    assert_ok(cpu_backend_new(&b, 1, NULL, &e), e);
    assert_string_equal(b->name, "cpu/generic");
    backend_free(b);
    setenv("LAR_CPU", "abacus", 1);
    assert_int_equal(cpu_backend_new(&b, 1, NULL, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "LAR_CPU=abacus: this machine can run");
    assert_null(b);
    e = (struct err){0};
    assert_ok(cpu_backend_new(&b, 1, "generic", &e), e); /* an argument wins */
    backend_free(b);
    unsetenv("LAR_CPU");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best_first),
        cmocka_unit_test(test_by_name),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
