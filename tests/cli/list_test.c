/* list_test.c - `lar list`, and names of the store in place of paths. */
#include "support/program.h"
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/manifest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir;

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A store with Spark under the name spark:small. */
static int setup(void **state)
{
    static const char spark[] = TEST_SOURCE_DIR "/models/spark/spark.gguf";
    static const char *const folders[] = {"blobs", "manifests", "manifests/registry.ollama.ai",
                                          "manifests/registry.ollama.ai/library",
                                          "manifests/registry.ollama.ai/library/spark"};
    (void)state;
    struct stat st;
    struct file_map map;
    struct err e = {0};
    char digest[DIGEST_TEXT];
    dir = test_temp_dir();
    program_home();
    setenv("LAR_MODELS", dir, 1);
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        char *path = file_join(dir, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        free(path);
    }
    assert_ok(file_map_open(&map, spark, &e), e);
    digest_of(digest, map.data, map.size);
    file_map_close(&map);
    assert_int_equal(stat(spark, &st), 0);
    char *blob = mem_printf("%s/blobs/sha256-%s", dir, digest + 7);
    assert_int_equal(symlink(spark, blob), 0);
    char *manifest = mem_printf("{\"schemaVersion\":2,\"layers\":[{\"mediaType\":"
                                "\"application/vnd.ollama.image.model\",\"digest\":\"%s\","
                                "\"size\":%lld}]}",
                                digest, (long long)st.st_size);
    char *path = file_join(dir, "manifests/registry.ollama.ai/library/spark/small");
    put(path, manifest);
    free(path);
    path = file_join(dir, "manifests/registry.ollama.ai/library/spark/bad");
    put(path, "{");
    free(path);
    free(manifest);
    free(blob);
    return 0;
}

static void lists(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, ARGS("list"), 0,
                "NAME         ID                SIZE  MODIFIED\nspark:small  ");
    assert_non_null(strstr(p.text, " 20 MB  now\n"));
    assert_non_null(strstr(p.errors, "spark/bad: ")); /* named, and hides nothing */
    program_run(&p, ARGS("list", "SP", "--json"), 0, "\"name\": \"spark:small\"");
    json_t *list = json_loads(p.text, 0, NULL);
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
    program_run(&p, ARGS("list", "other", "--json"), 0, "[]\n");
    program_release(&p);
}

static void draws_by_name(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(
        &p,
        ARGS("draw", "x", "-m", "Spark:small", "--steps", "1", "--size", "64x64", "-o", "a.png"), 0,
        "a.png");
    program_run(&p, ARGS("draw", "x", "-m", "spark", "-o", "a.png"), 1,
                "--model: there is no file or folder spark, nor a model of this name in ");
    program_run(&p, ARGS("draw", "x", "-m", "spark:bad", "-o", "a.png"), 1, "spark/bad");
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(draws_by_name),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
