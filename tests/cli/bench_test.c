/* bench_test.c - the rows that `lar bench` measures, in all its forms; `lar perplexity`. */
#include "support/program.h"
#include "support/tiny_language.h"

#include "base/file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *model;

#define BENCH "bench", model, "-p", "40,5", "-n", "3", "-b", "1,2", "-d", "0,33", "-r2"

static void forms(void **state)
{
    (void)state;
    struct program p = {0};
    program_run(&p, ARGS(BENCH, "--csv"), 0,
                "test,tokens,depth,sequences,median,least,most,unit\n");
    static const char *const rows[] = {"\nfirst token,11,0,1,", "\nprompt,40,0,1,",
                                       "\nprompt,5,33,1,",      "\ngenerate,3,0,1,",
                                       "\ngenerate,3,33,2,",    "\npeak memory,,,,"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        assert_non_null(strstr(p.text, rows[i]));
    program_run(&p, ARGS(BENCH, "--json", "--cache-type=q4_0"), 0, "");
    json_t *root = json_loads(p.text, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(root, "tests")), 1 + 4 + 4);
    assert_true(json_integer_value(json_object_get(root, "peak_resident_bytes")) > 1000000);
    const json_t *x = json_array_get(json_object_get(root, "tests"), 2);
    double least = json_number_value(json_object_get(x, "least"));
    double median = json_number_value(json_object_get(x, "median"));
    double most = json_number_value(json_object_get(x, "most"));
    assert_true(0 < least && least <= median && median <= most);
    json_decref(root);
    program_run(&p, ARGS(BENCH), 0, "peak memory");
    assert_non_null(strstr(p.text, "tok/s"));
    program_run(&p, ARGS("bench", model, "-p1,"), 2, "--prompt 1,");
    program_run(&p, ARGS("bench", model, "-b1000"), 2, "--sequences 1000");
    program_run(&p, ARGS("bench", "/nowhere.gguf"), 1, "/nowhere.gguf");
    program_release(&p);
}

static void perplexity(void **state)
{
    (void)state;
    struct program p = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "text");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 100; i++)
        fprintf(f, "the dog saw %d cats. ", i);
    fclose(f);
    program_run(&p, ARGS("perplexity", "-m", model, path, "-c32"), 0, "perplexity ");
    assert_non_null(strstr(p.errors, "window 2 of"));
    program_run(&p, ARGS("perplexity", "-m", model, path, "-c32", "--windows=2", "-q", "--json"), 0,
                "\"windows\": 2");
    assert_string_equal(p.errors, "");
    p.input = path;
    program_run(&p, ARGS("perplexity", "-m", model, "-", "-c32", "-q"), 0, "windows of 32 tokens");
    program_run(&p, ARGS("perplexity", "-m", model, path, "-c4096"), 2, "needs 8192");
    program_run(&p, ARGS("perplexity", path), 2, "-m MODEL");
    program_release(&p);
    free(path);
    free(dir);
}

static int setup(void **state)
{
    (void)state;
    program_home();
    model = tiny_language_write("q8_0");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(perplexity),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
