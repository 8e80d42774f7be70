/* tokenizer_file_test.c - tokenizers of real models, in the files they come in, against the ids
 * that swift-transformers' tests expect of them; and what is no tokenizer.
 *
 * Of the expectations these are left out, because their vocabularies are not in the shared data:
 * falcon, gemma, Llama 3.2, distilbert multilingual. Whisper's English vocabulary is GPT-2's with
 * other special tokens.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "format/json.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GPT2  "gguf-vocab/ggml-vocab-gpt-2.gguf"
#define LLAMA "gguf-vocab/ggml-vocab-llama-spm.gguf"

static struct json_doc open_expected(const char *name)
{
    char file[128];
    struct json_doc d = {0};
    struct err e = {0};
    snprintf(file, sizeof(file), "tokenizers/expected/%s", name);
    char *path = test_shared(file);
    if (path)
        assert_ok(json_doc_read(&d, path, 1 << 24, &e), e);
    free(path);
    return d;
}

static struct tokenizer *open_shared(const char *name)
{
    char *path = test_shared(name);
    struct tokenizer *t = NULL;
    struct err e = {0};
    if (path)
        assert_ok(tokenizer_open(&t, path, &e), e);
    free(path);
    return t;
}

/* The ids without the first `skip` and the last `drop` wanted ones. */
struct ends {
    size_t skip, drop;
    unsigned flags;
};

static void check(const struct tokenizer *t, const char *text, const json_t *want, struct ends ends)
{
    struct tokens ids = {0};
    struct err e = {0};
    size_t n = json_array_size(want) - ends.skip - ends.drop;
    assert_ok(tokenizer_encode(t, (struct span){text, strlen(text)}, ends.flags, &ids, &e), e);
    for (size_t i = 0; i < n && i < ids.n; i++) {
        json_int_t id = json_integer_value(json_array_get(want, i + ends.skip));
        if (id != ids.ids[i])
            fail_msg("\"%s\": token %zu: wanted %lld, got %d", text, i, (long long)id, ids.ids[i]);
    }
    assert_int_equal(ids.n, n);
    tokens_release(&ids);
}

static void longer_texts(void **state)
{
    (void)state;
    static const struct {
        const char *expected, *tokenizer;
        struct ends ends;
    } rows[] = {
        {"bert_uncased_encoded.json", "tokenizers/bert", {0, 0, TOKENIZE_ENDS}},
        {"gpt2_encoded_tokens.json", GPT2, {0, 0, TOKENIZE_ENDS}},
        {"t5_base_encoded.json", "tokenizers/t5", {0, 0, TOKENIZE_ENDS}},
        {"llama_encoded.json", LLAMA, {0, 0, TOKENIZE_ENDS}},
        {"whisper_large_v2_encoded.json",
         "tokenizers/whisper/tiny_tokenizer.json",
         {0, 0, TOKENIZE_ENDS}},
        {"whisper_tiny_en_encoded.json", GPT2, {2, 1, 0}},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_doc d = open_expected(rows[i].expected);
        struct tokenizer *t = d.root ? open_shared(rows[i].tokenizer) : NULL;
        if (t) {
            check(t, json_string_value(json_object_get(d.root, "text")),
                  json_object_get(d.root, "token_ids"), rows[i].ends);
            n++;
        }
        tokenizer_free(t);
        json_doc_release(&d);
    }
    if (n == 0)
        test_skip("no expected tokens in the shared data");
}

static void short_texts(void **state)
{
    (void)state;
    static const struct {
        const char *model, *tokenizer;
        struct ends ends;
    } rows[] = {
        {"bert-base-uncased", "tokenizers/bert", {0, 0, TOKENIZE_ENDS}},
        {"google-bert/bert-base-uncased", "tokenizers/bert", {0, 0, TOKENIZE_ENDS}},
        {"distilgpt2", GPT2, {0, 0, TOKENIZE_ENDS}},
        {"coreml-projects/Llama-2-7b-chat-coreml", LLAMA, {0, 0, TOKENIZE_ENDS}},
        {"openai/whisper-tiny.en", GPT2, {2, 1, 0}},
        {"openai/whisper-large-v2",
         "tokenizers/whisper/tiny_tokenizer.json",
         {0, 0, TOKENIZE_ENDS}},
        {"t5-base", "tokenizers/t5", {0, 0, TOKENIZE_ENDS}},
    };
    struct json_doc d = open_expected("tokenizer_tests.json");
    size_t n = 0;
    for (size_t i = 0; d.root && i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tokenizer *t = open_shared(rows[i].tokenizer);
        const json_t *cases = json_object_get(d.root, rows[i].model);
        for (size_t k = 0; t && k < json_array_size(cases); k++, n++) {
            const json_t *one = json_array_get(cases, k);
            check(t, json_string_value(json_object_get(one, "input")),
                  json_object_get(json_object_get(one, "encoded"), "input_ids"), rows[i].ends);
        }
        tokenizer_free(t);
    }
    json_doc_release(&d);
    if (n == 0)
        test_skip("no expected tokens in the shared data");
}

/* SQuAD's questions, cut into words by BERT's rules, and their ids. */
static void ten_thousand_questions(void **state)
{
    (void)state;
    struct json_doc words = open_expected("basic_tokenized_questions.json");
    struct json_doc ids = open_expected("tokenized_questions.json");
    struct tokenizer *t = words.root && ids.root ? open_shared("tokenizers/bert") : NULL;
    for (size_t i = 0; t && i < json_array_size(words.root); i++) {
        const json_t *list = json_array_get(words.root, i);
        char text[4096] = "";
        size_t at = 0;
        for (size_t k = 0; k < json_array_size(list) && at < sizeof(text); k++)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s ",
                                   json_string_value(json_array_get(list, k)));
        check(t, text, json_array_get(ids.root, i), (struct ends){0, 0, 0});
    }
    bool skipped = !t;
    tokenizer_free(t);
    json_doc_release(&words);
    json_doc_release(&ids);
    if (skipped)
        test_skip("no questions in the shared data");
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* A file with this text in an empty folder; opening file or folder must fail with this sentence. */
static void refused(const char *name, const char *text, bool folder, int code, const char *why)
{
    char *dir = test_temp_dir(), *path = file_join(dir, name);
    struct tokenizer *t;
    struct err e = {0};
    write_text(path, text);
    assert_int_equal(tokenizer_open(&t, folder ? dir : path, &e), code);
    assert_null(t);
    assert_err(e, code, why);
    assert_err(e, code, dir);
    free(path);
    free(dir);
}

static void no_tokenizers(void **state)
{
    (void)state;
    refused("readme.txt", "hello", true, ERR_NOT_FOUND, "no tokenizer.json");
    refused("tokenizer.model", "hello", false, ERR_FORMAT, "SentencePiece");
    refused("tokenizer.model", "\x0a\x7f", true, ERR_FORMAT, "SentencePiece");
    refused("x.tiktoken", "IQ== 0\nIg==\n", false, ERR_FORMAT, "line 2");
    refused("x.tiktoken", "IQ== 99999999\n", false, ERR_FORMAT, "line 1");
    refused("tokenizer.json", "{", true, ERR_FORMAT, "line 1");
    refused("tokenizer.json", "[]", true, ERR_FORMAT, "vocab");
    refused("tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}",
            true, ERR_FORMAT, "\"a\" has the id -1");
    refused("tokenizer.json", "{\"model\":{\"vocab\":{\"a\":4000000000},\"merges\":[]}}", true,
            ERR_FORMAT, "4000000000");
    refused("tokenizer.json", "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", true,
            ERR_FORMAT, "merge 0");
    refused("tokenizer.json", "{\"model\":{\"vocab\":[[\"a\",\"x\"]],\"type\":\"Unigram\"}}", true,
            ERR_FORMAT, "no score");
    refused("tokenizer.json",
            "{\"model\":{\"vocab\":{\"a\":0}},\"normalizer\":{\"type\":\"Rot13\"}}", true,
            ERR_UNSUPPORTED, "normalizer \"Rot13\"");
    refused("tokenizer.json",
            "{\"model\":{\"vocab\":{\"a\":0}},\"pre_tokenizer\":{\"type\":\"Split\","
            "\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"(a\"}}}",
            true, ERR_FORMAT, "(a");
    refused("tokenizer.json",
            "{\"model\":{\"vocab\":{\"a\":0}},\"post_processor\":{\"type\":\"BertProcessing\","
            "\"cls\":[\"b\",7],\"sep\":[\"a\",0]}}",
            true, ERR_FORMAT, "post_processor");
    refused("tokenizer.json",
            "{\"model\":{\"vocab\":{\"a\":0}},\"normalizer\":{\"type\":\"Precompiled\","
            "\"precompiled_charsmap\":\"////AAAA\"}}",
            true, ERR_FORMAT, "charsmap");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longer_texts),
        cmocka_unit_test(short_texts),
        cmocka_unit_test(ten_thousand_questions),
        cmocka_unit_test(no_tokenizers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
