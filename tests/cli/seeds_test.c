/* seeds_test.c - the seeds of --seed. */
#include "support/test.h"

#include "cli/seeds.h"

static void reads(void **state)
{
    static const struct {
        const char *text;
        int n;
        uint64_t first, last;
    } rows[] = {
        {"0", 1, 0, 0},
        {"18446744073709551615", 1, UINT64_MAX, UINT64_MAX},
        {"1-9", 9, 1, 9},
        {"5,8,13", 3, 5, 13},
        {"1-3,7,7", 5, 1, 7},
        {"18446744073709551614-18446744073709551615", 2, UINT64_MAX - 1, UINT64_MAX},
        {"1-10000", 10000, 1, 10000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seeds s;
        assert_true(seeds_parse(&s, rows[i].text));
        assert_int_equal(s.n, rows[i].n);
        assert_true(s.v[0] == rows[i].first && s.v[s.n - 1] == rows[i].last);
        seeds_release(&s);
    }
}

static void refuses(void **state)
{
    static const char *const rows[] = {"",
                                       " 1",
                                       "-1",
                                       "1-",
                                       "1,",
                                       "1,,2",
                                       "9-1",
                                       "1-2-3",
                                       "x",
                                       "1.5",
                                       "+1",
                                       "1 ,2",
                                       "1-10001",
                                       "1,1-10000",
                                       "18446744073709551616",
                                       "0-18446744073709551615"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seeds s;
        if (seeds_parse(&s, rows[i]))
            fail_msg("\"%s\" was read", rows[i]);
        assert_null(s.v);
        assert_int_equal(s.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
