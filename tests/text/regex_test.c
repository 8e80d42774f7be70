/* regex_test.c - Oniguruma's syntax on PCRE2. */
#include "support/test.h"

#include "base/err.h"
#include "text/regex.h"

#include <stdlib.h>
#include <string.h>

static void check_first(const char *pattern, const char *text, const char *want)
{
    struct regex *r;
    struct regex_scratch s = {0};
    struct regex_match m = {0};
    struct err e = {0};
    struct span span = {text, strlen(text)};
    assert_ok(regex_new(&r, (struct span){pattern, strlen(pattern)}, false, &e), e);
    int rc = regex_find(r, &s, span, 0, &m, &e);
    if (rc < 0 || (rc == 1) != (want != NULL))
        fail_msg("%s on \"%s\": %d %s", pattern, text, rc, e.text);
    if (want && (m.end - m.begin != strlen(want) || memcmp(text + m.begin, want, strlen(want))))
        fail_msg("%s on \"%s\": wanted \"%s\", got \"%.*s\"", pattern, text, want,
                 (int)(m.end - m.begin), text + m.begin);
    regex_scratch_release(&s);
    regex_free(r);
}

static void dialect(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"\\s+", "a \t\xc2\xa0\xe3\x80\x80z", " \t\xc2\xa0\xe3\x80\x80"},
        {"\\s", "\xe1\xa0\x8e", NULL}, /* U+180E is no white space any more */
        {"[^\\s]+", " \xe1\xa0\x8e ", "\xe1\xa0\x8e"},
        {"\\S+", " ab ", "ab"},
        {"\\w+", "-a_1\xc3\xa4\xcc\x81-", "a_1\xc3\xa4\xcc\x81"},
        {"\\w", "\xc2\xbd", NULL}, /* a number, but no digit */
        {"\\h+", "xbeEF9g", "beEF9"},
        {"\\u0041", "xA", "A"},
        {"(?i:'s|'t)", "x'S", "'S"},
        {"[\\p{L}&&[^\\p{Han}]]+",
         "\xe4\xba\xba"
         "ab",
         "ab"},
        {"[\\p{L}&&[\\p{Han}]]+",
         "ab\xe4\xba\xba"
         "ab",
         "\xe4\xba\xba"},
        {"[\\p{Han}]", "\xef\xbd\xa1", NULL}, /* used with Han, but of no script */
        {"[a[bc]d]+", "xabcde", "abcd"},
        {"[]a]+", "x]a]", "]a]"},
        {"[[:alpha:]_]+", "1ab_", "ab_"},
        {"a(?!b)", "abac", "a"},
        {"\\[\\]", "[]", "[]"},
        {"\\p{N}{1,3}", "12345", "123"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_first(rows[i][0], rows[i][1], rows[i][2]);
}

static void literal(void **state)
{
    (void)state;
    struct regex *r;
    struct regex_scratch s = {0};
    struct regex_match m;
    struct err e = {0};
    assert_ok(regex_new(&r, (struct span){"a.[", 3}, true, &e), e);
    assert_int_equal(regex_find(r, &s, (struct span){"aXa.[", 5}, 0, &m, &e), 1);
    assert_int_equal(m.begin, 2);
    assert_int_equal(regex_find(r, &s, (struct span){"aXa.[", 5}, 3, &m, &e), 0);
    regex_scratch_release(&s);
    regex_free(r);
}

/* What is no UTF-8 matches nothing, and what follows it still does. */
static void broken_text(void **state)
{
    (void)state;
    check_first("[^x]+", "\xff\xfe", NULL);
    check_first("\\p{L}+",
                "\xff"
                "ab\xc3",
                "ab");
    check_first(".+", "\xe2\x82", NULL);
}

static void refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"(", "("},
        {"[a", "[a"},
        {"a{2", NULL},
        {"\\p{Nothing}", "Nothing"},
        {"[a&&b]", "&&"},
        {"[^a&&[b]]", "&&"},
        {"[a[^b]]", "negated"},
        {"\\", "\\"},
        {"[[[[[[[[[[[[a", "nested"},
        {"\\C", "\\C"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct regex *r;
        struct err e = {0};
        int rc = regex_new(&r, (struct span){rows[i][0], strlen(rows[i][0])}, false, &e);
        assert_int_equal(rc == 0, rows[i][1] == NULL);
        if (rc)
            assert_err(e, rc, rows[i][1]);
        regex_free(r);
    }
}

/* Catastrophic backtracking ends with an error. */
static void bounded(void **state)
{
    (void)state;
    struct regex *r;
    struct regex_scratch s = {0};
    struct regex_match m;
    struct err e = {0};
    char text[64];
    memset(text, 'a', sizeof(text));
    assert_ok(regex_new(&r, (struct span){"(a*)*(a*)*(a*)*b\\1", 18}, false, &e), e);
    text[sizeof(text) - 1] = 'c';
    int rc = regex_find(r, &s, (struct span){text, sizeof(text)}, 0, &m, &e);
    assert_true(rc == ERR_FORMAT || rc == 0);
    regex_scratch_release(&s);
    regex_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialect), cmocka_unit_test(literal), cmocka_unit_test(broken_text),
        cmocka_unit_test(refused), cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
