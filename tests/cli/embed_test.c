/* embed_test.c - `lar embed` as a user runs it: words, lines, JSON, CSV. */
#include "support/program.h"
#include "support/test.h"
#include "support/tiny_embedder.h"

#include "base/file.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *model, *dir;

static int setup(void **state)
{
    (void)state;
    program_home();
    model = tiny_embedder_write(NULL);
    tiny_embedder_file(model, "sentence_bert_config.json", "{\"max_seq_length\": 20}");
    dir = test_temp_dir();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(model);
    free(dir);
    return 0;
}

/* Line `i` of what it wrote, a JSON array; released by the caller. */
static json_t *line(const struct program *p, int i)
{
    const char *text = p->text;
    for (; i > 0; i--)
        text = strchr(text, '\n') + 1;
    json_t *v = json_loadb(text, strcspn(text, "\n"), 0, NULL);
    assert_true(json_is_array(v));
    return v;
}

static void words_and_lines(void **state)
{
    (void)state;
    struct program p = {0}, q = {0};
    tiny_embedder_file(dir, "lines", "red boat\r\ncalm sea\n");
    char *input = file_join(dir, "lines");
    program_run(&p, ARGS("embed", "-m", model, "red boat", "calm sea"), 0, "[");
    q.input = input;
    program_run(&q, ARGS("embed", "-m", model), 0, p.text); /* the same vectors */
    json_t *a = line(&p, 0), *b = line(&p, 1);
    double sum = 0;
    size_t i;
    const json_t *x;
    json_array_foreach(a, i, x) sum += json_number_value(x) * json_number_value(x);
    assert_true(fabs(sum - 1) < 1e-4);
    assert_false(json_equal(a, b));
    json_decref(a);
    json_decref(b);
    program_run(&p, ARGS("embed", "-m", model, "red boat", "--dimensions=3"), 0, "[");
    a = line(&p, 0);
    assert_int_equal(json_array_size(a), 3);
    json_decref(a);
    program_run(&p, ARGS("embed", "-m", model, "red boat", "calm sea", "--dimensions=2", "--csv"),
                0, ",");
    assert_null(strchr(p.text, '['));
    program_run(&p, ARGS("embed", "-m", model, "red boat", "--json"), 0, "{");
    a = json_loads(p.text, 0, NULL);
    assert_true(json_is_object(a));
    json_decref(a);
    program_release(&p);
    program_release(&q);
    free(input);
}

static void refuses(void **state)
{
    (void)state;
    struct program p = {0};
    static const char lengthy[] = "a b c a b c a b c a b c a b c a b c a b c a b c";
    program_run(&p, ARGS("embed", "-m", model, lengthy, "--whole"), 2, "the model takes 20");
    program_run(&p, ARGS("embed", "-m", model, lengthy), 0, "[");
    program_run(&p, ARGS("embed", "-m", model, "x", "--dimensions=100000"), 2, "dimensions");
    program_run(&p, ARGS("embed", "-m", "/nowhere", "x"), 1, "/nowhere");
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_lines),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
