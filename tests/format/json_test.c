/* json_test.c - limits, places of errors, typed getters. */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "format/json.h"

#include <string.h>

static void fails(const char *text, const char *part)
{
    struct json_doc d;
    struct err e = {0};
    json_doc_parse(&d, "x.json", text, strlen(text), &e);
    assert_err(e, ERR_FORMAT, part);
    assert_null(d.root);
}

static void bad_text_is_placed(void **state)
{
    struct buf deep;
    (void)state;
    fails("", "x.json: line 1");
    fails("{\n  \"a\": 1,\n  \"b\" 2}", "x.json: line 3, column 7");
    fails("{\"a\": 1, \"a\": 2}", "duplicate object key");
    fails("{\"a\\u0000b\": 1}", "x.json: line 1");
    fails("\"\xff\"", "unable to decode byte 0xff");
    fails("{} {}", "end of file expected");
    fails("[99999999999999999999]", "too big integer");
    buf_init(&deep, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buf_append_char(&deep, '[');
    fails(buf_str(&deep), "nested deeper than 64 levels at byte 64");
    buf_release(&deep);
}

static void too_many_values_are_refused(void **state)
{
    struct buf wide;
    (void)state;
    buf_init(&wide, 16 << 20);
    buf_append_char(&wide, '[');
    for (size_t i = 0; i <= JSON_DOC_MAX_VALUES; i++)
        buf_append(&wide, "1,", 2);
    fails(buf_str(&wide), "more than 4194304 values");
    buf_release(&wide);
}

static void brackets_in_strings_do_not_count(void **state)
{
    struct json_doc d;
    struct err e = {0};
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    buf_append_str(&b, "[\"\\\"");
    for (int i = 0; i < 100; i++)
        buf_append_char(&b, '[');
    buf_append_str(&b, "\"]");
    assert_ok(json_doc_parse(&d, "x", b.data, b.len, &e), e);
    json_doc_release(&d);
    buf_release(&b);
}

static const char sample[] = "{\"n\": 5, \"r\": 7.0, \"f\": 0.5, \"b\": true, \"s\": \"text\", "
                             "\"z\": null, \"list\": [1, 2, 3], \"deep\": {\"x\": [{\"y\": 9}]}}";

static void values_are_read(void **state)
{
    struct json_doc d;
    struct err e = {0};
    int64_t n = -1, v[4];
    double f = 0;
    bool b = false;
    const char *s = NULL;
    struct json_ints list = {.v = v, .max = 4, .least = 0, .most = 10};
    (void)state;
    assert_ok(json_doc_parse(&d, "x.json", sample, strlen(sample), &e), e);
    assert_ok(json_doc_int(&d, "z", 0, 10, &n, &e), e);
    assert_ok(json_doc_int(&d, "absent.too", 0, 10, &n, &e), e);
    assert_int_equal(n, -1);
    assert_ok(json_doc_int(&d, "deep.x.0.y", 0, 10, &n, &e), e);
    assert_int_equal(n, 9);
    assert_ok(json_doc_int(&d, "r", 0, 10, &n, &e), e);
    assert_int_equal(n, 7);
    assert_ok(json_doc_num(&d, "f", &f, &e), e);
    assert_true(f == 0.5);
    assert_ok(json_doc_bool(&d, "b", &b, &e), e);
    assert_true(b);
    assert_ok(json_doc_str(&d, "s", &s, &e), e);
    assert_string_equal(s, "text");
    assert_ok(json_doc_ints(&d, "list", &list, &e), e);
    assert_int_equal(list.n, 3);
    assert_int_equal(v[2], 3);
    assert_ok(json_doc_ints(&d, "n", &list, &e), e);
    assert_int_equal(list.n, 1);
    json_doc_release(&d);
}

static void wrong_values_are_named(void **state)
{
    struct json_doc d;
    int64_t n, v[2];
    double f;
    bool b;
    const char *s;
    struct json_ints list = {.v = v, .max = 2, .least = 0, .most = 10};
    struct err e[8] = {0};
    (void)state;
    assert_ok(json_doc_parse(&d, "x.json", sample, strlen(sample), &e[0]), e[0]);
    json_doc_int(&d, "s", 0, 9, &n, &e[0]);
    assert_err(e[0], ERR_FORMAT, "x.json: s: wanted an integer, found a string");
    json_doc_int(&d, "n", 0, 4, &n, &e[1]);
    assert_err(e[1], ERR_FORMAT, "x.json: n: 5 is not from 0 to 4");
    json_doc_int(&d, "f", 0, 9, &n, &e[2]);
    assert_err(e[2], ERR_FORMAT, "f: wanted an integer");
    json_doc_num(&d, "b", &f, &e[3]);
    assert_err(e[3], ERR_FORMAT, "b: wanted a number, found true");
    json_doc_bool(&d, "n", &b, &e[4]);
    assert_err(e[4], ERR_FORMAT, "n: wanted true or false");
    json_doc_str(&d, "list", &s, &e[5]);
    assert_err(e[5], ERR_FORMAT, "list: wanted a string, found an array");
    json_doc_ints(&d, "list", &list, &e[6]);
    assert_err(e[6], ERR_FORMAT, "list: 3 values, at most 2");
    json_doc_ints(&d, "s", &list, &e[7]);
    assert_err(e[7], ERR_FORMAT, "s: wanted an integer");
    json_doc_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_text_is_placed),
        cmocka_unit_test(too_many_values_are_refused),
        cmocka_unit_test(brackets_in_strings_do_not_count),
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(wrong_values_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
