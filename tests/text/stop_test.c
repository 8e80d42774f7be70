/* stop_test.c - stop strings, however the text is cut. */
#include "support/test.h"

#include "base/err.h"
#include "text/stop.h"

#include <stdlib.h>
#include <string.h>

/* Pushes the pieces; what was let through, in one. */
static int push(const char *const *stops, int n_stops, const char *const *pieces, char *all,
                size_t size)
{
    struct stop_filter f;
    struct err e = {0};
    struct buf out;
    int found = -1;
    buf_init(&out, SIZE_MAX);
    assert_ok(stop_init(&f, stops, n_stops, &e), e);
    for (; *pieces && found < 0; pieces++)
        found = stop_push(&f, *pieces, strlen(*pieces), &out);
    if (found < 0)
        stop_flush(&f, &out);
    assert_true(out.len < size);
    memcpy(all, buf_str(&out), out.len + 1);
    buf_release(&out);
    stop_release(&f);
    return found;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void finds_what_is_cut(void **state)
{
    (void)state;
    const struct {
        const char *const *stops;
        int n;
        const char *const *pieces;
        const char *want;
        int found;
    } rows[] = {
        {LIST("END"), 1, LIST("abc E", "N", "D def"), "abc ", 0},
        {LIST("END"), 1, LIST("abc E", "N", "E"), "abc ENE", -1},
        {LIST("\n\nUser:"), 1, LIST("so.\n", "\nUs", "ed"), "so.\n\nUsed", -1},
        {LIST("aab"), 1, LIST("a", "a", "a", "b"), "a", 0},
        {LIST("abc", "b"), 2, LIST("xab", "c"), "xa", 1},
        {LIST("abc", "bc"), 2, LIST("xab", "c"), "x", 0},
        {LIST("é!"), 1, LIST("caf", "é", "!"), "caf", 0},
        {LIST("x"), 0, LIST("x", "yx"), "xyx", -1},
        {LIST("x"), 1, LIST("", "x"), "", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char all[64];
        assert_int_equal(push(rows[i].stops, rows[i].n, rows[i].pieces, all, sizeof(all)),
                         rows[i].found);
        assert_string_equal(all, rows[i].want);
    }
}

/* At no moment a stop string's beginning is out that the next piece could complete. */
static void never_leaks_half(void **state)
{
    (void)state;
    static const char text[] = "ab<|<|im<|im_en<|im_end|>c";
    static const char *const stops[] = {"<|im_end|>", "zz"};
    for (size_t step = 1; step < 9; step++) {
        struct stop_filter f;
        struct err e = {0};
        struct buf out;
        int found = -1;
        buf_init(&out, SIZE_MAX);
        assert_ok(stop_init(&f, stops, 2, &e), e);
        for (size_t i = 0; found < 0 && i < strlen(text); i += step) {
            size_t n = strlen(text) - i < step ? strlen(text) - i : step;
            found = stop_push(&f, text + i, n, &out);
            assert_true(out.len <= 15); /* where it begins */
            assert_memory_equal(text, buf_str(&out), out.len);
        }
        assert_int_equal(found, 0);
        assert_string_equal(buf_str(&out), "ab<|<|im<|im_en");
        buf_release(&out);
        stop_release(&f);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "\xff", "a\x80"};
    for (int i = 0; i < 3; i++) {
        struct stop_filter f;
        struct err e = {0};
        const char *two[] = {"fine", bad[i]};
        assert_int_equal(stop_init(&f, two, 2, &e), ERR_ARG);
        assert_err(e, ERR_ARG, "stop string 2");
        stop_release(&f);
    }
    struct stop_filter f;
    struct err e = {0};
    assert_int_equal(stop_init(&f, bad, STOP_MAX + 1, &e), ERR_ARG);
    stop_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_cut),
        cmocka_unit_test(never_leaks_half),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
