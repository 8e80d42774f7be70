/* tokenizer_json_test.c - small tokenizer.json files of every kind against Hugging Face's
 * tokenizers (tools/reference/tokenizers_small.py). */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "format/json.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tokenizer *open_data(const char *name)
{
    char file[128];
    struct tokenizer *t;
    struct err e = {0};
    snprintf(file, sizeof(file), "tokenizers/%s.json", name);
    char *path = test_data(file);
    assert_ok(tokenizer_open(&t, path, &e), e);
    free(path);
    return t;
}

static void check_ids(const char *name, const char *text, const json_t *want,
                      const struct tokens *got)
{
    bool same = json_array_size(want) == got->n;
    for (size_t i = 0; i < got->n && same; i++)
        same = json_integer_value(json_array_get(want, i)) == got->ids[i];
    if (same)
        return;
    struct buf b;
    char *wanted = json_dumps(want, JSON_COMPACT);
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < got->n; i++)
        buf_printf(&b, i ? ",%d" : "%d", got->ids[i]);
    fail_msg("%s: \"%s\": wanted %s, got [%s]", name, text, wanted, buf_str(&b));
}

static void check_text(const char *name, const struct tokenizer *t, const char *want,
                       const struct tokens *ids)
{
    struct detokenizer d;
    struct buf out;
    buf_init(&out, 1 << 20);
    detokenizer_init(&d, t, false);
    for (size_t i = 0; i < ids->n; i++)
        detokenizer_push(&d, ids->ids[i], &out);
    detokenizer_flush(&d, &out);
    if (strcmp(buf_str(&out), want) != 0)
        fail_msg("%s: wanted \"%s\", got \"%s\"", name, want, buf_str(&out));
    buf_release(&out);
}

static void check_kind(const json_t *texts, const char *name, const json_t *want)
{
    struct tokenizer *t = open_data(name);
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        struct span span = {json_string_value(text), json_string_length(text)};
        struct tokens ids = {0}, plain = {0};
        struct err e = {0};
        assert_ok(tokenizer_encode(t, span, TOKENIZE_SPECIAL | TOKENIZE_ENDS, &ids, &e), e);
        check_ids(name, span.p, json_array_get(json_object_get(want, "ids"), i), &ids);
        check_text(name, t, json_string_value(json_array_get(json_object_get(want, "decoded"), i)),
                   &ids);
        const json_t *want_plain = json_array_get(json_object_get(want, "plain"), i);
        assert_ok(tokenizer_encode(t, span, 0, &plain, &e), e);
        if (!json_is_null(want_plain))
            check_ids(name, span.p, want_plain, &plain);
        tokens_release(&ids);
        tokens_release(&plain);
    }
    tokenizer_free(t);
}

static void same_as_reference(void **state)
{
    (void)state;
    char *path = test_data("tokenizers/vectors.json");
    struct json_doc d;
    struct err e = {0};
    const char *name;
    json_t *want;
    size_t n = 0;
    assert_ok(json_doc_read(&d, path, 1 << 24, &e), e);
    const json_t *texts = json_object_get(d.root, "texts");
    assert_true(json_array_size(texts) > 100);
    json_object_foreach(d.root, name, want)
    {
        if (strcmp(name, "texts") != 0) {
            check_kind(texts, name, want);
            n++;
        }
    }
    assert_int_equal(n, 9);
    json_doc_release(&d);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
