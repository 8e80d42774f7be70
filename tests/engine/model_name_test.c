/* model_name_test.c - names as Ollama reads them, and what must never become a path. */
#include "engine/model_name.h"

#include "base/err.h"
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

static void parses(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        /* as typed, path, shortest */
        {"llama3.2", "registry.ollama.ai/library/llama3.2/latest", "llama3.2:latest"},
        {"llama3.2:1b", "registry.ollama.ai/library/llama3.2/1b", "llama3.2:1b"},
        {"me/x", "registry.ollama.ai/me/x/latest", "me/x:latest"},
        {"hf.co/owner/Repo-GGUF:Q4_K_M", "hf.co/owner/Repo-GGUF/Q4_K_M",
         "hf.co/owner/Repo-GGUF:Q4_K_M"},
        {"https://localhost:5000/a/b:c", "localhost:5000/a/b/c", "localhost:5000/a/b:c"},
        {"h/library/x", "h/library/x/latest", "h/library/x:latest"},
        {"_a:_b", "registry.ollama.ai/library/_a/_b", "_a:_b"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct model_name n, again;
        struct err e = {0};
        assert_ok(model_name_parse(&n, rows[i][0], &e), e);
        char *path = model_name_path(&n), *text = model_name_text(&n);
        assert_string_equal(path, rows[i][1]);
        assert_string_equal(text, rows[i][2]);
        assert_ok(model_name_parse(&again, text, &e), e);
        assert_true(model_name_same(&n, &again));
        free(path);
        free(text);
    }
}

static void refuses(void **state)
{
    (void)state;
    char lengthy[82] = {0};
    memset(lengthy, 'a', 81);
    const char *const rows[][2] = {
        {"", "the model is missing"},
        {":tag", "the model is missing"},
        {"a:", "the tag is missing"},
        {"a/", "the model is missing"},
        {"/a", "the namespace is missing"},
        {"//a", "the namespace is missing"},
        {"/b/a", "the host is missing"},
        {"..", "\"..\" cannot be a model"},
        {"../a", "\"..\" cannot be a namespace"},
        {"h/../a", "\"..\" cannot be a namespace"},
        {"../b/a", "\"..\" cannot be a host"},
        {"a/b/c/d", "\"a/b\" cannot be a host"},
        {"a:..", "\"..\" cannot be a tag"},
        {"a.b/c", "\"a.b\" cannot be a namespace"},
        {"a b", "cannot be a model"},
        {"a\\b", "cannot be a model"},
        {"\xc3\xa9", "cannot be a model"},
        {"a\xe2\x80\xa5", "cannot be a model"}, /* two dots that are one character */
        {"-a", "cannot be a model"},
        {lengthy, "at most 80"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct model_name n;
        struct err e = {0};
        assert_int_equal(model_name_parse(&n, rows[i][0], &e), ERR_ARG);
        assert_err(e, ERR_ARG, rows[i][1]);
    }
}

static void case_does_not_count(void **state)
{
    (void)state;
    struct model_name a, b;
    struct err e = {0};
    assert_ok(model_name_parse(&a, "Me/LLAMA:Q4", &e), e);
    assert_ok(model_name_parse(&b, "me/llama:q4", &e), e);
    assert_true(model_name_same(&a, &b));
    assert_ok(model_name_parse(&b, "me/llama:q5", &e), e);
    assert_false(model_name_same(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(refuses),
        cmocka_unit_test(case_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
