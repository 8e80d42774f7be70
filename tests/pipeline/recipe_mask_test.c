/* recipe_mask_test.c - masks in both forms of the recipe. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/recipe.h"

#include <stdlib.h>
#include <string.h>

static void check(const struct recipe_mask *m, bool area)
{
    assert_string_equal(m->name, "hole, round.png");
    assert_string_equal(m->hash, "0123456789");
    assert_true(m->invert);
    assert_int_equal(m->area, area);
    assert_int_equal(m->seam, 5);
    assert_int_equal(m->padding, area ? 40 : 0);
}

static void round_trips(void **state)
{
    (void)state;
    for (int area = 0; area < 2; area++) {
        struct err e = {0};
        struct recipe r, back;
        recipe_init(&r);
        recipe_set(&r.prompt, "p");
        r.steps = 3;
        r.mask = (struct recipe_mask){.name = mem_strdup("hole, round.png"),
                                      .hash = mem_strdup("0123456789"),
                                      .invert = true,
                                      .area = area,
                                      .seam = 5,
                                      .padding = area ? 40 : 0};
        char *json = recipe_to_json(&r), *text = recipe_to_parameters(&r);
        assert_ok(recipe_from_json(&back, json, &e), e);
        check(&back.mask, area);
        recipe_release(&back);
        assert_ok(recipe_from_parameters(&back, text, &e), e);
        check(&back.mask, area);
        recipe_release(&back);
        assert_non_null(strstr(text, "Mask blur: 5, Mask mode: Inpaint not masked, "));
        assert_int_equal(strstr(text, "Inpaint area: Only masked, Masked area padding: 40") != NULL,
                         area);
        free(json);
        free(text);
        recipe_release(&r);
    }
}

static void refuses_wrong_json(void **state)
{
    (void)state;
    static const char *const rows[] = {"{\"mask\": 1}", "{\"mask\": {}}",
                                       "{\"mask\": {\"name\": \"a\", \"seam\": -1}}",
                                       "{\"mask\": {\"name\": \"a\", \"padding\": \"3\"}}",
                                       "{\"mask\": {\"name\": \"a\", \"seam\": 2147483648}}"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct recipe r;
        struct err e = {0};
        assert_int_equal(recipe_from_json(&r, rows[i], &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, "\"mask\"");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(refuses_wrong_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
