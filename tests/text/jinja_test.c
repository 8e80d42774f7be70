/* jinja_test.c - templates against jinja2 in the environment of transformers: snippets that each
 * show one thing, and every chat template of the shared data. tools/reference/chat_templates.py
 * made the expected texts. Then templates that mean harm.
 */
#include "text/jinja.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "support/test.h"

#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_OUTPUT ((size_t)4 << 20)

/* Saturday, 2026-03-07 09:05:02, as in the script. */
static const struct tm now = {.tm_year = 126,
                              .tm_mon = 2,
                              .tm_mday = 7,
                              .tm_hour = 9,
                              .tm_min = 5,
                              .tm_sec = 2,
                              .tm_wday = 6,
                              .tm_yday = 65};

static json_t *read_json(const char *name)
{
    char *path = test_data(name);
    json_error_t error;
    json_t *v = json_load_file(path, 0, &error);
    if (!v)
        fail_msg("%s: %s", path, error.text);
    free(path);
    return v;
}

static int render(const char *source, size_t n, const json_t *variables, struct buf *out,
                  struct err *e)
{
    struct jinja *t;
    int rc = jinja_parse(&t, source, n, e);
    buf_init(out, MAX_OUTPUT);
    if (rc)
        return rc;
    rc = jinja_render(t, variables, &now, out, e);
    jinja_free(t);
    return rc;
}

static json_t *base_variables(void)
{
    return json_pack("{s:[], s:n, s:n, s:b, s:s, s:s}", "messages", "tools", "documents",
                     "add_generation_prompt", 0, "bos_token", "<s>", "eos_token", "</s>");
}

/* 1 when the case differs. */
static int check_case(const json_t *c, json_t *data)
{
    const json_t *source = json_object_get(c, "template");
    const json_t *text = json_object_get(c, "text");
    const char *refusal = json_string_value(json_object_get(c, "refusal"));
    json_t *variables = base_variables();
    struct buf out;
    struct err e = {0};
    if (json_is_true(json_object_get(c, "data")))
        json_object_update(variables, data);
    int rc = render(json_string_value(source), json_string_length(source), variables, &out, &e);
    json_decref(variables);
    bool same;
    if (text)
        same = !rc && out.len == json_string_length(text) &&
               memcmp(buf_str(&out), json_string_value(text), out.len) == 0;
    else if (refusal)
        same = rc == ERR_ARG && strstr(e.text, refusal);
    else
        same = rc == ERR_FORMAT;
    if (!same)
        print_error("%s\n  wanted %s%s\n  got    %s%s\n", json_string_value(source),
                    text ? "" : "an error: ",
                    text      ? json_string_value(text)
                    : refusal ? refusal
                              : json_string_value(json_object_get(c, "error")),
                    rc ? "an error: " : "", rc ? e.text : buf_str(&out));
    buf_release(&out);
    return !same;
}

static void test_snippets(void **state)
{
    (void)state;
    json_t *root = read_json("text/jinja_cases.json"), *c;
    int wrong = 0;
    size_t i;
    json_array_foreach(json_object_get(root, "cases"), i, c)
        wrong += check_case(c, json_object_get(root, "data"));
    assert_true(i > 500);
    json_decref(root);
    if (wrong)
        fail_msg("%d of %zu snippets differ from jinja2", wrong, i);
}

/* The templates of the shared data */

/* "file", or "file#name" of a tokenizer_config.json, or "file#3" of index.json; heap. */
static char *read_template(const char *name, size_t *n)
{
    char file[256], *path, *text = NULL;
    const char *hash = strchr(name, '#');
    snprintf(file, sizeof file, "chat-templates/%.*s", (int)(hash ? hash - name : 200), name);
    path = test_shared(file);
    if (!path)
        return NULL;
    if (!hash) {
        if (file_read(path, JINJA_MAX_SOURCE, &text, n, NULL) != 0)
            fail_msg("%s cannot be read", path);
        free(path);
        return text;
    }
    json_t *root = json_load_file(path, 0, NULL), *v = json_object_get(root, "chat_template");
    if (json_is_array(root))
        v = json_object_get(json_array_get(root, (size_t)strtol(hash + 1, NULL, 10)), "template");
    if (!json_is_string(v))
        fail_msg("%s: no template", name);
    *n = json_string_length(v);
    text = strdup(json_string_value(v));
    json_decref(root);
    free(path);
    return text;
}

/* The word of the script for a rendering, in `word` (at least 16 bytes); a refusal's number is
 * looked up. */
static void word_of(int rc, const struct buf *out, const struct err *e, const json_t *refusals,
                    char *word)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    size_t i;
    json_t *text;
    if (!rc) {
        SHA256((const unsigned char *)buf_str(out), out->len, hash);
        for (i = 0; i < 6; i++)
            snprintf(word + 2 * i, 3, "%02x", hash[i]);
        return;
    }
    snprintf(word, 16, "?");
    if (rc != ERR_ARG)
        return;
    json_array_foreach(refusals, i, text)
    {
        const char *end = strchr(e->text, ':');
        if (end && strcmp(end + 2, json_string_value(text)) == 0)
            snprintf(word, 16, "!%u", (unsigned)i);
    }
}

/* How many of the six renderings of a conversation differ. */
static int check_conversation(const char *name, const char *title, const struct jinja *t,
                              json_t *conversation, const char *words, const json_t *refusals)
{
    char last[16] = "", want[16], got[16];
    int wrong = 0;
    for (int i = 0; i < 6; i++, words += strcspn(words, " "), words += *words == ' ') {
        json_t *variables = base_variables();
        json_object_update(variables, conversation);
        json_object_set_new(variables, "add_generation_prompt", json_boolean(i >= 3));
        if (i % 3)
            json_object_set_new(variables, "enable_thinking", json_boolean(i % 3 == 1));
        struct buf out;
        struct err e = {0};
        buf_init(&out, MAX_OUTPUT);
        int rc = jinja_render(t, variables, &now, &out, &e);
        word_of(rc, &out, &e, refusals, got);
        if (*words != '=')
            snprintf(want, sizeof want, "%.*s", (int)strcspn(words, " "), words);
        else
            snprintf(want, sizeof want, "%s", last);
        snprintf(last, sizeof last, "%s", want);
        if (strcmp(want, got) != 0) {
            wrong++;
            print_error("%s, %s, %d: wanted %s, got %s %s\n", name, title, i, want, got, e.text);
            const char *dump = getenv("JINJA_DUMP");
            if (dump)
                print_error("%s\n", buf_str(&out));
        }
        buf_release(&out);
        json_decref(variables);
    }
    return wrong;
}

static int check_template(const char *name, const json_t *rows, const json_t *root)
{
    json_t *conversations = json_object_get(root, "conversations"), *conversation;
    const char *title;
    struct jinja *t;
    struct err e = {0};
    size_t n, row = 0;
    int wrong = 0;
    char *source = read_template(name, &n);
    if (!source)
        return -1;
    int rc = jinja_parse(&t, source, n, &e);
    free(source);
    if (rc) {
        print_error("%s: %s\n", name, e.text);
        return 1;
    }
    json_object_foreach(conversations, title, conversation) wrong += check_conversation(
        name, title, t, conversation, json_string_value(json_array_get(rows, row++)),
        json_object_get(root, "refusals"));
    jinja_free(t);
    return wrong;
}

static void test_chat_templates(void **state)
{
    (void)state;
    json_t *root = read_json("text/chat_templates.json"), *rows;
    const char *name;
    int wrong = 0, templates = 0, absent = 0;
    json_object_foreach(json_object_get(root, "templates"), name, rows)
    {
        int differ = check_template(name, rows, root);
        absent += differ < 0;
        wrong += differ > 0;
        templates++;
    }
    json_decref(root);
    if (absent == templates)
        test_skip("no chat templates in the shared data");
    if (wrong)
        fail_msg("%d of %d templates differ from transformers", wrong, templates);
}

/* Templates that mean harm */

static void expect_fault(const char *source, size_t n, const char *want)
{
    struct buf out;
    struct err e = {0};
    json_t *variables = base_variables();
    int rc = render(source, n, variables, &out, &e);
    if (rc != ERR_FORMAT || !strstr(e.text, want))
        fail_msg("%.60s: wanted %s, got %d %s", source, want, rc, e.text);
    buf_release(&out);
    json_decref(variables);
}

static void test_endless(void **state)
{
    (void)state;
    static const struct {
        const char *source, *want;
    } rows[] = {
        {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "steps"},
        {"\n{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}", "line 2: nested too deeply"},
        {"{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
         "nested too deeply"},
        {"{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "nested too deeply"},
        {"{% set n = namespace(l=[]) %}{% for i in range(5000) %}{% set n.l = [n.l] %}{% endfor %}"
         "{{ n.l }}",
         "nested too deeply"},
        {"{% set n = namespace() %}{% set n.n = n %}{{ n }}", "nested too deeply"},
        {"{% set n = namespace(l=[]) %}{% for i in range(5000) %}{% set n.l = [n.l] %}{% endfor %}"
         "{{ n.l | tojson }}",
         "nested too deeply"},
        {"{{ 'ab' * 999999999999 }}", ""},
        {"{{ [0] * 999999999999 }}", ""},
        {"{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% "
         "endfor "
         "%}",
         ""},
        {"{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s.replace('', n.s) "
         "%}{% endfor %}",
         ""},
        {"{% for i in range(99999) %}0123456789012345678901234567890123456789012345678901234567890"
         "{% endfor %}",
         "the text is too long"},
        {"{{ '%999999999d' % 1 }}", "unsupported format"},
        {"{{ '{:999999999d}'.format(1) }}", "Invalid format specifier"},
        {"{{ 'a'.center(999999999999) }}", ""},
        {"{{ 'a' | indent(999999999999, true) }}", ""},
        {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
        {"{{ -9223372036854775807 - 1 - 1 }}", "beyond 64 bits"},
        {"{{ (-9223372036854775807 - 1) // -1 }}", "beyond 64 bits"},
        {"{{ 2 ** 64 }}", "beyond 64 bits"},
        {"{{ 9223372036854775808 }}", "beyond 64 bits"},
        {"{{ [1, 2, 3][::-9223372036854775807 - 1] }}", "the step of a slice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_fault(rows[i].source, strlen(rows[i].source), rows[i].want);
}

/* `part` 100000 times, behind `begin`; what that opens is closed. */
static void expect_repeated_fault(const char *begin, const char *part, const char *want)
{
    struct buf b;
    buf_init(&b, 4 << 20);
    buf_append_str(&b, begin);
    for (int i = 0; i < 100000; i++)
        buf_append_str(&b, part);
    buf_append_str(&b, begin[0] == '{' && begin[1] == '{' ? " }}" : "");
    expect_fault(buf_str(&b), b.len, want);
    buf_release(&b);
}

static void test_deep_sources(void **state)
{
    (void)state;
    expect_repeated_fault("{{ ", "(", "brackets are nested too deeply");
    expect_repeated_fault("{{ ", "[", "brackets are nested too deeply");
    expect_repeated_fault("{{ ", "{1:", "brackets are nested too deeply");
    expect_repeated_fault("{{ ", "-", "nested too deeply");
    expect_repeated_fault("{{ ", "not ", "nested too deeply");
    expect_repeated_fault("{{ ", "1 if 1 else ", "nested too deeply");
    expect_repeated_fault("", "{% if 1 %}", "nested too deeply");
    expect_repeated_fault("", "{% for i in x %}", "nested too deeply");
    expect_repeated_fault("{% set ", "(", "nested too deeply");
    expect_repeated_fault("{{ 1", "+1", "nested too deeply"); /* deep to the left */
    expect_repeated_fault("{{ x", "|e", "nested too deeply");
    expect_repeated_fault("{{ x", ".x", "nested too deeply");
    expect_repeated_fault("{{ x", " is x", "");
    expect_fault("x", JINJA_MAX_SOURCE + 1, "bytes (at most");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snippets),
        cmocka_unit_test(test_chat_templates),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_deep_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
