/* guides_test.c - `lar draw` with ControlNets and reference pictures, as a user runs it: the real
 * program, tiny models. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/picture.h"
#include "pipeline/recipe.h"
#include "pipeline/recipe_guides.h"
#include "support/model.h"
#include "support/pictures.h"
#include "support/program.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *model, *dir; /* the tiny model; where the tests draw */

#define DRAW(...) \
    ARGS("draw", "-m", model, "--size", "64x64", "--steps", "2", "-s5", "x", __VA_ARGS__)

static void link_into_dir(const char *path, const char *name)
{
    char *link = file_join(dir, name);
    assert_int_equal(symlink(path, link), 0);
    free(link);
}

/* An IP-Adapter's file, and its image encoder beside it. */
static void add_adapter(const char *variant, const char *name, const char *encoder)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    char *path = model_write(variant, variant, o, false);
    char *file = file_join(path, "ip_adapter/diffusion_pytorch_model.safetensors");
    char *folder = file_join(path, "image_encoder");
    link_into_dir(file, name);
    if (encoder)
        link_into_dir(folder, encoder);
    free(folder);
    free(file);
    free(path);
}

static int setup(void **state)
{
    (void)state;
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    program_home();
    model = model_write("sd15", "tiny", o, false);
    char *net = model_write("controlnet-sd15", "net", o, false);
    char *folder = file_join(net, "controlnet"), *edges = test_data("pictures/canny_shapes.png");
    dir = test_temp_dir();
    link_into_dir(folder, "net");
    link_into_dir(edges, "edges.png");
    free(edges);
    free(folder);
    free(net);
    add_adapter("ip-plain-sd15", "style.safetensors", "image_encoder");
    add_adapter("ip-plus-sd15", "plus-face.safetensors", NULL);
    add_adapter("ip-plus-sdxl", "xl.safetensors", NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(model);
    free(dir);
    return 0;
}

static void a_control_is_drawn_and_drawn_again(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    program_run(&p, DRAW("-o", "plain.png"), 0, "plain.png  seed 5\n");
    program_run(&p, DRAW("-o", "zero.png", "--control", "net=edges.png:0"), 0,
                "zero.png  seed 5\n");
    program_run(&p, DRAW("-o", "one.png", "--control", "net=canny,30,60:edges.png:0.5:0-0.5"), 0,
                "one.png  seed 5\n");
    test_drawn_same(dir, "plain.png", "zero.png", true);
    test_drawn_same(dir, "plain.png", "one.png", false);
    program_run(&p, ARGS("draw", "-m", model, "--from", "one.png", "-o", "again.png"), 0,
                "again.png  seed 5\n");
    test_drawn_same(dir, "one.png", "again.png", true);
    struct picture q = test_drawn(dir, "again.png", &r);
    assert_int_equal(r.n_guides, 1);
    const struct recipe_guide *g = &r.guides[0];
    assert_string_equal(g->model, "net");
    assert_string_equal(g->picture, "edges.png");
    assert_int_equal(strlen(g->hash), 10);
    assert_int_equal(strlen(g->picture_hash), 10);
    assert_true(g->weight == 0.5 && g->start == 0 && g->end == 0.5);
    assert_true(g->canny && g->low == 30 && g->high == 60);
    recipe_release(&r);
    picture_release(&q);
    program_release(&p);
}

static void what_is_gone_is_left_out(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("-o", "plain.png"), 0, "plain.png  seed 5\n");
    program_run(&p, DRAW("-o", "one.png", "--control", "net=edges.png"), 0, "one.png  seed 5\n");
    char *from = file_join(dir, "edges.png"), *to = file_join(dir, "moved.png");
    assert_int_equal(rename(from, to), 0);
    program_run(&p, ARGS("draw", "-m", model, "--from", "one.png", "-o", "less.png"), 0,
                "less.png  seed 5\n");
    assert_non_null(strstr(p.errors, "the picture edges.png is not found"));
    test_drawn_same(dir, "plain.png", "less.png", true);
    assert_int_equal(rename(to, from), 0);
    free(from);
    free(to);
    program_release(&p);
}

static void references_are_drawn_and_drawn_again(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    program_run(&p, DRAW("-o", "plain.png"), 0, "plain.png  seed 5\n");
    program_run(
        &p,
        DRAW("-o", "without.png", "--style", "edges.png:0", "--ip-adapter", "style.safetensors"), 0,
        "without.png  seed 5\n");
    program_run(&p,
                DRAW("-o", "style.png", "--style", "edges.png:0.7", "--face", "plain.png",
                     "--ip-adapter", "plus-face.safetensors", "--ip-adapter", "style.safetensors",
                     "--control", "net=edges.png"),
                0, "style.png  seed 5\n");
    test_drawn_same(dir, "plain.png", "without.png", true);
    test_drawn_same(dir, "plain.png", "style.png", false);
    program_run(&p, ARGS("draw", "-m", model, "--from", "style.png", "-o", "again.png"), 0,
                "again.png  seed 5\n");
    test_drawn_same(dir, "style.png", "again.png", true);
    struct picture q = test_drawn(dir, "again.png", &r);
    assert_int_equal(r.n_guides, 3);
    assert_int_equal(r.guides[0].kind, GUIDE_CONTROL);
    assert_int_equal(r.guides[1].kind, GUIDE_STYLE);
    assert_string_equal(r.guides[1].model, "style.safetensors");
    assert_string_equal(r.guides[1].encoder, "image_encoder");
    assert_true(r.guides[1].weight == 0.7);
    assert_int_equal(r.guides[2].kind, GUIDE_FACE);
    assert_string_equal(r.guides[2].model, "plus-face.safetensors");
    recipe_release(&r);
    picture_release(&q);
    program_run(&p,
                ARGS("draw", "-m", model, "--from", "style.png", "-o", "other.png", "--style",
                     "edges.png:0", "--ip-adapter", "style.safetensors"),
                0, "other.png  seed 5\n");
    q = test_drawn(dir, "other.png", &r);
    assert_int_equal(r.n_guides, 2); /* the ControlNet stays, the face goes */
    recipe_release(&r);
    picture_release(&q);
    program_release(&p);
}

static void reference_errors(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("--style", "edges.png"), 2,
                "name the IP-Adapter for it with --ip-adapter");
    program_run(&p, DRAW("--face", ":1", "--ip-adapter", "style.safetensors"), 2,
                "--face :1: wants a picture");
    program_run(&p, DRAW("--ip-adapter", "style.safetensors"), 2,
                "has no effect without --style or --face");
    program_run(&p, DRAW("--style", "edges.png", "--ip-adapter", "net"), 1, "is no IP-Adapter");
    program_run(&p, DRAW("--style", "edges.png", "--ip-adapter", "xl.safetensors"), 2,
                "is for another family");
    program_run(
        &p,
        DRAW("--style", "edges.png", "--ip-adapter", "style.safetensors", "--image-encoder", "net"),
        2, "is not the image encoder of style.safetensors");
    char *from = file_join(dir, "image_encoder"), *to = file_join(dir, "elsewhere");
    assert_int_equal(rename(from, to), 0);
    program_run(&p, DRAW("--style", "edges.png", "--ip-adapter", "style.safetensors"), 1,
                "name it with --image-encoder");
    program_run(&p,
                DRAW("--style", "edges.png", "--ip-adapter", "style.safetensors", "--image-encoder",
                     "elsewhere", "-o", "found.png"),
                0, "found.png");
    assert_int_equal(rename(to, from), 0);
    free(from);
    free(to);
    program_release(&p);
}

static void a_masks_area_has_no_control(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p,
                DRAW("--image", "edges.png", "--mask", "edges.png", "--mask-area", "--control",
                     "net=edges.png"),
                2, "leave one of the two out");
    program_release(&p);
}

static void errors_say_what_to_do(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"net", "--control net: wants NET=PICTURE, such as"},
        {"net=", "wants NET=PICTURE"},
        {"=edges.png", "wants NET=PICTURE"},
        {"net=edges.png:1:0.5-0.2", "acts from 0.5 to 0.2"},
        {"net=edges.png:1:0-2", "acts from 0 to 2"},
        {"net=none.png", "none.png: cannot open it"},
        {"none=edges.png", "none: "},
        {"edges.png=edges.png", "edges.png"},
        {"net=canny,300,200:edges.png", "thresholds 300 and 200"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct program p = {.dir = dir};
        int code = i < 5 || i == 8 ? 2 : 1;
        program_run(&p, DRAW("-o", "no.png", "--control", rows[i][0]), code, rows[i][1]);
        program_release(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_control_is_drawn_and_drawn_again),
        cmocka_unit_test(what_is_gone_is_left_out),
        cmocka_unit_test(references_are_drawn_and_drawn_again),
        cmocka_unit_test(reference_errors),
        cmocka_unit_test(a_masks_area_has_no_control),
        cmocka_unit_test(errors_say_what_to_do),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
