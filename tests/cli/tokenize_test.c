/* tokenize_test.c - `lar tokenize` as it is called. */
#include "support/program.h"
#include "support/test.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL TEST_SOURCE_DIR "/tests/data/tokenizers/llama.json"

static int setup(void **state)
{
    (void)state;
    program_home();
    return 0;
}

/* Runs lar with this text on standard input. */
static void run(const char *input, const char *const *args, int code, const char *want)
{
    char *dir = test_temp_dir(), *path = file_join(dir, "in");
    FILE *f = fopen(path, "w");
    struct program p = {.input = path};
    assert_non_null(f);
    fputs(input, f);
    fclose(f);
    program_run(&p, args, code, code ? want : "");
    if (!code)
        assert_string_equal(p.text, want);
    program_release(&p);
    free(path);
    free(dir);
}

static void ids_and_pieces(void **state)
{
    (void)state;
    run("the\n\xc3\xa4", ARGS("tokenize", "-m", MODEL, "--ids"), 0, "1 330 13 198 167\n");
    run("the\n\xc3\xa4", ARGS("tokenize", "-m", MODEL, "--ids", "--no-bos"), 0, "330 13 198 167\n");
    run("the\n\xc3\xa4", ARGS("tokenize", "--no-bos", "-m", MODEL), 0,
        "   330  \" the\"\n    13  \"\\n\"\n   198  \"\\xc3\"\n   167  \"\\xa4\"\n");
    run("", ARGS("tokenize", "-m", MODEL, "--ids", "--no-bos"), 0, "\n");
    run("</s>", ARGS("tokenize", "-m", MODEL, "--ids"), 0, "1 2\n");
}

static void special_tokens_as_text(void **state)
{
    (void)state;
    struct program p = {0};
    run("</s>", ARGS("tokenize", "-m", MODEL, "--ids", "--no-special", "--no-bos"), 0,
        "318 63 263 293 65\n");
    program_run(&p, ARGS("tokenize", "--ids"), 2, "no model");
    program_release(&p);
    program_run(&p, ARGS("tokenize", "-m", "/nowhere"), 1, "/nowhere");
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_pieces),
        cmocka_unit_test(special_tokens_as_text),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
