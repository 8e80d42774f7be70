/* grammar_test.c - which texts fit a GBNF grammar, and which grammars are refused. */
#include "support/test.h"

#include "base/err.h"
#include "text/grammar.h"
#include "text/grammar_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct grammar *grammar(const char *text)
{
    struct err e = {0};
    struct grammar *g;
    assert_ok(grammar_from_gbnf(&g, text, strlen(text), &e), e);
    return g;
}

/* Whether the whole text fits. */
static bool fits(const struct grammar *g, const char *text, size_t n)
{
    struct err e = {0};
    struct machine m;
    assert_ok(machine_init(&m, g, &e), e);
    uint32_t state = m.start;
    for (size_t i = 0; i < n; i++)
        state = machine_step(&m, state, (unsigned char)text[i]);
    bool fit = m.states[state].accepting;
    machine_release(&m);
    return fit;
}

struct row {
    const char *grammar;
    const char *yes[8], *no[8];
};

static const struct row rows[] = {
    {"root ::= \"a\"", {"a"}, {"", "b", "aa"}},
    {"root ::= \"\"", {""}, {"a"}},
    {"root ::= \"a\" | \"bc\" |", {"a", "bc", ""}, {"b", "abc"}},
    {"root ::= [a-c]+ \"-\"?", {"a", "abc-"}, {"", "-", "d", "a--"}},
    {"root ::= \"ab\"*", {"", "ab", "abab"}, {"a", "abb"}},
    {"root ::= \"a\"{2}", {"aa"}, {"a", "aaa"}},
    {"root ::= \"a\"{2,}", {"aa", "aaaaa"}, {"a"}},
    {"root ::= \"a\" {1,3}", {"a", "aa", "aaa"}, {"", "aaaa"}},
    {"root ::= (\"a\" | \"b\"){0,2} \"c\"", {"c", "abc", "bc"}, {"aabc", "ab"}},
    {"root ::= (\"a\"?){3} \"b\"", {"b", "ab", "aaab"}, {"aaaab"}},
    {"root ::= (\"a\"?){0,2} \"b\"", {"b", "ab", "aab"}, {"aaab"}},
    {"root ::= ((\"a\"*)*)* \"b\"", {"b", "aaab"}, {"", "a"}},
    {"root ::= ((\"a\"{0,2} \"b\"?){1,2}){2} \"c\"", {"c", "aabaac", "aaaac"}, {"aaaaaaaaac"}},
    {"root ::= [^\\n\"]+",
     {"x", "\xc3\xa9\xe2\x82\xac", "\xf0\x9f\x98\x80"},
     {"", "\n", "a\"", "\xc3", "\x80", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"}},
    {"root ::= [\\u3041-\\u309f]", {"\xe3\x81\x82"}, {"\xe3\x82\xa0", "a"}},
    {"root ::= [\\U0001F600-\\U0001F64F\\x41]", {"\xf0\x9f\x98\x80", "A"}, {"\xf0\x9f\x99\x90"}},
    {"root ::= .", {"a", "\n", "\xe2\x82\xac"}, {"", "ab", "\xff"}},
    {"root ::= [a\\-\\]\\[\\\\]+", {"a-][\\"}, {"b"}},
    {"root ::= [-a]+ [a-]", {"-a-"}, {"b"}},
    {"root ::= \"\\x41\\u00e9\\\"\\n\\\\\"", {"A\xc3\xa9\"\n\\"}, {"A"}},
    {"# c\nroot ::= # c\n  x # c\n  # c\nx ::= ( \"a\"\n  # c\n  \"b\" )\r\n", {"ab"}, {"a"}},
    {"root ::= a |\n  b\na ::= \"1\"\nb ::= \"2\"", {"1", "2"}, {"12"}},
    {"root ::= \"(\" root \")\" | \"\"", {"", "((()))"}, {"(", "(()", ")"}},
    {"root ::= x \"b\"\nx ::= \"a\" x | \"\"", {"b", "aaab"}, {"a"}},
    {"root ::= x\nx ::= \"a\" x \"b\" | y\ny ::= \"c\"*", {"", "ab", "aaccbb"}, {"aab", "abc"}},
    {"root ::= a* b\na ::= \"x\" | \"xy\"\nb ::= \"y\"? \"z\"", {"xyz", "xxyyz", "z"}, {"xyyyz"}},
};

static void texts_that_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct grammar *g = grammar(rows[i].grammar);
        for (size_t k = 0; k < 8 && rows[i].yes[k]; k++)
            if (!fits(g, rows[i].yes[k], strlen(rows[i].yes[k])))
                fail_msg("%s: \"%s\" does not fit", rows[i].grammar, rows[i].yes[k]);
        for (size_t k = 0; k < 8 && rows[i].no[k]; k++)
            if (fits(g, rows[i].no[k], strlen(rows[i].no[k])))
                fail_msg("%s: \"%s\" fits", rows[i].grammar, rows[i].no[k]);
        grammar_free(g);
    }
}

static void refused(const char *text, const char *why)
{
    struct err e = {0};
    struct grammar *g;
    assert_int_equal(grammar_from_gbnf(&g, text, strlen(text), &e), ERR_FORMAT);
    assert_null(g);
    assert_err(e, ERR_FORMAT, why);
}

static void grammars_that_are_refused(void **state)
{
    (void)state;
    refused("", "no rule \"root\"");
    refused("x ::= \"a\"", "no rule \"root\"");
    refused("root ::= x", "line 1 uses a rule \"x\" that is nowhere defined");
    refused("root ::= \"a\"\nroot ::= \"b\"", "line 2: the rule \"root\" is there twice");
    refused("root ::= root \"a\" | \"b\"", "\"root\" begins with itself");
    refused("root ::= x\nx ::= \"\"? y\ny ::= [a]* x \"b\" | \"c\"", "begins with itself");
    refused("root ::= \"a\" root", "\"root\" never ends");
    refused("root ::= \"a", "ends inside quotes");
    refused("root ::= [a", "ends inside quotes or brackets");
    refused("root ::= []", "a class without characters");
    refused("root ::= [b-a]", "ends before it begins");
    refused("root ::= (\"a\"", "not closed");
    refused("root ::= \"a\")", "never opened");
    refused("root ::= *", "nothing stands before");
    refused("root ::= \"a\"{3,2}", "m no larger than n");
    refused("root ::= \"a\"{x}", "a number is missing");
    refused("root ::= \"a\"{9999999}", "more than 1000000 repetitions");
    refused("root ::= \"\\q\"", "an unknown escape");
    refused("root ::= \"\\u12\"", "hexadecimal");
    refused("root ::= \"\\ud800\"", "no Unicode character");
    refused("root ::= \"\xff\"", "not valid UTF-8");
    refused("root = \"a\"", "::= is missing");
    refused("root ::= \"a\"\n| \"b\"", "line 2: a rule begins with its name");
    refused("root ::= <a", "a token is written");
    refused("root ::= <[1x]>", "a token's number");
    refused("root ::= @", "no text, class, rule or parenthesis");
}

/* Nesting is bounded, and so is what a short text can ask for. */
static void grammars_that_explode(void **state)
{
    (void)state;
    char text[2048] = "root ::= ";
    memset(text + 9, '(', 200);
    refused(text, "more than 128 parentheses");
    snprintf(text, sizeof text, "root ::= \"a\"");
    memset(text + strlen(text), '*', 200);
    refused(text, "too many repetitions of repetitions");

    struct grammar *g = grammar("root ::= ((\"a\"{1000000}){1000000}){1000000} \"b\"");
    assert_false(fits(g, "aaab", 4));
    assert_true(g->n_nodes < 10);
    grammar_free(g);
}

/* The public grammars of llama.cpp, each with a text of its language. */
static void grammars_of_llama_cpp(void **state)
{
    (void)state;
    static const char *const files[][3] = {
        {"arithmetic", "1+x*(2-y)=3\n", "1+=3\n"},
        {"c", "int main(){return 0;}", "int main("},
        {"chess", "1. e4 e5\n2. Nf3 Nc6\n", "1. e9 e5\n"},
        {"english", "Hello, world! 5", "caf\xc3\xa9"},
        {"japanese", "\xe3\x81\x93\xe3\x82\x93", "abc"},
        {"json", "{\"a\": [1, true, {\"b\": null}]}", "[1]"},
        {"json_arr", "[\n1,\n{\"a\": 2}]", "{}"},
        {"list", "- a\n- b\n", "a\n"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[64], text[8192];
        snprintf(name, sizeof name, "reference/gbnf/%s.gbnf", files[i][0]);
        char *path = test_shared(name);
        if (!path)
            test_skip("no shared data");
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        text[fread(text, 1, sizeof text - 1, f)] = '\0';
        fclose(f);
        free(path);
        struct grammar *g = grammar(text);
        if (!fits(g, files[i][1], strlen(files[i][1])))
            fail_msg("%s: \"%s\" does not fit", name, files[i][1]);
        if (fits(g, files[i][2], strlen(files[i][2])))
            fail_msg("%s: \"%s\" fits", name, files[i][2]);
        grammar_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_fit),
        cmocka_unit_test(grammars_that_are_refused),
        cmocka_unit_test(grammars_that_explode),
        cmocka_unit_test(grammars_of_llama_cpp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
