/* run_test.c - `lar run` as a user runs it: answers, options, pipes, Ctrl-C. */
#include "support/program.h"
#include "support/tiny_language.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "support/llama2c.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *run(const char *const *args, const char *input)
{
    struct program p = {.input = input};
    program_run(&p, args, 0, "");
    char *text = mem_strdup(p.text);
    program_release(&p);
    return text;
}

/* Both runs must say the same, or not. */
static void compare(const char *const *a, const char *const *b, bool same)
{
    char *x = run(a, NULL), *y = run(b, NULL);
    assert_true(strlen(x) > 1 && x[strlen(x) - 1] == '\n');
    if ((strcmp(x, y) == 0) != same)
        fail_msg("\"%s\" and \"%s\"", x, y);
    free(x);
    free(y);
}

#define RAW    "run", tiny_model, "--raw", "a big dog", "-n12"
#define GREEDY "run", tiny_model, "--raw", "a big dog", "-n80", "--temperature=0"

static void answers(void **state)
{
    (void)state;
    compare(ARGS(RAW, "--seed=4"), ARGS(RAW, "--seed=4"), true);
    compare(ARGS(RAW, "--seed=4"), ARGS(RAW, "--seed=5"), false);
    compare(ARGS(RAW, "--temperature=0"), ARGS(RAW, "--temperature=0", "--seed=5"), true);
    compare(ARGS(RAW, "--temperature=0"), ARGS(RAW, "--top-k=1", "--seed=9"), true);
    compare(ARGS(RAW, "--temperature=0"), ARGS(RAW, "--temperature=0", "--exact", "-t1"), true);
    compare(ARGS("run", tiny_model, "a big dog", "-n12", "--temperature=0"),
            ARGS(RAW, "--temperature=0"), false); /* the template */
    compare(ARGS("run", tiny_model, "a big dog", "-n12", "--temperature=0"),
            ARGS("run", tiny_model, "a big dog", "-n12", "--temperature=0", "--system", "be kind"),
            false);
    compare(ARGS(RAW, "--temperature=0"),
            ARGS(RAW, "--temperature=0", "--cache-type=q8_0", "--num-ctx=64"), true);
}

static void stops(void **state)
{
    (void)state;
    char *whole = run(ARGS(GREEDY), NULL), stop[8] = "";
    assert_true(strlen(whole) > 9);
    memcpy(stop, whole + 5, 3);
    char *cut = run(ARGS(GREEDY, "--stop", "nowhere", "--stop", stop), NULL);
    size_t n = (size_t)(strstr(whole, stop) - whole);
    assert_int_equal(strlen(cut), n + (n > 0));
    assert_memory_equal(cut, whole, n);
    free(cut);
    free(whole);
}

static void follows_a_grammar(void **state)
{
    (void)state;
    char *path = file_join(tiny_dir, "grammar");
    put(path, "root ::= (\"yes\" | \"no\") \" \" [ab]{3} \".\"\n");
    for (int seed = 0; seed < 5; seed++) {
        char number[16];
        snprintf(number, sizeof(number), "%d", seed);
        char *text = run(ARGS("run", tiny_model, "x", "--grammar", path, "--seed", number), NULL);
        const char *rest = text + (strncmp(text, "yes ", 4) == 0 ? 4 : 3);
        assert_true(strncmp(text, "yes ", 4) == 0 || strncmp(text, "no ", 3) == 0);
        assert_int_equal(strspn(rest, "ab"), 3);
        assert_string_equal(rest + 3, ".\n");
        free(text);
    }
    put(path, "root ::= \"yes\n");
    struct program p = {0};
    program_run(&p, ARGS("run", tiny_model, "x", "--grammar", path), 1, "the grammar's line");
    program_release(&p);
    free(path);
}

static void answers_in_json(void **state)
{
    (void)state;
    char *path = file_join(tiny_dir, "schema.json");
    put(path, "{\"type\":\"object\",\"properties\":{\"ok\":{\"type\":\"boolean\"},"
              "\"n\":{\"enum\":[1,2]}},\"required\":[\"ok\",\"n\"]}");
    for (int seed = 0; seed < 4; seed++) {
        char number[16];
        snprintf(number, sizeof(number), "%d", seed);
        char *text = run(ARGS("run", tiny_model, "x", "--format", path, "-s", number), NULL);
        json_t *x = json_loads(text, 0, NULL);
        assert_true(json_is_boolean(json_object_get(x, "ok")));
        assert_true(json_integer_value(json_object_get(x, "n")) > 0);
        json_decref(x);
        free(text);
    }
    char *text = run(ARGS("run", tiny_model, "x", "--format", "json", "-n5"), NULL);
    assert_int_equal(text[0], '{');
    free(text);
    put(path, "{\"type\":\"object\",\"not\":{}}");
    struct program p = {0};
    program_run(&p, ARGS("run", tiny_model, "x", "--format", path), 1, "not");
    program_run(&p, ARGS("run", tiny_model, "x", "--format", path, "--grammar", path), 2,
                "--grammar and --format");
    program_release(&p);
    free(path);
}

/* The trained model of stories goes on as llama2.c says it does. */
static void tells_the_story(void **state)
{
    (void)state;
    char *weights = test_shared("weights/stories260K/stories260K.bin");
    char *vocabulary = test_shared("weights/stories260K/tok512.bin");
    char *expected = test_shared("weights/stories260K/expected_greedy_200.txt"), *want = NULL;
    if (!weights || !vocabulary || !expected)
        test_skip("shared data weights/stories260K is absent");
    struct err e = {0};
    char *path = file_join(tiny_dir, "stories.gguf");
    assert_ok(llama2c_convert(weights, vocabulary, path, &e), e);
    assert_ok(file_read(expected, 65536, &want, NULL, &e), e);
    static const char prompt[] = "Once upon a time";
    char *text = run(ARGS("run", path, "--raw", prompt, "-n150", "--temperature=0"), NULL);
    text[strlen(text) - 1] = '\0'; /* the line's end */
    assert_true(strlen(text) > 200);
    assert_memory_equal(text, want + strlen(prompt), strlen(text));
    free(text);
    free(want);
    free(path);
    free(weights);
    free(vocabulary);
    free(expected);
}

static void reads_pipes(void **state)
{
    (void)state;
    char *path = file_join(tiny_dir, "input");
    put(path, "a big dog\n\n");
    char *from_words = run(ARGS(RAW, "--temperature=0"), NULL);
    char *from_pipe = run(ARGS("run", tiny_model, "--raw", "-n12", "--temperature=0"), path);
    assert_string_equal(from_pipe, from_words);
    char *both = run(ARGS("run", tiny_model, "--raw", "-n12", "--temperature=0", "see:"), path);
    char *same = run(
        ARGS("run", tiny_model, "--raw", "-n12", "--temperature=0", "see:\n\na big dog"), NULL);
    assert_string_equal(both, same);
    free(both);
    free(same);
    free(from_words);
    free(from_pipe);
    free(path);
}

static void tells_speed(void **state)
{
    (void)state;
    struct program p = {0};
    program_run(&p, ARGS(RAW, "-v"), 0, "");
    assert_non_null(strstr(p.errors, "prompt"));
    assert_non_null(strstr(p.errors, "tokens/s"));
    assert_non_null(strstr(p.errors, "first token"));
    program_release(&p);
}

static void refuses(void **state)
{
    (void)state;
    struct program p = {0};
    program_run(&p, ARGS("run", tiny_model), 2, "there is no prompt");
    program_run(&p, ARGS("run", "/nowhere.gguf", "x"), 1, "/nowhere.gguf");
    program_run(&p, ARGS("run", tiny_model, "x", "--seed=1-3"), 2, "--seed: seed 1-3");
    program_run(&p, ARGS("run", tiny_model, "x", "--set=top_p"), 2, "--set top_p: wants a name");
    program_run(&p, ARGS("run", tiny_model, "x", "--set=best=1"), 2, "there is no option best");
    program_run(&p, ARGS("run", tiny_model, "x", "--set=mirostat=1"), 2, "mirostat is 1");
    program_run(&p, ARGS("run", tiny_model, "x", "--logit-bias=5"), 2, "--logit-bias 5");
    program_run(&p, ARGS("run", tiny_model, "x", "--logit-bias=99999:1"), 2, "no token 99999");
    program_run(&p, ARGS("run", tiny_model, "x", "--stop="), 2, "--stop: the text is empty");
    program_run(&p, ARGS("run", tiny_model, "--raw", "a b c d e f g h i j k l", "-c8"), 2,
                "the context holds 8");
    program_release(&p);
}

/* The first signal ends the answer, what was said stays. */
static void ends_on_ctrl_c(void **state)
{
    (void)state;
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    struct program p = {.out = ends[1]};
    program_start(&p, ARGS("run", tiny_model, "--raw", "a", "-c100000", "--logit-bias=777:-inf"));
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    kill(p.pid, SIGINT);
    while (read(ends[0], &byte, 1) > 0) {
    }
    close(ends[0]);
    program_wait(&p);
    assert_int_equal(p.code, 130);
    assert_int_equal(byte, '\n');
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),           cmocka_unit_test(stops),
        cmocka_unit_test(follows_a_grammar), cmocka_unit_test(answers_in_json),
        cmocka_unit_test(tells_the_story),   cmocka_unit_test(reads_pipes),
        cmocka_unit_test(tells_speed),       cmocka_unit_test(refuses),
        cmocka_unit_test(ends_on_ctrl_c),
    };
    return cmocka_run_group_tests(tests, tiny_language_setup, tiny_language_teardown);
}
