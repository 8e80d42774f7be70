/* tokenizer_gguf_test.c - vocabularies of real models in GGUF files against llama.cpp's vectors,
 * and metadata that lies. */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "format/gguf.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR "\n__ggml_vocab_test__\n"

/* The texts of a .inp file with the ids of the .out file beside it: one line for each. */
static void check_vectors(const struct tokenizer *t, const char *inp_path, const char *out_path)
{
    char *inp, *out;
    size_t n_inp, n_out, n_cases = 0;
    struct err e = {0};
    assert_ok(file_read(inp_path, 1 << 20, &inp, &n_inp, &e), e);
    assert_ok(file_read(out_path, 1 << 20, &out, &n_out, &e), e);
    const char *line = out;
    for (const char *text = inp, *next; text; text = next, n_cases++) {
        const char *end = strstr(text, SEPARATOR);
        next = end ? end + strlen(SEPARATOR) : NULL;
        struct span span = {text, end ? (size_t)(end - text) : strlen(text)};
        struct tokens ids = {0};
        struct buf got;
        buf_init(&got, 1 << 20);
        assert_ok(tokenizer_encode(t, span, 0, &ids, &e), e);
        for (size_t i = 0; i < ids.n; i++)
            buf_printf(&got, " %d", ids.ids[i]);
        size_t n = strcspn(line, "\n");
        if (got.len != n || memcmp(buf_str(&got), line, n) != 0)
            fail_msg("%s: \"%.*s\": wanted%.*s, got%s", inp_path, (int)span.n, span.p, (int)n, line,
                     buf_str(&got));
        line += n + 1;
        buf_release(&got);
        tokens_release(&ids);
    }
    assert_true(n_cases > 30);
    free(inp);
    free(out);
}

static bool open_shared(const char *name, struct file_map *file, struct gguf *g)
{
    struct err e = {0};
    char *path = test_shared(name);
    if (!path)
        return false;
    assert_ok(file_map_open(file, path, &e), e);
    assert_ok(gguf_parse(g, file->data, file->size, &e), e);
    free(path);
    return true;
}

static void vectors_of_real_vocabularies(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2", "starcoder", "llama-spm", "phi-3", "bert-bge"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[128], inp_name[160], out_name[160];
        struct file_map file;
        struct gguf g = {0};
        struct tokenizer *t;
        struct err e = {0};
        snprintf(name, sizeof(name), "gguf-vocab/ggml-vocab-%s.gguf", names[i]);
        snprintf(inp_name, sizeof(inp_name), "%s.inp", name);
        snprintf(out_name, sizeof(out_name), "%s.out", name);
        if (!open_shared(name, &file, &g))
            continue;
        assert_ok(tokenizer_from_gguf(&t, &g, &e), e);
        char *inp = test_shared(inp_name), *out = test_shared(out_name);
        check_vectors(t, inp, out);
        free(inp);
        free(out);
        tokenizer_free(t);
        gguf_release(&g);
        file_map_close(&file);
        n++;
    }
    if (n == 0)
        test_skip("no gguf-vocab in the shared data");
}

/* Vectors whose vocabulary is here in another form: Qwen 2.5's files, tiktoken's o200k. */
static void vectors_of_other_files(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"qwen2", "tokenizers/qwen2.5"},
        {"deepseek-r1-qwen", "tokenizers/qwen2.5"},
        {"gpt-4o", "tokenizers/tiktoken/o200k_base.tiktoken"},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char inp_name[160], out_name[160];
        struct tokenizer *t;
        struct err e = {0};
        snprintf(inp_name, sizeof(inp_name), "gguf-vocab/ggml-vocab-%s.gguf.inp", rows[i][0]);
        snprintf(out_name, sizeof(out_name), "gguf-vocab/ggml-vocab-%s.gguf.out", rows[i][0]);
        char *path = test_shared(rows[i][1]);
        char *inp = test_shared(inp_name), *out = test_shared(out_name);
        if (path && inp && out) {
            assert_ok(tokenizer_open(&t, path, &e), e);
            check_vectors(t, inp, out);
            tokenizer_free(t);
            n++;
        }
        free(path);
        free(inp);
        free(out);
    }
    if (n == 0)
        test_skip("no gguf-vocab in the shared data");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_real_vocabularies),
        cmocka_unit_test(vectors_of_other_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
