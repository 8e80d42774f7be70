/* loras_test.c - LoRAs as a user gives them: options, tags, bare names, recipes. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "format/picture.h"
#include "pipeline/recipe.h"
#include "support/lora_files.h"
#include "support/model.h"
#include "support/pictures.h"
#include "support/program.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *model, *dir; /* a tiny model, and the folder it lies in and pictures are drawn in */

#define DRAW(...) ARGS("draw", "-m", model, "--size", "64x64", "--steps", "1", "-s5", __VA_ARGS__)

static void write_lora(const char *name, const char *end)
{
    static const char module[] = "lora_unet_mid_block_attentions_0_proj_in";
    char down[128], up[128], *path = file_join(dir, name);
    snprintf(down, sizeof(down), "%s.lora_down.weight", module);
    snprintf(up, sizeof(up), "%s.lora_up.weight", module);
    json_t *tensors = json_pack("{s:[ii], s:[ii]}", down, 2, 96, up, 96, 2);
    json_t *alpha = json_pack("{s:f}", end, 4.0);
    if (*end)
        json_object_update(tensors, alpha);
    lora_files_write(path, tensors, DTYPE_F16, NULL);
    json_decref(alpha);
    json_decref(tensors);
    free(path);
}

static int setup(void **state)
{
    (void)state;
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    program_home();
    model = model_write("sd15", "tiny", o, false);
    dir = file_join(model, "..");
    char *loras = file_join(dir, "loras");
    assert_int_equal(mkdir(loras, 0700), 0);
    free(loras);
    write_lora("ink.safetensors", "");
    write_lora("loras/wash.safetensors", "lora_unet_mid_block_attentions_0_proj_in.alpha");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(model);
    free(dir);
    return 0;
}

/* A path, a bare name and a tag are the same LoRA; weight 0 is none. */
static void test_ways(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("boat", "-o", "plain.png"), 0, "seed 5\n");
    program_run(&p, DRAW("boat", "-o", "path.png", "--lora", "ink.safetensors:0.5"), 0, "");
    program_run(&p, DRAW("boat", "-o", "name.png", "--lora=ink:.5"), 0, "");
    program_run(&p, DRAW("boat<lora:ink:0.5>", "-o", "tag.png"), 0, "");
    program_run(&p, DRAW("boat <lora:ink:9>", "-o", "both.png", "--lora", "ink:0.5"), 0, "");
    program_run(&p, DRAW("boat", "-o", "none.png", "--lora", "ink:0"), 0, "");
    program_run(&p, DRAW("boat", "-o", "one.png", "--lora", "ink"), 0, "");
    test_drawn_same(dir, "plain.png", "none.png", true);
    test_drawn_same(dir, "plain.png", "path.png", false);
    test_drawn_same(dir, "path.png", "name.png", true);
    test_drawn_same(dir, "path.png", "tag.png", true);
    test_drawn_same(dir, "path.png", "both.png", true);
    test_drawn_same(dir, "path.png", "one.png", false);
    program_release(&p);
}

/* The recipe names them with weights and hashes; --from draws with them again. */
static void test_recipe(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    program_run(&p, DRAW("a <lora:ink:0.25:-0.75> boat", "-o", "a.png", "--lora", "wash:0.5"), 0,
                "");
    struct picture picture = test_drawn(dir, "a.png", &r);
    assert_string_equal(r.prompt, "a boat");
    assert_int_equal(r.n_loras, 2);
    assert_string_equal(r.loras[0].name, "ink");
    assert_true(r.loras[0].text_weight == 0.25 && r.loras[0].weight == -0.75);
    assert_string_equal(r.loras[1].name, "wash");
    assert_true(r.loras[1].text_weight == 0.5 && r.loras[1].weight == 0.5);
    assert_int_equal(strlen(r.loras[1].hash), 12);
    char *text = recipe_to_parameters(&r);
    assert_non_null(strstr(text, "a boat <lora:ink:0.25:-0.75> <lora:wash:0.5>\n"));
    assert_non_null(strstr(text, "Lora hashes: \"ink: "));
    free(text);
    recipe_release(&r);
    picture_release(&picture);
    program_run(&p, ARGS("draw", "-m", model, "--from", "a.png", "-o", "b.png"), 0, "");
    assert_null(strstr(p.errors, "warning"));
    test_drawn_same(dir, "a.png", "b.png", true);
    program_run(&p, ARGS("draw", "-m", model, "--from", "a.png", "-o", "c.png", "--lora", "ink:0"),
                0, "");
    test_drawn_same(dir, "a.png", "c.png", false);
    write_lora("loras/wash.safetensors", "");
    program_run(&p, ARGS("draw", "-m", model, "--from", "a.png", "-o", "d.png"), 0, "");
    assert_non_null(strstr(p.errors, "is another LoRA than a.png was drawn with"));
    char *path = file_join(dir, "loras/wash.safetensors");
    remove(path);
    free(path);
    program_run(&p, ARGS("draw", "-m", model, "--from", "a.png", "-o", "d.png"), 0, "");
    assert_non_null(strstr(p.errors, "a.png: its LoRA wash is left out"));
    program_release(&p);
}

static void test_errors(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("boat", "--lora", "nothere"), 1, "there is no LoRA nothere: looked for");
    program_run(&p, DRAW("boat <lora:nothere:1>"), 1, "/loras");
    program_run(&p, DRAW("boat", "--lora", "./nothere"), 1, "there is no LoRA ./nothere");
    program_run(&p, DRAW("boat", "--lora", ""), 2, "--lora : names no file");
    program_run(&p, DRAW("boat", "--lora", ":0.5"), 2, "--lora :0.5: names no file");
    program_run(&p, DRAW("boat", "--lora"), 2, "--lora: its value is missing");
    program_run(&p, DRAW("boat", "--lora", "plain.png"), 1, "plain.png: a picture");
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ways), cmocka_unit_test(test_recipe),
                                       cmocka_unit_test(test_errors)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
