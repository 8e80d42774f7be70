/* recipe_guides_test.c - ControlNets and references in recipes: both forms, and what is refused. */
#include "pipeline/recipe_guides.h"

#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/recipe.h"

#include <stdlib.h>
#include <string.h>

static void add(struct recipe *r, enum guide_kind kind, const char *model, double weight)
{
    struct recipe_guide g = {.kind = kind,
                             .model = mem_strdup(model),
                             .hash = mem_strdup("0123456789"),
                             .encoder = mem_strdup(kind == GUIDE_CONTROL ? NULL : "image_encoder"),
                             .picture = mem_strdup("a, b.png"),
                             .picture_hash = mem_strdup("abcdef0123"),
                             .weight = weight,
                             .start = kind == GUIDE_CONTROL ? 0.25 : 0,
                             .end = 1,
                             .canny = kind == GUIDE_CONTROL,
                             .low = 100,
                             .high = kind == GUIDE_CONTROL ? 250 : 200};
    recipe_take_guide(r, g);
}

static struct recipe sample(void)
{
    struct recipe r;
    recipe_init(&r);
    recipe_set(&r.prompt, "a boat");
    recipe_set(&r.sampler, "euler");
    r.steps = 4;
    r.guidance = 7;
    add(&r, GUIDE_CONTROL, "canny.safetensors", 0.8);
    add(&r, GUIDE_STYLE, "ip-adapter_sd15.safetensors", 1);
    add(&r, GUIDE_FACE, "ip-adapter-plus-face_sd15.safetensors", -0.5);
    return r;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_guides(const struct recipe *a, const struct recipe *b, bool whole)
{
    assert_int_equal(a->n_guides, b->n_guides);
    for (int i = 0; i < a->n_guides; i++) {
        const struct recipe_guide *x = &a->guides[i], *y = &b->guides[i];
        assert_int_equal(x->kind, y->kind);
        assert_string_equal(x->model, y->model);
        assert_true(x->weight == y->weight && x->start == y->start && x->end == y->end);
        assert_true(x->canny == y->canny && x->low == y->low && x->high == y->high);
        if (whole)
            assert_true(same_text(x->hash, y->hash) && same_text(x->encoder, y->encoder) &&
                        same_text(x->picture, y->picture) &&
                        same_text(x->picture_hash, y->picture_hash));
        else
            assert_string_equal(y->hash, "01234567");
    }
}

static void json_keeps_everything(void **state)
{
    (void)state;
    struct err e = {0};
    struct recipe r = sample(), back;
    char *json = recipe_to_json(&r);
    assert_ok(recipe_from_json(&back, json, &e), e);
    check_guides(&r, &back, true);
    recipe_release(&back);
    recipe_release(&r);
    free(json);
}

static void infotext_is_a1111s(void **state)
{
    (void)state;
    struct err e = {0};
    struct recipe r = sample(), back;
    char *text = recipe_to_parameters(&r);
    assert_non_null(strstr(
        text, "ControlNet 0: \"Module: canny, Model: canny.safetensors [01234567], Weight: 0.8, "
              "Resize Mode: Crop and Resize, Threshold A: 100, Threshold B: 250, "
              "Guidance Start: 0.25, Guidance End: 1, Pixel Perfect: True, "
              "Control Mode: Balanced\", ControlNet 1: \"Module: ip-adapter-auto, "));
    assert_ok(recipe_from_parameters(&back, text, &e), e);
    check_guides(&r, &back, false);
    recipe_release(&back);
    recipe_release(&r);
    free(text);
}

static void foreign_infotext_is_tolerated(void **state)
{
    (void)state;
    struct err e = {0};
    struct recipe r;
    assert_ok(recipe_from_parameters(&r,
                                     "x\nSteps: 1, Seed: 2, Size: 8x8, ControlNet 0: \"Module: "
                                     "depth_midas, Weight: much, Threshold A: 0.5\", "
                                     "ControlNet 1: nothing",
                                     &e),
              e);
    assert_int_equal(r.n_guides, 2);
    assert_null(r.guides[0].model);
    assert_true(r.guides[0].weight == 1 && !r.guides[0].canny && r.guides[1].end == 1);
    recipe_release(&r);
}

static void wrong_json_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"guides\": {}}",
        "{\"guides\": [1]}",
        "{\"guides\": [{\"kind\": \"mood\"}]}",
        "{\"guides\": [{\"kind\": \"style\", \"weight\": \"1\"}]}",
        "{\"guides\": [{\"kind\": \"style\", \"model\": 1}]}",
        "{\"guides\": [{\"kind\": \"control\", \"start\": -1}]}",
        "{\"guides\": [{\"kind\": \"control\", \"end\": 2}]}",
        "{\"guides\": [{\"kind\": \"control\", \"canny\": [200, 100]}]}",
        "{\"guides\": [{\"kind\": \"control\", \"canny\": [1]}]}",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct recipe r;
        struct err e = {0};
        assert_int_equal(recipe_from_json(&r, rows[i], &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, "guides");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_keeps_everything),
        cmocka_unit_test(infotext_is_a1111s),
        cmocka_unit_test(foreign_infotext_is_tolerated),
        cmocka_unit_test(wrong_json_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
