/* pull_test.c - `lar pull` as a user runs it, from a server of ours and from a real registry. */
#include "support/program.h"
#include "support/test.h"
#include "support/web.h"

#include "base/file.h"
#include "base/mem.h"
#include "engine/manifest.h"

#include <stdlib.h>
#include <string.h>

static void pulls(void **state)
{
    (void)state;
    static const char weights[] = "weights";
    char digest[DIGEST_TEXT], *dir = test_temp_dir();
    digest_of(digest, weights, strlen(weights));
    char *blob = mem_printf("/v2/library/tiny/blobs/%s", digest);
    char *manifest = mem_printf("{\"schemaVersion\":2,\"layers\":[{\"mediaType\":"
                                "\"application/vnd.ollama.image.model\",\"digest\":\"%s\","
                                "\"size\":7}]}",
                                digest);
    struct web_page pages[] = {
        {.path = "/v2/library/tiny/manifests/1b", .data = manifest, .n = strlen(manifest)},
        {.path = blob, .data = weights, .n = 7}};
    struct web *web = web_start(&(struct web_options){.pages = pages, .n_pages = 2, .wrong = -1});
    char *name = mem_printf("127.0.0.1:%d/library/tiny:1b", web_port(web));
    struct program p = {.dir = dir};
    program_home();
    setenv("LAR_MODELS", dir, 1);
    program_run(&p, ARGS("pull", name, "--insecure", "--dry-run"), 0, "tiny:1b is not here yet\n");
    program_run(&p, ARGS("pull", name), 1, ""); /* which speaks no https */
    program_run(&p, ARGS("pull", name, "--insecure"), 0, "tiny:1b is here now\n");
    program_run(&p, ARGS("pull", name, "--insecure", "-q"), 0, "tiny:1b is up to date\n");
    assert_string_equal(p.errors, "");
    program_run(&p, ARGS("list"), 0, "/library/tiny:1b");
    program_run(&p, ARGS("pull", "../etc"), 2, "model name ../etc: \"..\" cannot be a namespace");
    program_run(&p, ARGS("pull", "127.0.0.1:1/a/b", "--insecure"), 1, "http://127.0.0.1:1");
    program_release(&p);
    web_stop(web);
    free(name);
    free(manifest);
    free(blob);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pulls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
