/* upscale_test.c - the command `lar upscale`: where the picture goes, what is inside, what is said.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "format/picture.h"
#include "pipeline/recipe.h"
#include "support/hash_checkpoint.h"
#include "support/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *dir, *model;

static char *in_dir(const char *name)
{
    return file_join(dir, name);
}

static int begin(void **state)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    struct recipe r;
    struct picture p;
    struct picture_text text = {0};
    struct err e = {0};
    (void)state;
    program_home();
    dir = test_temp_dir();
    char *manifest = test_data("manifests/srvgg-x4.txt"), *path = in_dir("in.png");
    assert_ok(hash_checkpoint_write(manifest, dir, &o, &e), e);
    model = in_dir("upscaler");
    assert_ok(picture_alloc(&p, 20, 10, 3, "in", &e), e);
    recipe_init(&r);
    recipe_set(&r.prompt, "a red boat");
    r.steps = 7;
    recipe_to_text(&r, &text);
    picture_text_add(&text, "Author", "somebody");
    assert_ok(picture_write_png(path, &p, &text, &e), e);
    recipe_release(&r);
    picture_text_release(&text);
    picture_release(&p);
    free(manifest);
    free(path);
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(dir);
    free(model);
    return 0;
}

static void load(const char *name, struct picture *p, struct picture_text *text)
{
    struct err e = {0};
    char *path = in_dir(name);
    assert_ok(picture_read(path, p, text, &e), e);
    free(path);
}

static void test_recipe_is_kept(void **state)
{
    struct program p = {.dir = dir};
    struct picture out;
    struct picture_text text;
    struct recipe r;
    struct err e = {0};
    (void)state;
    program_run(&p, ARGS("upscale", "in.png", "-m", model, "-q"), 0, "in-4x.png  80x40\n");
    program_run(&p, ARGS("upscale", "in.png", "-m", model), 0, "in-4x-2.png  80x40\n");
    load("in-4x.png", &out, &text);
    assert_int_equal(out.width, 80);
    assert_int_equal(out.height, 40);
    assert_ok(recipe_from_text(&r, &text, "x", &e), e);
    assert_string_equal(r.prompt, "a red boat");
    assert_int_equal(r.steps, 7);
    assert_string_equal(r.upscaler, "upscaler");
    assert_true(r.upscale == 4);
    assert_non_null(strstr(picture_text_get(&text, "parameters"),
                           "Steps: 7, Postprocess upscale by: 4, Postprocess upscaler: upscaler"));
    assert_string_equal(picture_text_get(&text, "Author"), "somebody");
    assert_string_equal(picture_text_get(&text, "postprocessing"),
                        "Postprocess upscale by: 4, Postprocess upscaler: upscaler");
    recipe_release(&r);
    picture_text_release(&text);
    picture_release(&out);
    program_release(&p);
}

static void test_places_and_sizes(void **state)
{
    struct program p = {.dir = dir};
    struct picture out;
    (void)state;
    program_run(&p, ARGS("upscale", "in.png", "a.png", "-m", model, "--scale", "2.5"), 0,
                "a.png  50x25\n");
    load("a.png", &out, NULL);
    assert_int_equal(out.width, 50);
    picture_release(&out);
    setenv("LAR_UPSCALER", model, 1);
    program_run(&p, ARGS("upscale", "in.png", "-o", "b.webp", "--json", "--precision", "bf16"), 0,
                "\"width\": 80");
    program_run(&p, ARGS("upscale", "in.png", "-o", "upscaler/"), 0, "upscaler/in-4x.png  80x40");
    unsetenv("LAR_UPSCALER");
    load("b.webp", &out, NULL);
    assert_int_equal(out.height, 40);
    picture_release(&out);
    program_release(&p);
}

static void test_failures(void **state)
{
    struct program p = {.dir = dir};
    (void)state;
    program_run(&p, ARGS("upscale", "in.png"), 2, "name an ESRGAN or Real-ESRGAN file");
    program_run(&p, ARGS("upscale", "in.png", "-m", "nothing"), 1, "nothing: cannot open it");
    program_run(&p, ARGS("upscale", "in.png", "-m", "in.png"), 1, "a picture, not a model");
    program_run(&p, ARGS("upscale", "no.png", "-m", model), 1, "no.png: cannot open it");
    program_run(&p, ARGS("upscale", "in.png", "x.tiff", "-m", model), 2, "Lar writes no .tiff");
    program_run(&p, ARGS("upscale", "in.png", "x.png", "-o", "y.png", "-m", model), 2,
                "name one of them");
    program_run(&p, ARGS("upscale", "in.png", "-m", model, "--scale", "99"), 2, "--scale 99");
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipe_is_kept),
        cmocka_unit_test(test_places_and_sizes),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
