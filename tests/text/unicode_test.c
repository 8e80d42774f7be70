/* unicode_test.c - normal forms against SentencePiece's tables, classes, linear time. */
#include "support/test.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/err.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

static void check(const char *text, enum unicode_form form, const char *want)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    unicode_normalize((struct span){text, strlen(text)}, form, &out);
    assert_string_equal(buf_str(&out), want);
    buf_release(&out);
}

static void normal_forms(void **state)
{
    (void)state;
    check("e\xcc\x81", UNICODE_NFC, "\xc3\xa9");
    check("\xc3\xa9", UNICODE_NFD, "e\xcc\x81");
    check("\xef\xac\x81\xc2\xb2", UNICODE_NFKC, "fi2");
    check("\xef\xac\x81\xc2\xb2", UNICODE_NFC, "\xef\xac\x81\xc2\xb2");
    check("\xc2\xbd", UNICODE_NFKD,
          "1\xe2\x81\x84"
          "2");
    check("s\xcc\x87\xcc\xa3", UNICODE_NFC, "\xe1\xb9\xa9"); /* marks in order first */
    check("\xed\x95\x9c", UNICODE_NFD, "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab");
    check("", UNICODE_NFC, "");
}

/* "A B C<tab>D E": code points in hexadecimal and their normal form. */
static char *parse_points(const char *text, const char *end, struct buf *out)
{
    char *p = (char *)(uintptr_t)text;
    buf_reset(out);
    while (p < end) {
        char bytes[4];
        char *next;
        uint32_t cp = (uint32_t)strtoul(p, &next, 16);
        if (next == p)
            break;
        buf_append(out, bytes, utf8_encode(cp, bytes));
        p = next;
    }
    return p;
}

static size_t check_table(const char *name, enum unicode_form form)
{
    char *path = test_shared(name), *text;
    struct buf from, to, got;
    struct err e = {0};
    size_t n, rows = 0;
    if (!path)
        return 0;
    assert_ok(file_read(path, 1 << 22, &text, &n, &e), e);
    buf_init(&from, 1 << 12);
    buf_init(&to, 1 << 12);
    buf_init(&got, 1 << 12);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1, rows++) {
        const char *tab = strchr(line, '\t');
        assert_non_null(tab);
        parse_points(line, tab, &from);
        parse_points(tab + 1, tab + 1 + strcspn(tab + 1, "\t\n#"), &to);
        buf_reset(&got);
        unicode_normalize((struct span){buf_str(&from), from.len}, form, &got);
        if (strcmp(buf_str(&got), buf_str(&to)) != 0)
            fail_msg("%s: line %zu", name, rows + 1);
    }
    buf_release(&from);
    buf_release(&to);
    buf_release(&got);
    free(text);
    free(path);
    return rows;
}

static void tables(void **state)
{
    (void)state;
    size_t n = check_table("tokenizers/sentencepiece-test/nfc.tsv", UNICODE_NFC);
    n += check_table("tokenizers/sentencepiece-test/nfkd.tsv", UNICODE_NFKD);
    if (n == 0)
        test_skip("no tables of normal forms in the shared data");
}

/* A megabyte of marks in descending order of class: an exchange sort would take hours. */
static void linear_time(void **state)
{
    (void)state;
    struct buf text, out;
    buf_init(&text, 1 << 22);
    buf_init(&out, 1 << 22);
    buf_append_char(&text, 'a');
    for (int i = 0; i < 500000; i++)
        buf_append(&text, i % 2 ? "\xcc\xa7" : "\xcc\x81", 2);
    unicode_normalize((struct span){buf_str(&text), text.len}, UNICODE_NFD, &out);
    assert_int_equal(out.len, text.len);
    assert_memory_equal(buf_str(&out) + 1, "\xcc\xa7\xcc\xa7", 4);
    buf_release(&text);
    buf_release(&out);
}

static void classes(void **state)
{
    (void)state;
    assert_true(unicode_is_space(0x3000) && unicode_is_space(0x85) && !unicode_is_space(0x180e));
    assert_true(unicode_is_word('_') && unicode_is_word(0x301) && !unicode_is_word(0xbd));
    assert_true(unicode_is_other(0) && unicode_is_other(0x200b) && !unicode_is_other(0x378));
    assert_true(unicode_is_mark(0x94b) && !unicode_is_nonspacing_mark(0x94b));
    assert_true(unicode_is_chinese(0x4e2d) && !unicode_is_chinese(0x3042));
    assert_true(unicode_is_valid((struct span){"\xef\xbf\xbd", 3}));
    assert_false(unicode_is_valid((struct span){"\xef\xbf", 2}));
}

static void lower_case(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 64);
    unicode_lowercase((struct span){"A\xc3\x84\xc4\xb0\xce\xa3z", 8}, &out);
    assert_string_equal(buf_str(&out), "a\xc3\xa4i\xcc\x87\xcf\x83z");
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_forms), cmocka_unit_test(tables),     cmocka_unit_test(linear_time),
        cmocka_unit_test(classes),      cmocka_unit_test(lower_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
