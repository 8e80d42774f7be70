/* json_schema_test.c - a text fits a schema's grammar where the package `jsonschema` finds it valid
 * (tools/reference/json_schemas.py), and nothing that is invalid by the official test suite fits.
 */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "text/grammar.h"
#include "text/grammar_machine.h"
#include "text/json_schema.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fits(struct machine *m, const char *text)
{
    uint32_t state = m->start;
    for (; *text && state != MACHINE_DEAD; text++)
        state = machine_step(m, state, (unsigned char)*text);
    return m->states[state].accepting;
}

static void check_texts(struct machine *m, const json_t *schema, const json_t *texts, bool want)
{
    size_t i;
    json_t *v;
    json_array_foreach(texts, i, v)
    {
        if (fits(m, json_string_value(v)) == want)
            continue;
        char *s = json_dumps(schema, JSON_ENCODE_ANY);
        fail_msg("%s: %s %s", s, json_string_value(v), want ? "does not fit" : "fits");
    }
}

static void as_jsonschema_has_it(void **state)
{
    (void)state;
    char *path = test_data("text/json_schemas.json");
    json_t *cases = json_load_file(path, 0, NULL), *c;
    size_t i, n_texts = 0;
    assert_true(json_array_size(cases) > 500);
    json_array_foreach(cases, i, c)
    {
        struct err e = {0};
        struct grammar *g;
        struct machine m;
        const json_t *schema = json_object_get(c, "schema"), *yes = json_object_get(c, "yes");
        int rc = grammar_from_json_schema(&g, schema, &e);
        if (rc && !(rc == ERR_FORMAT && json_array_size(yes) == 0))
            fail_msg("%s: %s", json_dumps(schema, JSON_ENCODE_ANY), e.text);
        if (rc)
            continue; /* bounds that leave nothing */
        assert_ok(machine_init(&m, g, &e), e);
        check_texts(&m, schema, yes, true);
        check_texts(&m, schema, json_object_get(c, "no"), false);
        n_texts += json_array_size(yes) + json_array_size(json_object_get(c, "no"));
        machine_release(&m);
        grammar_free(g);
    }
    assert_true(n_texts > 5000);
    json_decref(cases);
    free(path);
}

/* One group of the official suite; counts what is valid and fits. */
struct counts {
    int groups, supported, valid, fit, invalid;
};

static void check_group(const json_t *group, const char *file, struct counts *n)
{
    struct err e = {0};
    struct grammar *g;
    struct machine m;
    const json_t *tests = json_object_get(group, "tests");
    size_t i;
    json_t *t;
    n->groups++;
    int rc = grammar_from_json_schema(&g, json_object_get(group, "schema"), &e);
    if (rc && rc != ERR_FORMAT && rc != ERR_UNSUPPORTED)
        fail_msg("%s: %s", file, e.text);
    if (rc)
        return;
    n->supported++;
    assert_ok(machine_init(&m, g, &e), e);
    json_array_foreach(tests, i, t)
    {
        char *text = json_dumps(json_object_get(t, "data"), JSON_ENCODE_ANY);
        bool valid = json_is_true(json_object_get(t, "valid")), fit = fits(&m, text);
        if (fit && !valid)
            fail_msg("%s: %s: %s (%s) fits", file,
                     json_string_value(json_object_get(group, "description")), text,
                     json_string_value(json_object_get(t, "description")));
        n->valid += valid;
        n->fit += valid && fit;
        n->invalid += !valid;
        free(text);
    }
    machine_release(&m);
    grammar_free(g);
}

static void check_folder(const char *name, struct counts *n)
{
    char *path = test_shared(name);
    if (!path)
        test_skip("no shared data");
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        char file[1024];
        snprintf(file, sizeof file, "%s/%s", path, d->d_name);
        json_t *groups = strstr(d->d_name, ".json") ? json_load_file(file, 0, NULL) : NULL, *group;
        size_t i;
        json_array_foreach(groups, i, group) check_group(group, file, n);
        json_decref(groups);
    }
    closedir(dir);
    free(path);
}

static void official_suite(void **state)
{
    (void)state;
    struct counts n = {0};
    check_folder("reference/json-schema-test-suite/tests/draft2020-12", &n);
    check_folder("reference/json-schema-test-suite/tests/draft7", &n);
    print_message("%d of %d schemas supported; of %d valid texts %d fit; none of %d invalid ones\n",
                  n.supported, n.groups, n.valid, n.fit, n.invalid);
    assert_true(n.supported > 100);
    assert_true(n.fit > n.valid / 3);
}

static void refused(const char *text, int code, const char *why)
{
    struct err e = {0};
    struct grammar *g;
    json_t *schema = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(schema);
    assert_int_equal(grammar_from_json_schema(&g, schema, &e), code);
    assert_null(g);
    assert_err(e, code, why);
    json_decref(schema);
}

static void schemas_that_are_refused(void **state)
{
    (void)state;
    refused("{\"type\":\"integer\",\"multipleOf\":3}", ERR_UNSUPPORTED,
            "at #: the keyword \"multipleOf\"");
    refused("{\"items\":{\"properties\":{\"a\":{\"not\":{}}}}}", ERR_UNSUPPORTED,
            "at #/items/properties/a: the keyword \"not\" is not supported");
    refused("{\"type\":\"array\",\"uniqueItems\":true}", ERR_UNSUPPORTED, "\"uniqueItems\"");
    refused("{\"type\":\"string\",\"format\":\"regex\"}", ERR_UNSUPPORTED,
            "the format \"regex\" is not supported; known are date,");
    refused("{\"$ref\":\"http://x/y\"}", ERR_UNSUPPORTED, "points outside");
    refused("{\"$ref\":\"#/$defs/x\"}", ERR_FORMAT, "points to nothing");
    refused("{\"$ref\":\"#\"}", ERR_FORMAT, "circles");
    refused("{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}", ERR_FORMAT, "begins with itself");
    refused("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", ERR_UNSUPPORTED,
            "branches 1 and 2 may both be valid");
    refused("{\"type\":\"string\",\"pattern\":\"a\",\"maxLength\":3}", ERR_UNSUPPORTED,
            "can not be put together");
    refused("{\"pattern\":\"(?=a)\"}", ERR_UNSUPPORTED, "looking ahead");
    refused("{\"pattern\":\"(a)\\\\1\"}", ERR_UNSUPPORTED, "an escape that is not supported");
    refused("{\"pattern\":\"a\\\\b\"}", ERR_UNSUPPORTED, "an escape that is not supported");
    refused("{\"pattern\":\"[a\"}", ERR_UNSUPPORTED, "not closed");
    refused("{\"type\":\"number\",\"minimum\":1e300}", ERR_UNSUPPORTED, "more than 15 digits");
    refused("{\"type\":\"thing\"}", ERR_FORMAT, "\"type\" is \"thing\"");
    refused("false", ERR_FORMAT, "nothing can be valid");
    refused("3", ERR_FORMAT, "a schema is an object");
    refused("{\"type\":\"object\",\"properties\":{\"a\":false},\"required\":[\"a\"]}", ERR_FORMAT,
            "required but never valid");
    refused("{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", ERR_FORMAT,
            "no number lies between");
    refused("{\"enum\":[]}", ERR_FORMAT, "no constant is valid");
    refused("{\"allOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}", ERR_UNSUPPORTED,
            "\"pattern\" stands twice");
}

/* Short schemas that ask for a great deal end soon, with an error. */
static void schemas_that_explode(void **state)
{
    (void)state;
    char text[8192] = "{\"$ref\":\"#/$defs/a0\",\"$defs\":{";
    for (int i = 0; i < 30; i++) { /* each level merges the next one twice: 2^30 */
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n,
                 "\"a%d\":{\"type\":\"object\",\"properties\":{\"x\":{\"$ref\":\"#/$defs/"
                 "a%d\",\"required\":[\"p%d\"]},"
                 "\"y\":{\"$ref\":\"#/$defs/a%d\",\"required\":[\"q%d\"]}}}%s",
                 i, (i + 1) % 30, i, (i + 1) % 30, i, i < 29 ? "," : "}}");
    }
    refused(text, ERR_FORMAT, "");
    char deep[4096] = "";
    for (int i = 0; i < 70; i++)
        strncat(deep, "{\"items\":", sizeof deep - strlen(deep) - 1);
    strncat(deep, "true", sizeof deep - strlen(deep) - 1);
    for (int i = 0; i < 70; i++)
        strncat(deep, "}", sizeof deep - strlen(deep) - 1);
    refused(deep, ERR_FORMAT, "nested more than 64 levels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_jsonschema_has_it),
        cmocka_unit_test(official_suite),
        cmocka_unit_test(schemas_that_are_refused),
        cmocka_unit_test(schemas_that_explode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
