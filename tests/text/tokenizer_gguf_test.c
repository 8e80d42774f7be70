/* tokenizer_gguf_test.c - vocabularies of real models in GGUF files against llama.cpp's vectors,
 * and metadata that lies. */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "format/gguf.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

#include <math.h>
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

/* -- files made here -- */

/* A value of an array of numbers, as the file holds them. */
static void put_array(struct gguf_writer *w, const char *key, enum gguf_type type, const void *data,
                      size_t n, size_t size)
{
    gguf_put_value(
        w, &(struct gguf_value){
               .key = key, .type = type, .array = true, .n = n, .data = data, .size = size});
}

static void put_flag(struct gguf_writer *w, const char *key, bool v)
{
    unsigned char byte = v;
    gguf_put_value(
        w, &(struct gguf_value){.key = key, .type = GGUF_BOOL, .n = 1, .data = &byte, .size = 1});
}

/* A small vocabulary; `changed` names the key that is left out or lies. */
struct lie {
    const char *model, *changed;
    int code; /* 0: opens nevertheless */
    const char *why;
};

static void put_vocabulary(struct gguf_writer *w, const struct lie *lie)
{
    static const char *const tokens[] = {"<unk>",        "<s>", "</s>", "a",  "b",
                                         "\xe2\x96\x81", "ab",  "",     "ab", "<|end|>"};
    static const int32_t types[] = {2, 3, 3, 1, 1, 1, 1, 77, 1, 3};
    static const float scores[] = {0, 0, 0, -1, -2, -3, -1, 0, 0, 0};
    static const float no_scores[] = {0, 0, 0, -1, -2, -3, -1, 0, 0, NAN};
    static const char *const merges[] = {"a b", "b", "", "a nothing", " ", "ab ab"};
    bool lies_tokens = strcmp(lie->changed, "tokens") == 0;
    gguf_put_str(w, "tokenizer.ggml.model", lie->model);
    gguf_put_str(w, "tokenizer.ggml.pre", strcmp(lie->changed, "pre") ? "gpt-2" : "gpt-99");
    if (lies_tokens)
        gguf_put_u32(w, "tokenizer.ggml.tokens", 7);
    else if (strcmp(lie->changed, "no tokens") != 0)
        gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, 10);
    put_array(w, "tokenizer.ggml.token_type", GGUF_I32, types,
              strcmp(lie->changed, "types") ? 10 : 9,
              strcmp(lie->changed, "types") ? sizeof(types) : sizeof(types) - 4);
    put_array(w, "tokenizer.ggml.scores", GGUF_F32,
              strcmp(lie->changed, "nan") ? scores : no_scores,
              strcmp(lie->changed, "scores") ? 10 : 3,
              strcmp(lie->changed, "scores") ? sizeof(scores) : 12);
    if (strcmp(lie->changed, "merges") != 0)
        gguf_put_strs(w, "tokenizer.ggml.merges", merges, 6);
    if (strcmp(lie->changed, "ids") == 0) {
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", UINT32_MAX);
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 10);
    }
    if (strcmp(lie->changed, "charsmap") == 0)
        put_array(w, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, types, 9, 9);
    if (strcmp(lie->changed, "add_bos_token") == 0)
        gguf_put_u32(w, "tokenizer.ggml.add_bos_token", 1);
    else
        put_flag(w, "tokenizer.ggml.add_bos_token", true);
}

static void check_lie(const struct lie *lie)
{
    struct gguf_writer w;
    struct file_writer f;
    struct file_map file;
    struct gguf g = {0};
    struct tokenizer *t = NULL;
    struct err e = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "x.gguf");
    gguf_writer_init(&w);
    put_vocabulary(&w, lie);
    assert_ok(file_writer_open(&f, path, &e), e);
    assert_ok(gguf_write_header(&w, &f, &e), e);
    assert_ok(file_writer_commit(&f, &e), e);
    gguf_writer_release(&w);
    assert_ok(file_map_open(&file, path, &e), e);
    assert_ok(gguf_parse(&g, file.data, file.size, &e), e);
    int rc = tokenizer_from_gguf(&t, &g, &e);
    if (rc != lie->code)
        fail_msg("%s, %s: %d %s", lie->model, lie->changed, rc, e.text);
    if (rc)
        assert_err(e, rc, lie->why);
    gguf_release(&g); /* nothing of it is borrowed */
    file_map_close(&file);
    if (t) {
        struct tokens ids = {0};
        assert_ok(tokenizer_encode(t, (struct span){"ab a</s>x", 9}, 3, &ids, &e), e);
        for (size_t i = 0; i < ids.n; i++)
            assert_in_range(ids.ids[i], 0, tokenizer_size(t) - 1);
        tokens_release(&ids);
    }
    tokenizer_free(t);
    free(path);
    free(dir);
}

static void metadata_that_lies(void **state)
{
    (void)state;
    static const struct lie rows[] = {
        {"gpt2", "nothing", 0, NULL},
        {"llama", "nothing", 0, NULL},
        {"t5", "nothing", 0, NULL},
        {"bert", "nothing", 0, NULL},
        {"gpt3", "nothing", ERR_UNSUPPORTED, "gpt3"},
        {"gpt2", "pre", ERR_UNSUPPORTED, "gpt-99"},
        {"gpt2", "tokens", ERR_FORMAT, "tokenizer.ggml.tokens"},
        {"gpt2", "no tokens", ERR_FORMAT, "tokenizer.ggml.tokens"},
        {"gpt2", "types", ERR_FORMAT, "tokenizer.ggml.token_type: 9"},
        {"gpt2", "merges", ERR_FORMAT, "tokenizer.ggml.merges"},
        {"gpt2", "ids", 0, NULL},
        {"gpt2", "add_bos_token", ERR_FORMAT, "tokenizer.ggml.add_bos_token"},
        {"llama", "scores", ERR_FORMAT, "tokenizer.ggml.scores: 3"},
        {"llama", "nan", ERR_FORMAT, "token 9"},
        {"llama", "ids", 0, NULL},
        {"t5", "charsmap", ERR_FORMAT, "charsmap"},
        {"bert", "ids", 0, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_lie(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_real_vocabularies),
        cmocka_unit_test(vectors_of_other_files),
        cmocka_unit_test(metadata_that_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
