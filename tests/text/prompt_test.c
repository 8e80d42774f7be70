/* prompt_test.c - parts and weights against A1111's rules (tools/reference/prompts.py). */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/prompt.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check(const json_t *c)
{
    struct err e = {0};
    struct prompt p;
    const char *text = json_string_value(json_object_get(c, "text"));
    const json_t *parts = json_object_get(c, "parts");
    assert_ok(prompt_parse(&p, text, strlen(text), &e), e);

    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *want = json_array_get(parts, i);
        if (i >= p.n)
            fail_msg("\"%s\": %zu parts, wanted %zu", text, p.n, json_array_size(parts));
        const struct prompt_part *x = &p.parts[i];
        assert_int_equal(x->is_break, json_is_null(want));
        if (x->is_break)
            continue;
        const char *words = json_string_value(json_array_get(want, 0));
        if (strlen(words) != x->len || memcmp(words, p.text + x->begin, x->len) != 0)
            fail_msg("\"%s\": part %zu is \"%.*s\", wanted \"%s\"", text, i, (int)x->len,
                     p.text + x->begin, words);
        double weight = json_number_value(json_array_get(want, 1));
        if (!(fabs(x->weight - weight) <= 1e-12 * fabs(weight)))
            fail_msg("\"%s\": part %zu weighs %.17g, wanted %.17g", text, i, x->weight, weight);
    }
    assert_int_equal(p.n, json_array_size(parts));
    prompt_release(&p);
}

static void parts_of_a1111(void **state)
{
    (void)state;
    char *path = test_data("text/prompts.json");
    json_t *cases = json_load_file(path, 0, NULL);
    assert_true(json_array_size(cases) > 100);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check(json_array_get(cases, i));
    json_decref(cases);
    free(path);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct err e = {0};
    struct prompt p;
    char text[2 * PROMPT_MAX_DEPTH + 2];
    memset(text, '(', PROMPT_MAX_DEPTH);
    memset(text + PROMPT_MAX_DEPTH, '[', PROMPT_MAX_DEPTH);
    text[2 * PROMPT_MAX_DEPTH] = '(';
    assert_ok(prompt_parse(&p, text, 2 * (size_t)PROMPT_MAX_DEPTH, &e), e);
    prompt_release(&p);
    assert_int_equal(prompt_parse(&p, text, 2 * (size_t)PROMPT_MAX_DEPTH + 1, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "more than 256 open brackets; write \\(");
    assert_null(p.text);
}

/* No weight becomes infinite, however they are multiplied. */
static void weights_stay_finite(void **state)
{
    (void)state;
    static const char text[] = "(((((((((a:1000000):1000000):1000000):1000000):-1000000):1000000)";
    struct err e = {0};
    struct prompt p;
    assert_ok(prompt_parse(&p, text, sizeof(text) - 1, &e), e);
    assert_int_equal(p.n, 1);
    assert_true(isfinite(p.parts[0].weight) && p.parts[0].weight <= -1e6);
    prompt_release(&p);
}

static void memory_runs_out(void **state)
{
    (void)state;
    struct err e = {0};
    struct prompt p;
    for (long n = 1; n <= 2; n++) {
        mem_fail_nth(n);
        assert_int_equal(prompt_parse(&p, "a (b)", 5, &e), ERR_NOMEM);
        mem_fail_nth(0);
        assert_null(p.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_a1111),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(weights_stay_finite),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
