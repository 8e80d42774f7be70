/* guides_test.c - `lar draw --control` as a user runs it: the real program, tiny models. */
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

static int setup(void **state)
{
    (void)state;
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    program_home();
    model = model_write("sd15", "tiny", o, false);
    char *net = model_write("controlnet-sd15", "net", o, false);
    char *folder = file_join(net, "controlnet"), *edges = test_data("pictures/canny_shapes.png");
    dir = test_temp_dir();
    char *link = file_join(dir, "net"), *picture = file_join(dir, "edges.png");
    assert_int_equal(symlink(folder, link), 0);
    assert_int_equal(symlink(edges, picture), 0);
    free(link);
    free(picture);
    free(edges);
    free(folder);
    free(net);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(model);
    free(dir);
    return 0;
}

static struct picture load(const char *name, struct recipe *recipe)
{
    struct picture p = {0};
    struct picture_text text = {0};
    struct err e = {0};
    char *path = file_join(dir, name);
    assert_ok(picture_read(path, &p, &text, &e), e);
    if (recipe)
        assert_ok(recipe_from_text(recipe, &text, path, &e), e);
    picture_text_release(&text);
    free(path);
    return p;
}

static bool same(const char *a, const char *b)
{
    struct picture p = load(a, NULL), q = load(b, NULL);
    int difference = test_picture_difference(&p, &q);
    picture_release(&p);
    picture_release(&q);
    return difference == 0;
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
    assert_true(same("plain.png", "zero.png"));
    assert_false(same("plain.png", "one.png"));
    program_run(&p, ARGS("draw", "-m", model, "--from", "one.png", "-o", "again.png"), 0,
                "again.png  seed 5\n");
    assert_true(same("one.png", "again.png"));
    struct picture q = load("again.png", &r);
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
    assert_true(same("plain.png", "less.png"));
    assert_int_equal(rename(to, from), 0);
    free(from);
    free(to);
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
        cmocka_unit_test(errors_say_what_to_do),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
