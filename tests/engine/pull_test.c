/* pull_test.c - a model from a registry: whole, or not at all. */
#include "engine/pull.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/store.h"
#include "support/test.h"
#include "support/web.h"

#include <stdlib.h>
#include <string.h>

#define N_WEIGHTS ((size_t)300000)

static char weights[N_WEIGHTS];
static char config_digest[DIGEST_TEXT], weights_digest[DIGEST_TEXT], system_digest[DIGEST_TEXT];
static char *manifest, *config_path, *weights_path, *system_path;
static const char config[] = "{\"model_format\":\"gguf\"}", system_text[] = "Be kind.";

static char *manifest_of(const char *system, size_t n_system)
{
#define LAYER "{\"mediaType\":\"application/vnd.ollama.image.%s\",\"digest\":\"%s\",\"size\":%zu}"
    return mem_printf("{\"schemaVersion\":2,\"config\":{\"mediaType\":"
                      "\"application/vnd.docker.container.image.v1+json\",\"digest\":\"%s\","
                      "\"size\":%zu},\"layers\":[" LAYER "," LAYER "," LAYER "]}",
                      config_digest, strlen(config), "model", weights_digest, N_WEIGHTS, "system",
                      system, n_system, "license", system, n_system);
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_WEIGHTS; i++)
        weights[i] = (char)(i * i >> 7);
    digest_of(config_digest, config, strlen(config));
    digest_of(weights_digest, weights, N_WEIGHTS);
    digest_of(system_digest, system_text, strlen(system_text));
    manifest = manifest_of(system_digest, strlen(system_text));
    config_path = mem_printf("/v2/me/tiny/blobs/%s", config_digest);
    weights_path = mem_printf("/v2/me/tiny/blobs/%s", weights_digest);
    system_path = mem_printf("/v2/me/tiny/blobs/%s", system_digest);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(manifest);
    free(config_path);
    free(weights_path);
    free(system_path);
    return 0;
}

/* A registry with the model, and an empty store. */
struct world {
    struct web_page pages[6];
    struct web_options o;
    struct web *web;
    char *dir;
    struct store store;
    struct model_name name;
};

static void open_world(struct world *w)
{
    const struct web_page pages[] = {
        {.path = "/v2/me/tiny/manifests/latest", .data = manifest, .n = strlen(manifest)},
        {.path = config_path, .data = config, .n = strlen(config)},
        {.path = weights_path, .data = weights, .n = N_WEIGHTS},
        {.path = system_path, .data = system_text, .n = strlen(system_text)},
        {.path = "/token", .data = "{\"token\":\"s3cret\"}", .n = 18},
    };
    *w = (struct world){.dir = test_temp_dir(), .o.wrong = -1};
    memcpy(w->pages, pages, sizeof(pages));
    w->o.pages = w->pages;
    w->o.n_pages = sizeof(pages) / sizeof(*pages);
    char *root = file_join(w->dir, "deep/models");
    setenv("LAR_MODELS", root, 1);
    setenv("HOME", w->dir, 1);
    store_open(&w->store);
    free(root);
}

static void start(struct world *w)
{
    struct err e = {0};
    w->web = web_start(&w->o);
    char *name = mem_printf("127.0.0.1:%d/me/tiny", web_port(w->web));
    assert_ok(model_name_parse(&w->name, name, &e), e);
    free(name);
}

static void close_world(struct world *w)
{
    if (w->web)
        web_stop(w->web);
    store_close(&w->store);
    free(w->dir);
}

static int pull(struct world *w, enum pull_result *result, struct err *e)
{
    struct pull p = {.store = &w->store, .name = &w->name, .plain = true};
    return pull_model(&p, result, e);
}

/* The model is there as it should be. */
static void assert_model(const struct world *w, const char *want)
{
    struct store_model m;
    struct err e = {0};
    char *text, *path, *data;
    size_t n;
    assert_ok(store_find(&w->store, &w->name, &m, &e), e);
    assert_ok(store_layer_text(&m, "system", &text, &e), e);
    assert_string_equal(text, want);
    assert_ok(store_layer_path(&m, manifest_layer(&m.manifest, "model"), &path, &e), e);
    assert_ok(file_read(path, N_WEIGHTS, &data, &n, &e), e);
    assert_int_equal(n, N_WEIGHTS);
    assert_memory_equal(data, weights, N_WEIGHTS);
    free(data);
    free(path);
    free(text);
    store_model_release(&m);
}

static void assert_no_model(const struct world *w)
{
    struct store_model m;
    struct err e = {0};
    assert_int_equal(store_find(&w->store, &w->name, &m, &e), ERR_NOT_FOUND);
}

static void pulls(void **state)
{
    (void)state;
    struct world w;
    struct err e = {0};
    enum pull_result result;
    open_world(&w);
    start(&w);
    assert_ok(pull(&w, &result, &e), e);
    assert_int_equal(result, PULL_NEW);
    assert_model(&w, "Be kind.");
    assert_int_equal(web_seen(w.web).requests, 4); /* each blob once */
    assert_ok(pull(&w, &result, &e), e);
    assert_int_equal(result, PULL_CURRENT);
    assert_int_equal(web_seen(w.web).requests, 5);
    /* Something newer, first only looked at. */
    static const char newer[] = "Be brief.";
    char digest[DIGEST_TEXT];
    digest_of(digest, newer, strlen(newer));
    char *path = mem_printf("/v2/me/tiny/blobs/%s", digest);
    char *text = manifest_of(digest, strlen(newer));
    w.pages[0].data = text;
    w.pages[0].n = strlen(text);
    w.pages[3] = (struct web_page){.path = path, .data = newer, .n = strlen(newer)};
    struct pull check = {.store = &w.store, .name = &w.name, .plain = true, .check = true};
    assert_ok(pull_model(&check, &result, &e), e);
    assert_int_equal(result, PULL_NEWER);
    assert_model(&w, "Be kind.");
    assert_ok(pull(&w, &result, &e), e);
    assert_int_equal(result, PULL_NEWER);
    assert_model(&w, "Be brief.");
    close_world(&w);
    free(path);
    free(text);
}

static void with_a_token(void **state)
{
    (void)state;
    struct world w;
    struct err e = {0};
    enum pull_result result;
    open_world(&w);
    w.o.token = "s3cret";
    start(&w);
    assert_ok(pull(&w, &result, &e), e);
    assert_model(&w, "Be kind.");
    close_world(&w);
    /* A realm on another host is not asked. */
    open_world(&w);
    w.o.token = "s3cret";
    w.o.realm = "http://localhost:%d/token";
    start(&w);
    assert_int_equal(pull(&w, &result, &e), ERR_IO);
    assert_err(e, ERR_IO, "sends to localhost for a token, which is another host");
    assert_int_equal(web_seen(w.web).requests, 1);
    assert_no_model(&w);
    close_world(&w);
}

/* A token must not follow a redirect to another origin. */
static void secrets_stay(void **state)
{
    (void)state;
    struct world w, other;
    struct err e = {0};
    enum pull_result result;
    open_world(&other);
    start(&other);
    open_world(&w);
    char *there = mem_printf("http://127.0.0.1:%d%s", web_port(other.web), weights_path);
    w.pages[2].location = there;
    w.o.token = "s3cret";
    start(&w);
    assert_ok(pull(&w, &result, &e), e);
    assert_model(&w, "Be kind.");
    assert_int_equal(web_seen(other.web).requests, 1);
    assert_int_equal(web_seen(other.web).authorized, 0);
    assert_true(web_seen(w.web).authorized >= 3);
    close_world(&w);
    close_world(&other);
    free(there);
}

static void failures(void **state)
{
    (void)state;
    static const struct {
        int page; /* that is changed */
        const char *data;
        const char *text;
    } rows[] = {
        {0, "<html>", "me/tiny:latest: "},
        {0, "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"x\",\"digest\":\"sha256:..\"}]}",
         "is no digest"},
        {1, "{\"model_format\":\"ggml\"}", "they are deleted, try again"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct world w;
        struct err e = {0};
        enum pull_result result;
        open_world(&w);
        w.pages[rows[i].page].data = rows[i].data;
        w.pages[rows[i].page].n = strlen(rows[i].data);
        start(&w);
        assert_true(pull(&w, &result, &e) < 0);
        if (!strstr(e.text, rows[i].text))
            fail_msg("%zu: wanted \"%s\", got %s", i, rows[i].text, e.text);
        assert_no_model(&w);
        close_world(&w);
    }
    struct world w;
    struct err e = {0};
    enum pull_result result;
    open_world(&w);
    start(&w);
    w.name.tag[0] = 'x';
    assert_int_equal(pull(&w, &result, &e), ERR_NOT_FOUND);
    assert_err(e, ERR_NOT_FOUND, "has no model");
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pulls),
        cmocka_unit_test(with_a_token),
        cmocka_unit_test(secrets_stay),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
