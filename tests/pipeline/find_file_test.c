/* find_file_test.c - where LoRAs and embeddings are looked for. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "pipeline/find_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const endings[] = {".safetensors", ".pt", NULL};

static void touch(const char *dir, const char *name)
{
    struct file_writer w;
    struct err e = {0};
    char *path = file_join(dir, name);
    assert_ok(file_writer_open(&w, path, &e), e);
    assert_ok(file_writer_commit(&w, &e), e);
    free(path);
}

static void check(const struct find_file *f, const char *dir, const char *name)
{
    struct err e = {0};
    char *path = NULL, *want = file_join(dir, name);
    assert_ok(find_file(f, &path, &e), e);
    assert_string_equal(path, want);
    free(path);
    free(want);
}

static void test_places(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *models = test_temp_dir(), *path;
    char *model = file_join(dir, "model/"), *loras = file_join(dir, "loras");
    char *folder = file_join(models, "loras");
    struct find_file f = {"ink", "LoRA", "loras", model, endings};
    struct err e = {0};
    setenv("LAR_MODELS", models, 1);
    assert_int_equal(mkdir(model, 0700), 0);
    assert_int_equal(mkdir(loras, 0700), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(find_file(&f, &path, &e), ERR_NOT_FOUND);
    assert_null(path);
    assert_err(e, ERR_NOT_FOUND, loras);
    assert_err(e, ERR_NOT_FOUND, folder);
    touch(folder, "ink.pt"); /* the least first: each next one comes before */
    check(&f, folder, "ink.pt");
    touch(models, "ink.pt");
    check(&f, models, "ink.pt");
    touch(loras, "ink.pt");
    check(&f, loras, "ink.pt");
    touch(loras, "ink.safetensors");
    check(&f, loras, "ink.safetensors");
    touch(dir, "ink.pt");
    check(&f, dir, "ink.pt");
    f.model = NULL;
    check(&f, models, "ink.pt");
    char *own = file_join(loras, "ink.pt");
    f.name = own; /* a path is taken as it is */
    check(&f, loras, "ink.pt");
    f.name = "./nowhere";
    e = (struct err){0};
    assert_int_equal(find_file(&f, &path, &e), ERR_NOT_FOUND);
    unsetenv("LAR_MODELS");
    free(own);
    free(folder);
    free(loras);
    free(model);
    free(models);
    free(dir);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"ink", "ink"},
                                          {"a/b/ink.safetensors", "ink"},
                                          {"ink.v2.pt", "ink.v2"},
                                          {".pt", ".pt"},
                                          {"ink.png", "ink.png"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *name = find_file_name(rows[i][0], endings);
        assert_string_equal(name, rows[i][1]);
        free(name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_places), cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
