/* tokenizer_put_test.c - a tokenizer.json written as GGUF metadata and read again gives the same
 * tokens; what GGUF has no form for is named. */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "format/gguf.h"
#include "text/tokenizer.h"
#include "text/tokenizer_put.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 20)

static char *read_data(const char *name, size_t *n)
{
    char file[128], *text;
    struct err e = {0};
    snprintf(file, sizeof(file), "tokenizers/%s.json", name);
    char *path = test_data(file);
    assert_ok(file_read(path, MAX_FILE, &text, n, &e), e);
    free(path);
    return text;
}

/* A GGUF file with nothing but the tokenizer; heap. */
static int write_file(const struct tokenizer_files *f, char **path, struct err *e)
{
    struct gguf_writer w;
    struct file_writer out;
    char *dir = test_temp_dir();
    *path = file_join(dir, "t.gguf");
    free(dir);
    gguf_writer_init(&w);
    int rc = tokenizer_put(f, &w, e);
    if (!rc) {
        assert_ok(file_writer_open(&out, *path, e), *e);
        assert_ok(gguf_write_header(&w, &out, e), *e);
        assert_ok(file_writer_commit(&out, e), *e);
    }
    gguf_writer_release(&w);
    return rc;
}

static void same_ids(const struct tokenizer *a, const struct tokenizer *b, const json_t *text,
                     unsigned flags)
{
    struct tokens x = {0}, y = {0};
    struct err e = {0};
    struct span span = {json_string_value(text), json_string_length(text)};
    assert_ok(tokenizer_encode(a, span, flags, &x, &e), e);
    assert_ok(tokenizer_encode(b, span, flags, &y, &e), e);
    if (x.n != y.n || (x.n && memcmp(x.ids, y.ids, x.n * sizeof(*x.ids)) != 0))
        fail_msg("\"%s\": %zu tokens, %zu from GGUF", span.p, x.n, y.n);
    tokens_release(&x);
    tokens_release(&y);
}

static void check_round_trip(const char *name, const json_t *texts)
{
    struct tokenizer_files f = {.n_vocab = 700};
    struct tokenizer *json, *gguf;
    struct file_map map;
    struct gguf g;
    struct err e = {0};
    char *text = read_data(name, &f.json.n), *path;
    /* What GGUF files cannot say: another longest word of WordPiece than 100, and added tokens that
     * take the blanks beside them or stand alone. */
    json_t *root = json_loadb(text, f.json.n, 0, NULL), *model = json_object_get(root, "model");
    if (json_object_get(model, "max_input_chars_per_word"))
        json_object_set_new(model, "max_input_chars_per_word", json_integer(100));
    size_t i;
    json_t *added;
    json_array_foreach(json_object_get(root, "added_tokens"), i, added)
    {
        json_object_set_new(added, "lstrip", json_false());
        json_object_set_new(added, "rstrip", json_false());
        json_object_set_new(added, "single_word", json_false());
    }
    free(text);
    text = json_dumps(root, JSON_COMPACT);
    f.json.n = strlen(text);
    json_decref(root);
    f.json.p = text;
    assert_ok(write_file(&f, &path, &e), e);
    assert_ok(tokenizer_from_json(&json, f.json, f.config, &e), e);
    assert_ok(file_map_open(&map, path, &e), e);
    assert_ok(gguf_parse(&g, map.data, map.size, &e), e);
    assert_ok(tokenizer_from_gguf(&gguf, &g, &e), e);
    assert_true(tokenizer_size(gguf) >= 700);
    for (i = 0; i < json_array_size(texts); i++) {
        same_ids(json, gguf, json_array_get(texts, i), 0);
        same_ids(json, gguf, json_array_get(texts, i), TOKENIZE_SPECIAL | TOKENIZE_ENDS);
    }
    tokenizer_free(json);
    tokenizer_free(gguf);
    gguf_release(&g);
    file_map_close(&map);
    free(text);
    free(path);
}

static void what_is_written_reads_the_same(void **state)
{
    size_t n;
    char *text = read_data("vectors", &n);
    json_t *root = json_loads(text, 0, NULL);
    const json_t *texts = json_object_get(root, "texts");
    (void)state;
    assert_true(json_array_size(texts) > 5);
    check_round_trip("bert", texts);
    check_round_trip("byte_level_bpe", texts);
    check_round_trip("llama", texts);
    json_decref(root);
    free(text);
}

static void what_has_no_form_is_named(void **state)
{
    static const struct {
        const char *name, *part;
    } rows[] = {{"metaspace_unigram", "of the kind \"Unigram\" are not converted"},
                {"words", "of the kind \"WordLevel\" are not converted"},
                {"words_with_suffix", "BPE of characters, not of bytes"},
                {"falcon", "cuts words in a way that GGUF has no name for"},
                {"gpt2_nfc", "cuts words in a way that GGUF has no name for"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tokenizer_files f = {0};
        struct err e = {0};
        char *text = read_data(rows[i].name, &f.json.n), *path;
        f.json.p = text;
        assert_int_equal(write_file(&f, &path, &e), ERR_UNSUPPORTED);
        assert_err(e, ERR_UNSUPPORTED, rows[i].part);
        free(text);
        free(path);
    }
}

static void broken_files_are_refused(void **state)
{
    static const struct {
        const char *json, *part;
    } rows[] = {{"{", "tokenizer.json"},
                {"{}", "tokenizer.json: 0 tokens"},
                {"{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 9}}}",
                 "token \"a\": its id 9 is not below 1"},
                {"{\"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"vocab\": {\"a\": 0},"
                 "\"merges\": [3]}}",
                 "merge 0 is no pair of tokens"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tokenizer_files f = {.json = {rows[i].json, strlen(rows[i].json)}};
        struct err e = {0};
        char *path;
        assert_int_equal(write_file(&f, &path, &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, rows[i].part);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test(what_has_no_form_is_named),
        cmocka_unit_test(broken_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
