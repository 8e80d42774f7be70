/* quantize_test.c - `lar quantize` as a user runs it: what it writes is read and answers. */
#include "support/program.h"
#include "support/test.h"
#include "support/tiny_language.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int64_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void writes_mixes(void **state)
{
    (void)state;
    static const struct {
        const char *mix, *type; /* one that it must use */
    } rows[] = {{"q4_k_m", "Q4_K"}, {"Q8_0", "Q8_0"}, {"q2_k", "Q2_K"}, {"q6_k", "Q6_K"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct program p = {.dir = tiny_dir};
        char *name = mem_printf("%s.gguf", rows[i].mix), *path = file_join(tiny_dir, name);
        program_run(&p, ARGS("quantize", tiny_model, name, rows[i].mix), 0, "");
        assert_true(size_of(path) < size_of(tiny_model) / 3);
        program_run(&p, ARGS("inspect", name), 0, rows[i].type);
        program_run(&p, ARGS("run", name, "--raw", "a big dog", "-n4", "--temperature=0"), 0, "");
        assert_true(strlen(p.text) > 1);
        program_release(&p);
        free(path);
        free(name);
    }
}

static void refuses(void **state)
{
    (void)state;
    struct program p = {.dir = tiny_dir};
    program_run(&p, ARGS("quantize", tiny_model, "once.gguf", "q4_0"), 0, "");
    program_run(&p, ARGS("quantize", tiny_model, "once.gguf", "q4_0"), 2, "--force");
    program_run(&p, ARGS("quantize", tiny_model, "once.gguf", "q5_0", "--force"), 0, "");
    program_run(&p, ARGS("quantize", tiny_model, "x.gguf", "q4_z"), 2, "q4_z");
    program_run(&p, ARGS("quantize", "/nowhere.gguf", "x.gguf", "q4_0"), 1, "/nowhere.gguf");
    char *path = file_join(tiny_dir, "x.gguf");
    assert_false(file_exists(path));
    program_release(&p);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_mixes),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, tiny_language_setup, tiny_language_teardown);
}
