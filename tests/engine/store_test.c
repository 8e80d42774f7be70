/* store_test.c - a store as Ollama lays it out: found, listed, and everything that may be wrong. */
#include "engine/store.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utime.h>

/* Writes a file and the folders above it. */
static void put(const char *dir, const char *name, const char *text)
{
    char *path = file_join(dir, name);
    for (char *p = path + strlen(dir) + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            mkdir(path, 0700);
            *p = '/';
        }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

static void blob(const char *dir, const char *text, char digest[DIGEST_TEXT])
{
    digest_of(digest, text, strlen(text));
    char *name = mem_printf("blobs/sha256-%s", digest + 7);
    put(dir, name, text);
    free(name);
}

/* A model of two layers, the second a template. */
static void add_model(const char *dir, const char *path, const char *template)
{
    char config[DIGEST_TEXT], model[DIGEST_TEXT], text[DIGEST_TEXT];
    blob(dir, "{}", config);
    blob(dir, "weights", model);
    blob(dir, template, text);
    char *manifest = mem_printf(
        "{\"schemaVersion\":2,\"mediaType\":\"application/"
        "vnd.docker.distribution.manifest.v2+json\","
        "\"config\":{\"mediaType\":\"application/vnd.docker.container.image.v1+json\","
        "\"digest\":\"%s\",\"size\":2},\"layers\":["
        "{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"%s\",\"size\":7,"
        "\"from\":\"elsewhere\"},"
        "{\"mediaType\":\"application/"
        "vnd.ollama.image.template\",\"digest\":\"%s\",\"size\":%zu}]}",
        config, model, text, strlen(template));
    char *name = mem_printf("manifests/%s", path);
    put(dir, name, manifest);
    free(name);
    free(manifest);
}

/* A store of one root, and no other on this machine. */
static struct store open_store(const char *dir)
{
    struct store s;
    char *home = test_temp_dir();
    setenv("HOME", home, 1);
    setenv("LAR_MODELS", dir, 1);
    store_open(&s);
    assert_string_equal(s.root[0], dir);
    free(home);
    return s;
}

static struct model_name name_of(const char *text)
{
    struct model_name n;
    struct err e = {0};
    assert_ok(model_name_parse(&n, text, &e), e);
    return n;
}

static void finds(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *path, *text;
    struct err e = {0};
    struct store_model m;
    add_model(dir, "registry.ollama.ai/library/Tiny/latest", "{{ .Prompt }}");
    struct store s = open_store(dir);
    struct model_name n = name_of("tiny"), other = name_of("tiny:1b");
    assert_ok(store_find(&s, &n, &m, &e), e);
    assert_string_equal(m.name.model, "Tiny");
    assert_int_equal(m.manifest.n_layers, 2);
    assert_int_equal(manifest_size(&m.manifest), 2 + 7 + 13);
    assert_ok(store_layer_path(&m, manifest_layer(&m.manifest, "model"), &path, &e), e);
    assert_true(file_exists(path));
    assert_ok(store_layer_text(&m, "template", &text, &e), e);
    assert_string_equal(text, "{{ .Prompt }}");
    free(text);
    assert_ok(store_layer_text(&m, "system", &text, &e), e);
    assert_null(text);
    assert_ok(store_weights("TINY", &text, &e), e);
    assert_string_equal(text, path);
    free(text);
    assert_int_equal(store_weights("none", &text, &e), ERR_NOT_FOUND);
    assert_err(e, ERR_NOT_FOUND, "no file or folder none, nor a model of this name in /");
    e = (struct err){0};
    assert_int_equal(store_weights("./no ne", &text, &e), ERR_NOT_FOUND);
    assert_err(e, ERR_NOT_FOUND, "no file or folder ./no ne");
    e = (struct err){0};
    /* A blob cut short, and one that is gone. */
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    free(path);
    assert_int_equal(store_layer_path(&m, &m.manifest.layers[0], &path, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "0 bytes, but the manifest of Tiny:latest says 7");
    assert_null(path);
    e = (struct err){0};
    char *gone = mem_printf("%s/blobs/sha256-%s", dir, m.manifest.layers[1].digest + 7);
    assert_int_equal(remove(gone), 0);
    assert_int_equal(store_layer_text(&m, "template", &text, &e), ERR_NOT_FOUND);
    assert_err(e, ERR_NOT_FOUND, "the template of Tiny:latest is not there");
    store_model_release(&m);
    e = (struct err){0};
    assert_int_equal(store_find(&s, &other, &m, &e), ERR_NOT_FOUND);
    assert_err(e, ERR_NOT_FOUND, "there is no model tiny:1b in ");
    store_close(&s);
    free(gone);
    free(dir);
}

struct seen {
    int models, bad;
    char names[4][64];
    struct err last;
};

static void see(const struct store_model *m, void *ctx)
{
    struct seen *s = ctx;
    char *text = model_name_text(&m->name);
    snprintf(s->names[s->models++], sizeof(s->names[0]), "%s", text);
    free(text);
}

static void see_bad(const struct err *e, void *ctx)
{
    struct seen *s = ctx;
    s->bad++;
    s->last = *e;
}

/* Newest first, each name once, and one broken manifest hides no other model. */
static void lists(void **state)
{
    (void)state;
    char *dir = test_temp_dir();
    struct err e = {0};
    struct seen seen = {0};
    struct store_visitor v = {see, see_bad, &seen};
    add_model(dir, "registry.ollama.ai/library/old/latest", "a");
    add_model(dir, "hf.co/me/New/Q4_0", "b");
    put(dir, "manifests/registry.ollama.ai/library/broken/latest", "{\"schemaVersion\":2}");
    put(dir, "manifests/registry.ollama.ai/library/.DS_Store", "x");
    put(dir, "manifests/registry.ollama.ai/stray", "x");
    char *old = file_join(dir, "manifests/registry.ollama.ai/library/old/latest");
    assert_int_equal(utime(old, &(struct utimbuf){1000, 1000}), 0);
    struct store s = open_store(dir);
    char *theirs = mem_printf("%s/.ollama/models", getenv("HOME"));
    char *above = mem_printf("%s/.ollama", getenv("HOME"));
    mkdir(above, 0700);
    mkdir(theirs, 0700);
    add_model(theirs, "registry.ollama.ai/library/old/latest", "c");
    add_model(theirs, "registry.ollama.ai/library/other/latest", "c");
    char *other = file_join(theirs, "manifests/registry.ollama.ai/library/other/latest");
    assert_int_equal(utime(other, &(struct utimbuf){2000, 2000}), 0);
    assert_ok(store_each(&s, &v, &e), e);
    assert_int_equal(seen.models, 3);
    assert_string_equal(seen.names[0], "hf.co/me/New:Q4_0");
    assert_string_equal(seen.names[1], "other:latest");
    assert_string_equal(seen.names[2], "old:latest");
    assert_int_equal(seen.bad, 1);
    assert_err(seen.last, ERR_FORMAT, "broken/latest: layers is no list");
    store_close(&s);
    free(other);
    free(above);
    free(theirs);
    free(old);
    free(dir);
}

static void manifests_that_lie(void **state)
{
    (void)state;
#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"
#define LAYER(media, digest, size)                                                 \
    "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":" media ",\"digest\":" digest \
    ",\"size\":" size "}]}"
    static const char *const rows[][2] = {
        {"", "end of file"},
        {"[]", "schemaVersion 2 is missing"},
        {"{\"schemaVersion\":1,\"layers\":[]}", "schemaVersion"},
        {"{\"schemaVersion\":2,\"layers\":{}}", "layers is no list"},
        {LAYER("\"a\"", "\"sha256:../../etc/passwd\"", "1"), "is no digest"},
        {LAYER("\"a\"", "\"md5:00\"", "1"), "is no digest"},
        {LAYER("\"a\"", "5", "1"), "digest"},
        {LAYER("null", "\"" DIGEST "\"", "1"), "layers.0.mediaType is missing"},
        {LAYER("\"a\"", "\"" DIGEST "\"", "-1"), "size"},
        {LAYER("\"a\"", "\"" DIGEST "\"", "9223372036854775807"), "size"},
    };
    struct manifest m;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err e = {0};
        assert_int_equal(manifest_parse(&m, "m", rows[i][0], strlen(rows[i][0]), &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, rows[i][1]);
    }
    struct err e = {0};
    static const char fine[] = LAYER("\"application/x\"", "\"" DIGEST "\"", "5");
    assert_ok(manifest_parse(&m, "m", fine, strlen(fine), &e), e);
    assert_string_equal(m.layers[0].kind, "application/x");
    assert_string_equal(m.layers[0].digest + 63, "89abcdef"); /* in lower case */
    manifest_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),
        cmocka_unit_test(lists),
        cmocka_unit_test(manifests_that_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
