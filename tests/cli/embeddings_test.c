/* embeddings_test.c - textual inversions as a user gives them: options, folders, recipes. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/picture.h"
#include "pipeline/recipe.h"
#include "support/model.h"
#include "support/pictures.h"
#include "support/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *model, *dir; /* a tiny model, and the folder it lies in and pictures are drawn in */

#define DRAW(...)                                                                             \
    ARGS("draw", "-m", model, "--size", "64x64", "--steps", "1", "-s5", "--precision", "f32", \
         __VA_ARGS__)

static void copy_file(const char *name, const char *to)
{
    struct err e = {0};
    struct file_writer w;
    char *relative = mem_printf("embeddings/%s", name), *from = test_data(relative), *data;
    char *path = file_join(dir, to);
    size_t n;
    assert_ok(file_read(from, 1 << 20, &data, &n, &e), e);
    assert_ok(file_writer_open(&w, path, &e), e);
    file_writer_write(&w, data, n);
    assert_ok(file_writer_commit(&w, &e), e);
    free(data);
    free(path);
    free(from);
    free(relative);
}

static int setup(void **state)
{
    (void)state;
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    program_home();
    model = model_write("sd15", "tiny", o, false);
    dir = file_join(model, "..");
    char *folder = file_join(dir, "embeddings");
    assert_int_equal(mkdir(folder, 0700), 0);
    free(folder);
    copy_file("style.pt", "embeddings/ink.pt");
    copy_file("toy.safetensors", "toy.safetensors");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(model);
    free(dir);
    return 0;
}

/* By path, by a bare name, and by its name in a prompt alone where it lies in embeddings/. */
static void test_ways(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    char *ink = file_join(dir, "embeddings/ink.pt"), *aside = file_join(dir, "ink.pt");
    program_run(&p, DRAW("a boat in ink", "-o", "folder.png"), 0, "");
    program_run(&p, DRAW("a boat in INK", "-o", "option.png", "--embedding", ink), 0, "");
    program_run(&p, DRAW("a boat in ink", "-o", "name.png", "--embedding=ink"), 0, "");
    assert_int_equal(rename(ink, aside), 0);
    program_run(&p, DRAW("a boat in ink", "-o", "beside.png"), 0, ""); /* not in its folder */
    assert_int_equal(rename(aside, ink), 0);
    test_drawn_same(dir, "folder.png", "option.png", true);
    test_drawn_same(dir, "folder.png", "name.png", true);
    test_drawn_same(dir, "folder.png", "beside.png", false);
    /* In the negative prompt, and by the word that diffusers wrote into the file. */
    program_run(&p, DRAW("a boat", "-o", "plain.png"), 0, "");
    program_run(&p, DRAW("a boat", "-o", "not.png", "--negative", "ink"), 0, "");
    program_run(&p, DRAW("a <cat-toy>", "-o", "a.png", "--embedding", "toy.safetensors"), 0, "");
    program_run(&p, DRAW("a toy", "-o", "b.png", "--embedding", "toy"), 0, "");
    test_drawn_same(dir, "plain.png", "not.png", false);
    test_drawn_same(dir, "a.png", "b.png", true);
    program_release(&p);
    free(ink);
    free(aside);
}

/* The recipe has name and hash of what a prompt names; --from draws with it again, or warns. */
static void test_recipe(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    char *toy = file_join(dir, "toy.safetensors"), *ink = file_join(dir, "embeddings/ink.pt");
    program_run(&p, DRAW("ink, toy", "-o", "r.png", "--embedding", toy), 0, "");
    struct picture picture = test_drawn(dir, "r.png", &r);
    assert_non_null(r.embeddings);
    assert_memory_equal(r.embeddings, "toy: ", 5);
    assert_int_equal(strlen(r.embeddings), 5 + 10 + 2 + 5 + 10);
    assert_non_null(strstr(r.embeddings, ", ink: "));
    recipe_release(&r);
    picture_release(&picture);
    program_run(&p, DRAW("--from", "r.png", "-o", "again.png", "--embedding", toy), 0, "");
    assert_null(strstr(p.errors, "embedding"));
    test_drawn_same(dir, "r.png", "again.png", true);
    char *away = file_join(dir, "away.safetensors");
    program_run(&p, DRAW("--from", "r.png", "-o", "beside.png"), 0, "");
    test_drawn_same(dir, "r.png", "beside.png", true);
    assert_int_equal(rename(toy, away), 0);
    program_run(&p, DRAW("--from", "r.png", "-o", "without.png"), 0, "");
    assert_non_null(strstr(p.errors, "its embedding toy is left out, the picture will differ: "));
    test_drawn_same(dir, "r.png", "without.png", false);
    assert_int_equal(rename(away, toy), 0);
    free(away);
    copy_file("plain.safetensors", "embeddings/ink.safetensors");
    assert_int_equal(unlink(ink), 0);
    program_run(&p, DRAW("--from", "r.png", "-o", "other.png", "--embedding", toy), 0, "");
    assert_non_null(strstr(p.errors, "is another embedding than r.png was drawn with: hash "));
    copy_file("style.pt", "embeddings/ink.pt");
    program_release(&p);
    free(toy);
    free(ink);
}

static void test_errors(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("boat", "--embedding", "nowhere"), 1,
                "--embedding: there is no embedding nowhere: looked for nowhere.safetensors in");
    program_run(&p, DRAW("boat", "--embedding", "here/x.pt"), 1, "there is no embedding here/x.pt");
    copy_file("pair.safetensors", "xl.safetensors");
    program_run(&p, DRAW("boat", "--embedding", "xl.safetensors"), 1,
                "xl.safetensors: a textual inversion for SDXL, which this model is not");
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_recipe),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
