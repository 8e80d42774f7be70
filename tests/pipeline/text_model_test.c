/* text_model_test.c - language models as they are found: GGUF files and Hugging Face folders. */
#include "pipeline/text_model.h"

#include "support/hash_checkpoint.h"
#include "support/tiny_language.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/gguf.h"
#include "text/chat.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(const char *dir, const char *name, const char *text)
{
    char *path = file_join(dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

/* A folder as downloaded: llama with 160 tokens, of which the tokenizer has some. */
static char *make_folder(void)
{
    struct err e = {0};
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    struct buf b;
    char *dir = test_temp_dir(), *manifest = test_data("manifests/language-llama.txt");
    assert_ok(hash_checkpoint_write(manifest, dir, &o, &e), e);
    char *folder = file_join(dir, "language");
    buf_init(&b, 1 << 16);
    buf_append_str(&b, "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (int c = 'a'; c <= 'z'; c++)
        buf_printf(&b, "\"%c\":%d,", c, c - 'a' + 10);
    buf_append_str(&b, "\"[\":40,\"]\":41,\"<unk>\":0,\"<s>\":1,\"</s>\":2}},\"added_tokens\":["
                       "{\"id\":1,\"content\":\"<s>\",\"special\":true},"
                       "{\"id\":2,\"content\":\"</s>\",\"special\":true}],"
                       "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                       "\"decoder\":{\"type\":\"ByteLevel\"}}");
    put(folder, "tokenizer.json", buf_str(&b));
    put(folder, "tokenizer_config.json",
        "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"chat_template\":\"{{ bos_token }}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]\"}");
    put(folder, "generation_config.json", "{\"temperature\":0.25,\"top_k\":7,\"top_p\":0.5}");
    buf_release(&b);
    free(manifest);
    free(dir);
    return folder;
}

static void folders(void **state)
{
    (void)state;
    struct text_model *m;
    struct err e = {0};
    struct tokens prompt = {0};
    struct buf text;
    char *folder = make_folder();
    assert_ok(text_model_open(&m, folder, &e), e);
    assert_string_equal(m->name, "language");
    assert_true(m->sampler.temperature == 0.25f && m->sampler.top_p == 0.5f);
    assert_int_equal(m->sampler.top_k, 7);
    assert_true(m->sampler.min_p == 0);
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "hello");
    struct chat_request r = {.messages = messages, .add_generation_prompt = true};
    buf_init(&text, 1000);
    assert_ok(text_model_chat(m, &r, &prompt, &text, &e), e);
    assert_string_equal(buf_str(&text), "<s>[user]hello[assistant]");
    assert_int_equal(prompt.n, 1 + 6 + 5 + 11);
    assert_int_equal(prompt.ids[0], 1); /* once */
    assert_int_equal(prompt.ids[1], 40);
    buf_release(&text);
    json_decref(messages);
    tokens_release(&prompt);
    text_model_close(m);
    put(folder, "generation_config.json", "{\"temperature\":\"hot\"}");
    assert_int_equal(text_model_open(&m, folder, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "temperature");
    assert_null(m);
    free(folder);
}

/* A copy of the file with other values. */
static void copy(const char *from, const char *to, bool without_tokens)
{
    struct err e = {0};
    struct file_map map;
    struct gguf g;
    struct gguf_writer w;
    struct file_writer f;
    assert_ok(file_map_open(&map, from, &e), e);
    assert_ok(gguf_parse(&g, map.data, map.size, &e), e);
    gguf_writer_init(&w);
    for (size_t i = 0; i < g.n_values; i++)
        if (!without_tokens || strcmp(g.values[i].key, "tokenizer.ggml.tokens") != 0)
            gguf_put_value(&w, &g.values[i]);
    gguf_put_u32(&w, "general.sampling.top_k", 3);
    for (size_t i = 0; i < g.n_tensors; i++)
        assert_ok(gguf_put_tensor(&w, &g.tensors[i], &e), e);
    assert_ok(file_writer_open(&f, to, &e), e);
    assert_ok(gguf_write_header(&w, &f, &e), e);
    for (size_t i = 0; i < g.n_tensors; i++) {
        gguf_write(&w, &f, g.tensors[i].data, g.tensors[i].size);
        gguf_write_end(&w, &f);
    }
    assert_ok(file_writer_commit(&f, &e), e);
    gguf_writer_release(&w);
    gguf_release(&g);
    file_map_close(&map);
}

static void files(void **state)
{
    (void)state;
    struct text_model *m;
    struct err e = {0};
    struct tokens ids = {0};
    const struct token_trie *a, *b;
    char *path = tiny_language_write("q8_0"), *other = mem_printf("%s.other.gguf", path);
    copy(path, other, false);
    assert_ok(text_model_open(&m, other, &e), e);
    assert_int_equal(m->sampler.top_k, 3);
    assert_ok(text_model_tokenize(m, "the dog", 7, &ids, &e), e);
    assert_int_equal(ids.ids[0], tokenizer_bos(m->tokenizer));
    assert_ok(text_model_trie(m, &a, &e), e);
    assert_ok(text_model_trie(m, &b, &e), e);
    assert_ptr_equal(a, b);
    tokens_release(&ids);
    text_model_close(m);
    copy(path, other, true);
    assert_int_equal(text_model_open(&m, other, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "tokenizer.ggml.tokens");
    e = (struct err){0};
    assert_int_equal(text_model_open(&m, TEST_SOURCE_DIR "/models/spark/spark.gguf", &e),
                     ERR_UNSUPPORTED);
    assert_null(m);
    text_model_close(NULL);
    free(other);
    free(path);
}

/* Every allocation fails once. */
static void faults(void **state)
{
    (void)state;
    char *path = tiny_language_write("q8_0");
    int rc = -1;
    for (long n = 1; rc; n++) {
        struct text_model *m;
        struct err e = {0};
        mem_fail_nth(n);
        rc = text_model_open(&m, path, &e);
        mem_fail_nth(0);
        if (rc && (rc != ERR_NOMEM || m))
            fail_msg("allocation %ld: %d %s", n, rc, e.text);
        text_model_close(m);
    }
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders),
        cmocka_unit_test(files),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
