/* lar_text_test.c - language models through the library, and examples/chat.c. */
#include "support/program.h"
#include "support/tiny_language.h"

#include "base/file.h"
#include "lar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lar *lar;
static struct lar_text_model *model;
static char *path;

struct heard {
    char text[4096];
    size_t n;
    int calls, stop_at; /* ends the answer at this call; 0: never */
    bool cancel;        /* by lar_cancel() in place of a result */
};

static int on_text(const char *text, size_t n, void *ctx)
{
    struct heard *h = ctx;
    assert_int_equal(strlen(text), n);
    assert_true(h->n + n < sizeof(h->text));
    memcpy(h->text + h->n, text, n + 1);
    h->n += n;
    if (++h->calls != h->stop_at)
        return 0;
    if (h->cancel)
        lar_cancel(lar);
    return !h->cancel;
}

static struct lar_generate request(struct heard *h)
{
    struct lar_generate g;
    lar_generate_init(&g, model);
    g.prompt = "a big dog";
    g.max_tokens = 20;
    g.seed = 3;
    g.on_text = on_text;
    g.ctx = h;
    *h = (struct heard){0};
    return g;
}

static void answers(void **state)
{
    (void)state;
    struct lar_error e = {0};
    struct heard a, b;
    struct lar_generated first, second;
    struct lar_generate g = request(&a);
    assert_ok(lar_generate(model, &g, &first, &e), e);
    assert_true(a.n > 0 && first.n_prompt > 2 && first.n_generated <= 20);
    g = request(&b);
    assert_ok(lar_generate(model, &g, &second, &e), e);
    assert_string_equal(a.text, b.text);
    assert_int_equal(second.n_cached, first.n_prompt - 1);
    const struct lar_message talk[] = {{"system", "be kind"}, {"user", "hello"}};
    g.prompt = NULL;
    g.messages = talk;
    g.n_messages = 2;
    assert_ok(lar_generate(model, &g, NULL, &e), e);
    const char *stops[] = {a.text};
    g = request(&b);
    g.stop = stops;
    g.n_stop = 1;
    assert_ok(lar_generate(model, &g, &second, &e), e);
    assert_int_equal(second.finish, LAR_FINISH_STOP);
    assert_string_equal(b.text, "");
}

static void follows_forms(void **state)
{
    (void)state;
    struct lar_error e = {0};
    struct heard h;
    struct lar_generated done;
    struct lar_generate g = request(&h);
    g.grammar = "root ::= \"one\" | \"two\"";
    assert_ok(lar_generate(model, &g, &done, &e), e);
    assert_true(strcmp(h.text, "one") == 0 || strcmp(h.text, "two") == 0);
    assert_int_equal(done.finish, LAR_FINISH_STOP);
    g = request(&h);
    g.json_schema = "{\"enum\":[\"a\",true]}";
    assert_ok(lar_generate(model, &g, &done, &e), e);
    assert_true(strcmp(h.text, "\"a\"") == 0 || strcmp(h.text, "true") == 0);
    g.grammar = "root ::= \"x\"";
    assert_int_equal(lar_generate(model, &g, NULL, &e), LAR_ERR_ARG);
    e = (struct lar_error){0};
    g.json_schema = NULL;
    g.grammar = "root ::= (";
    assert_int_equal(lar_generate(model, &g, NULL, &e), LAR_ERR_FORMAT);
    e = (struct lar_error){0};
    g.grammar = NULL;
    g.json_schema = "{";
    assert_int_equal(lar_generate(model, &g, NULL, &e), LAR_ERR_FORMAT);
}

static void stops(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct lar_error e = {0};
        struct heard h;
        struct lar_generated done;
        struct lar_generate g = request(&h);
        h.stop_at = 2;
        h.cancel = way;
        assert_int_equal(lar_generate(model, &g, &done, &e), LAR_ERR_CANCELLED);
        assert_int_equal(e.code, LAR_ERR_CANCELLED);
        assert_true(h.calls >= 2 && done.n_generated < 20);
        g = request(&h);
        e = (struct lar_error){0};
        assert_ok(lar_generate(model, &g, &done, &e), e); /* and the model still works */
    }
}

static void tokens(void **state)
{
    (void)state;
    struct lar_error e = {0};
    int32_t ids[32];
    char text[64];
    int n = lar_tokenize(model, "the dog", 1, ids, 32, &e);
    assert_true(n > 1 && n <= 32);
    assert_int_equal(lar_tokenize(model, "the dog", 1, NULL, 0, NULL), n);
    int bos = lar_tokenize(model, "", 1, ids, 0, &e);
    lar_tokenize(model, "the dog", 1, ids, 32, &e);
    assert_int_equal(lar_detokenize(model, ids + bos, n - bos, text, sizeof(text)), 7);
    assert_string_equal(text, "the dog");
    assert_int_equal(lar_detokenize(model, ids + bos, n - bos, text, 4), 7);
    assert_string_equal(text, "the");
    assert_non_null(lar_text_model_name(model));
}

static void refuses(void **state)
{
    (void)state;
    struct lar_error e = {0};
    struct lar_text_model *m;
    struct heard h;
    struct lar_generate g = request(&h);
    g.prompt = NULL;
    assert_int_equal(lar_generate(model, &g, NULL, &e), LAR_ERR_ARG);
    g = request(&h);
    g.top_p = 3;
    e = (struct lar_error){0};
    assert_int_equal(lar_generate(model, &g, NULL, &e), LAR_ERR_ARG);
    assert_non_null(strstr(e.text, "top_p"));
    assert_int_equal(lar_text_model_open(&m, lar, "/nowhere.gguf", NULL, NULL), LAR_ERR_NOT_FOUND);
    assert_null(m);
    struct lar_text_options o = {.cache_type = "q9"};
    e = (struct lar_error){0};
    assert_int_equal(lar_text_model_open(&m, lar, path, &o, &e), LAR_ERR_ARG);
    assert_non_null(strstr(e.text, "q9"));
    o = (struct lar_text_options){.n_ctx = 64, .cache_type = "q8_0"};
    e = (struct lar_error){0};
    assert_ok(lar_text_model_open(&m, lar, path, &o, &e), e);
    lar_text_model_close(m);
    lar_text_model_close(NULL);
}

static void example(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *input = file_join(dir, "input");
    struct program p = {.exe = TEST_BINARY_DIR "/examples/chat", .input = input};
    FILE *f = fopen(input, "w");
    assert_non_null(f);
    fputs("hello\n", f);
    fclose(f);
    program_home();
    program_run(&p, ARGS(path), 0, "\n");
    program_run(&p, ARGS("/nowhere.gguf"), 1, "chat: /nowhere.gguf");
    program_release(&p);
    free(input);
    free(dir);
}

static int setup(void **state)
{
    (void)state;
    struct lar_error e = {0};
    path = tiny_language_write("f32");
    assert_ok(lar_open(&lar, 2, &e), e);
    assert_ok(lar_text_model_open(&model, lar, path, NULL, &e), e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lar_text_model_close(model);
    lar_close(lar);
    free(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers), cmocka_unit_test(follows_forms), cmocka_unit_test(stops),
        cmocka_unit_test(tokens),  cmocka_unit_test(refuses),       cmocka_unit_test(example),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
