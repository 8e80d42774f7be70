/* json_schema.c - see json_schema.h. The walk over a schema; what is in it is written by its
 * neighbours: _merge, _object, _string, _number and _pattern. */
#include "text/json_schema.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/grammar.h"
#include "text/json_schema_writer.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What all others build on. */
static const char builtin_rules[] =
    "ws ::= | \" \" | \"\\n\"{1,2} [ \\t]{0,32}\n"
    "hex ::= [0-9a-fA-F]\n"
    "char ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" code)\n"
    "code ::= [0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2} | "
    "[dD] [89abAB] hex{2} \"\\\\u\" [dD] [c-fC-F] hex{2}\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"
    "number ::= integer (\".\" [0-9]{1,16})? ([eE] [+-]? [0-9]{1,2})?\n"
    "boolean ::= \"true\" | \"false\"\n"
    "member ::= string \":\" ws value\n"
    "object ::= \"{\" ws (member (\",\" ws member)* ws)? \"}\"\n"
    "array ::= \"[\" ws (value (\",\" ws value)* ws)? \"]\"\n"
    "free ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\bfnrt]\n"
    "value ::= object | array | string | number | boolean | \"null\"\n";

int schema_fail(struct schema_writer *w, int code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(w->e, code, "JSON schema, at %s: %s", w->path, text);
}

size_t schema_enter(struct schema_writer *w, const char *key)
{
    size_t n = strlen(w->path);
    snprintf(w->path + n, sizeof w->path - n, "/%s", key);
    return n;
}

void schema_leave(struct schema_writer *w, size_t mark)
{
    w->path[mark] = '\0';
}

/* Keywords by the types that they are about. */
static const struct {
    const char *key;
    unsigned types; /* 0: all */
} keywords[] = {
    {"type", 0},
    {"enum", 0},
    {"const", 0},
    {"anyOf", 0},
    {"oneOf", 0},
    {"allOf", 0},
    {"$ref", 0},
    {"properties", SCHEMA_OBJECT},
    {"required", SCHEMA_OBJECT},
    {"additionalProperties", SCHEMA_OBJECT},
    {"patternProperties", SCHEMA_OBJECT},
    {"minProperties", SCHEMA_OBJECT},
    {"maxProperties", SCHEMA_OBJECT},
    {"items", SCHEMA_ARRAY},
    {"prefixItems", SCHEMA_ARRAY},
    {"additionalItems", SCHEMA_ARRAY},
    {"minItems", SCHEMA_ARRAY},
    {"maxItems", SCHEMA_ARRAY},
    {"minLength", SCHEMA_STRING},
    {"maxLength", SCHEMA_STRING},
    {"pattern", SCHEMA_STRING},
    {"format", SCHEMA_STRING},
    {"minimum", SCHEMA_NUMBER},
    {"maximum", SCHEMA_NUMBER},
    {"exclusiveMinimum", SCHEMA_NUMBER},
    {"exclusiveMaximum", SCHEMA_NUMBER},
};

#define N_KEYWORDS (sizeof keywords / sizeof *keywords)

static int check_keywords(struct schema_writer *w, const json_t *s)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)s, key, v)
    {
        size_t i = 0;
        while (i < N_KEYWORDS && strcmp(key, keywords[i].key) != 0)
            i++;
        if (i == N_KEYWORDS && !schema_is_annotation(key) &&
            !(strcmp(key, "uniqueItems") == 0 && json_is_false(v)))
            return schema_fail(w, ERR_UNSUPPORTED, "the keyword \"%s\" is not supported", key);
    }
    return 0;
}

static int add_type(struct schema_writer *w, const json_t *v, unsigned *types)
{
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};
    const char *name = json_string_value(v);
    for (unsigned i = 0; name && i < 7; i++) {
        if (strcmp(name, names[i]) == 0) {
            *types |= 1U << i;
            return 0;
        }
    }
    return schema_fail(w, ERR_FORMAT,
                       "\"type\" is \"%s\"; known are null, boolean, integer, number, "
                       "string, array and object",
                       name ? name : "no string");
}

int schema_types(struct schema_writer *w, const json_t *s, unsigned *types)
{
    const json_t *type = json_object_get(s, "type");
    int rc = 0;
    *types = 0;
    for (size_t i = 0; i < N_KEYWORDS && !type; i++)
        if (keywords[i].types && json_object_get(s, keywords[i].key))
            *types |= keywords[i].types;
    for (size_t i = 0; i < json_array_size(type) && !rc; i++)
        rc = add_type(w, json_array_get(type, i), types);
    if (type && !json_is_array(type))
        rc = add_type(w, type, types);
    if (!type && *types == 0)
        *types = SCHEMA_ANY;
    if (*types & SCHEMA_NUMBER)
        *types &= ~(unsigned)SCHEMA_INTEGER;
    return rc;
}

int schema_count(struct schema_writer *w, const json_t *s, const char *key, uint64_t *v)
{
    const json_t *x = json_object_get(s, key);
    if (!x)
        return 0;
    double d = json_number_value(x);
    if (!json_is_number(x) || d < 0 || d > 1e15 || d != floor(d))
        return schema_fail(w, ERR_FORMAT, "\"%s\" is no whole number from 0 on", key);
    *v = (uint64_t)d;
    return 0;
}

int schema_new_rule(struct schema_writer *w, unsigned *number)
{
    *number = w->n_rules + 1;
    if (++w->n_rules > JSON_SCHEMA_MAX_RULES || w->out->failed)
        return schema_fail(w, ERR_FORMAT, "the schema makes more than %d rules; simplify it",
                           JSON_SCHEMA_MAX_RULES);
    return 0;
}

/* ---- constants ---- */

static unsigned type_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_NULL:
        return SCHEMA_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return SCHEMA_BOOLEAN;
    case JSON_INTEGER:
        return SCHEMA_INTEGER | SCHEMA_NUMBER;
    case JSON_REAL: {
        double d = json_real_value(v);
        return d == floor(d) ? SCHEMA_INTEGER | SCHEMA_NUMBER : SCHEMA_NUMBER;
    }
    case JSON_STRING:
        return SCHEMA_STRING;
    case JSON_ARRAY:
        return SCHEMA_ARRAY;
    default:
        return SCHEMA_OBJECT;
    }
}

/* Beside constants only `type` is looked at; what else would be about them is refused. */
static int constants(struct schema_writer *w, const json_t *s, struct buf *out)
{
    const json_t *one = json_object_get(s, "const"), *list = json_object_get(s, "enum");
    unsigned types = 127;
    size_t n = 0;
    int rc = json_object_get(s, "type") ? schema_types(w, s, &types) : 0;
    if (rc)
        return rc;
    if (list && !json_is_array(list))
        return schema_fail(w, ERR_FORMAT, "\"enum\" is no array");
    for (size_t i = 0; i < (list ? json_array_size(list) : 1); i++) {
        const json_t *v = list ? json_array_get(list, i) : one;
        if ((one && !json_equal(v, one)) || !(type_of(v) & types))
            continue;
        buf_append_str(out, n++ ? " | " : "");
        schema_value(v, out);
    }
    if (n == 0)
        return schema_fail(w, ERR_FORMAT, "no constant is valid here");
    for (size_t i = 0; i < N_KEYWORDS; i++)
        if (keywords[i].types && json_object_get(s, keywords[i].key) &&
            (!json_object_get(s, "type") || (keywords[i].types & types)))
            return schema_fail(w, ERR_UNSUPPORTED, "\"%s\" beside \"enum\" or \"const\"",
                               keywords[i].key);
    return 0;
}

/* ---- arrays ---- */

/* Items after the first `n` ones, which stand in *prefix. */
struct items {
    const json_t *prefix;
    size_t n;
    const json_t *rest; /* NULL: any; false: none */
    uint64_t least, most;
};

static int read_items(struct schema_writer *w, const json_t *s, struct items *x)
{
    const json_t *items = json_object_get(s, "items");
    *x = (struct items){json_object_get(s, "prefixItems"), 0, items, 0, UINT32_MAX};
    if (json_is_array(items)) { /* draft-07 */
        x->prefix = items;
        x->rest = json_object_get(s, "additionalItems");
    }
    if (x->prefix && !json_is_array(x->prefix))
        return schema_fail(w, ERR_FORMAT, "\"prefixItems\" is no array");
    x->n = json_array_size(x->prefix);
    int rc = schema_count(w, s, "minItems", &x->least);
    if (!rc)
        rc = schema_count(w, s, "maxItems", &x->most);
    if (rc)
        return rc;
    if (json_is_false(x->rest) && x->most > x->n)
        x->most = x->n;
    if (x->n > x->most)
        x->n = (size_t)x->most;
    if (x->least > x->most)
        return schema_fail(w, ERR_FORMAT, "no array has at least %llu and at most %llu items",
                           (unsigned long long)x->least, (unsigned long long)x->most);
    if (x->least > GBNF_MAX_REPEAT || (x->most > GBNF_MAX_REPEAT && x->most != UINT32_MAX))
        return schema_fail(w, ERR_UNSUPPORTED, "more than %d items", GBNF_MAX_REPEAT);
    return 0;
}

static int item_rule(struct schema_writer *w, const json_t *item, const char *where,
                     unsigned *number)
{
    size_t mark = schema_enter(w, where);
    int rc = schema_rule(w, item, number);
    schema_leave(w, mark);
    return rc;
}

/* Items of `rest`, of which `before` ones stand already: "," r1 repeated. */
static int rest_items(struct schema_writer *w, const struct items *x, uint64_t before,
                      struct buf *out)
{
    char name[32] = "value";
    unsigned number = 0;
    if (x->rest && !json_is_true(x->rest)) {
        int rc = item_rule(w, x->rest, "items", &number);
        if (rc)
            return rc;
        snprintf(name, sizeof name, "r%u", number);
    }
    uint64_t least = x->least > before ? x->least - before : 0, most = x->most - before;
    if (before == 0) { /* the first has no comma */
        buf_printf(out, "(%s", name);
        least -= least > 0;
        most--;
    }
    if (x->most == UINT32_MAX)
        buf_printf(out, " (\",\" ws %s){%llu,}", name, (unsigned long long)least);
    else
        buf_printf(out, " (\",\" ws %s){%llu,%llu}", name, (unsigned long long)least,
                   (unsigned long long)most);
    if (before == 0)
        buf_printf(out, " ws)%s", x->least == 0 ? "?" : "");
    return 0;
}

static int schema_array(struct schema_writer *w, const json_t *s, struct buf *out)
{
    struct items x;
    int rc = read_items(w, s, &x);
    size_t open = 0; /* parentheses: what follows an item that may be missing */
    buf_append_str(out, "\"[\" ws ");
    for (size_t i = 0; i < x.n && !rc; i++) {
        char where[48];
        unsigned number = 0;
        snprintf(where, sizeof where, "prefixItems/%zu", i);
        rc = item_rule(w, json_array_get(x.prefix, i), where, &number);
        if (i >= x.least && open++ >= 100)
            rc = schema_fail(w, ERR_UNSUPPORTED, "more than 100 optional items in a row");
        buf_printf(out, "%s%s r%u", i >= x.least ? "(" : "", i ? "\",\" ws" : "", number);
    }
    if (!rc && x.n < x.most)
        rc = rest_items(w, &x, x.n, out);
    while (open-- > 0)
        buf_append_str(out, ")?");
    buf_append_str(out, x.n ? " ws \"]\"" : " \"]\"");
    return rc;
}

/* ---- branches ---- */

/* What stands beside a keyword; `true` where that is nothing but comments. */
static const json_t *beside(struct schema_writer *w, const json_t *s, const char *key)
{
    json_t *rest = json_copy((json_t *)s), *v;
    const char *other;
    bool plain = true;
    json_object_del(rest, key);
    json_object_foreach(rest, other, v) plain = plain && schema_is_annotation(other);
    json_array_append_new(w->kept, rest);
    return plain ? json_true() : rest;
}

/* Makes a property with a constant required, by which branches of oneOf are told apart. */
static int require(struct schema_writer *w, const char *name, const json_t **branch)
{
    json_t *s = json_pack("{s:[s]}", "required", name);
    json_array_append_new(w->kept, s);
    return schema_merge(w, *branch, s, branch);
}

static bool constants_differ(const json_t *a, const json_t *b)
{
    const json_t *x = json_object_get(a, "const"), *y = json_object_get(b, "const");
    const json_t *p = json_object_get(a, "enum"), *q = json_object_get(b, "enum");
    size_t n = x ? 1 : json_array_size(p), m = y ? 1 : json_array_size(q);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m; k++)
            if (json_equal(x ? x : json_array_get(p, i), y ? y : json_array_get(q, k)))
                return false;
    return n > 0 && m > 0;
}

/* The property that has different constants in each branch, or NULL. */
static const char *discriminator(const json_t *const *branch, size_t n)
{
    const char *name;
    json_t *v;
    json_object_foreach(json_object_get(branch[0], "properties"), name, v)
    {
        bool all = true;
        for (size_t i = 0; i < n && all; i++)
            for (size_t k = 0; k < i && all; k++)
                all = constants_differ(
                    json_object_get(json_object_get(branch[i], "properties"), name),
                    json_object_get(json_object_get(branch[k], "properties"), name));
        if (all)
            return name;
    }
    return NULL;
}

/* oneOf: no text may be valid under two branches. */
static int tell_apart(struct schema_writer *w, const json_t **branch, size_t n)
{
    const char *name = n > 1 ? discriminator(branch, n) : NULL;
    int rc = 0;
    for (size_t i = 0; i < n && name && !rc; i++)
        rc = require(w, name, &branch[i]);
    for (size_t i = 0; i < n && !name && !rc; i++) {
        for (size_t k = 0; k < i && !rc; k++) {
            unsigned a = 127, b = 127;
            rc = schema_types(w, branch[i], &a);
            if (!rc)
                rc = schema_types(w, branch[k], &b);
            bool one = json_object_get(branch[i], "type") && json_object_get(branch[k], "type");
            a |= a & SCHEMA_NUMBER ? SCHEMA_INTEGER : 0;
            b |= b & SCHEMA_NUMBER ? SCHEMA_INTEGER : 0;
            if (!rc && !(one && !(a & b)) && !constants_differ(branch[i], branch[k]))
                rc = schema_fail(w, ERR_UNSUPPORTED,
                                 "\"oneOf\": branches %zu and %zu may both be valid; use anyOf, or "
                                 "a required property with different constants",
                                 k + 1, i + 1);
        }
    }
    return rc;
}

#define MAX_BRANCHES 500

static int write_branches(struct schema_writer *w, const json_t *const *branch, size_t n,
                          const char *key, struct buf *out)
{
    size_t mark = schema_enter(w, key);
    for (size_t i = 0; i < n; i++) {
        unsigned number = 0;
        char where[32];
        snprintf(where, sizeof where, "%zu", i);
        int rc = item_rule(w, branch[i], where, &number);
        if (rc)
            return rc;
        buf_printf(out, "%sr%u", i ? " | " : "", number);
    }
    schema_leave(w, mark);
    return n ? 0 : schema_fail(w, ERR_FORMAT, "nothing can be valid here");
}

static int branches(struct schema_writer *w, const json_t *s, const char *key, struct buf *out)
{
    const json_t *list = json_object_get(s, key), *rest = beside(w, s, key);
    size_t n = 0, n_list = json_array_size(list);
    if (n_list == 0 || n_list > MAX_BRANCHES)
        return schema_fail(w, ERR_FORMAT, "\"%s\" is no array of 1 to %d schemas", key,
                           MAX_BRANCHES);
    const json_t **branch = mem_alloc(n_list * sizeof *branch);
    int rc = 0;
    for (size_t i = 0; i < n_list && !rc; i++) {
        rc = schema_merge(w, rest, json_array_get(list, i), &branch[n]);
        n += !rc && !json_is_false(branch[n]);
    }
    if (!rc && strcmp(key, "oneOf") == 0)
        rc = tell_apart(w, branch, n);
    if (!rc)
        rc = write_branches(w, branch, n, key, out);
    free((void *)branch);
    return rc;
}

/* All of allOf in one. */
static int combined(struct schema_writer *w, const json_t *s, const json_t **both)
{
    const json_t *list = json_object_get(s, "allOf");
    if (!json_is_array(list))
        return schema_fail(w, ERR_FORMAT, "\"allOf\" is no array");
    *both = beside(w, s, "allOf");
    for (size_t i = 0; i < json_array_size(list); i++) {
        int rc = schema_merge(w, *both, json_array_get(list, i), both);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the walk ---- */

static int by_types(struct schema_writer *w, const json_t *s, struct buf *out)
{
    unsigned types = 0;
    int rc = schema_types(w, s, &types);
    size_t n = 0;
    for (unsigned t = 1; t <= SCHEMA_OBJECT && !rc; t <<= 1) {
        if (!(types & t))
            continue;
        buf_append_str(out, n++ ? " | " : "");
        switch (t) {
        case SCHEMA_NULL:
            buf_append_str(out, "\"null\"");
            break;
        case SCHEMA_BOOLEAN:
            buf_append_str(out, "boolean");
            break;
        case SCHEMA_INTEGER:
        case SCHEMA_NUMBER:
            rc = schema_number(w, s, t == SCHEMA_INTEGER, out);
            break;
        case SCHEMA_STRING:
            rc = schema_string(w, s, out);
            break;
        case SCHEMA_ARRAY:
            rc = schema_array(w, s, out);
            break;
        default:
            rc = schema_object(w, s, out);
        }
    }
    if (!rc && n == 0)
        rc = schema_fail(w, ERR_FORMAT, "\"type\" allows nothing");
    return rc;
}

static int body(struct schema_writer *w, const json_t *s, struct buf *out)
{
    unsigned number = 0;
    int rc = 0;
    if (json_is_true(s)) {
        buf_append_str(out, "value");
        return 0;
    }
    if (json_is_false(s))
        return schema_fail(w, ERR_FORMAT, "nothing can be valid here");
    if (!json_is_object(s))
        return schema_fail(w, ERR_FORMAT, "a schema is an object, true or false");
    rc = check_keywords(w, s);
    if (rc)
        return rc;
    if (json_object_get(s, "$ref") || json_object_get(s, "allOf")) {
        const json_t *plain = s;
        rc = json_object_get(s, "$ref") ? schema_resolve(w, s, &plain) : combined(w, s, &plain);
        if (!rc)
            rc = schema_rule(w, plain, &number);
        buf_printf(out, "r%u", number);
        return rc;
    }
    if (json_object_get(s, "anyOf"))
        return branches(w, s, "anyOf", out);
    if (json_object_get(s, "oneOf"))
        return branches(w, s, "oneOf", out);
    if (json_object_get(s, "enum") || json_object_get(s, "const"))
        return constants(w, s, out);
    return by_types(w, s, out);
}

int schema_rule(struct schema_writer *w, const json_t *s, unsigned *number)
{
    char *key = json_dumps(s, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!key)
        return schema_fail(w, ERR_FORMAT, "not a schema");
    size_t n_key = strlen(key);
    void *known = map_get(&w->rules, key, n_key);
    if (known) {
        *number = (unsigned)(uintptr_t)known;
        free(key);
        return 0;
    }
    int rc = schema_new_rule(w, number);
    map_put(&w->rules, key, n_key,
            (void *)(uintptr_t)*number); /* NOLINT(performance-no-int-to-ptr) */
    free(key);
    if (rc)
        return rc;
    if (++w->depth > JSON_SCHEMA_MAX_DEPTH)
        return schema_fail(w, ERR_FORMAT, "nested more than %d levels deep", JSON_SCHEMA_MAX_DEPTH);
    struct buf text;
    buf_init(&text, GBNF_MAX_TEXT);
    rc = body(w, s, &text);
    buf_printf(w->out, "r%u ::= %s\n", *number, buf_str(&text));
    buf_release(&text);
    w->depth--;
    return rc;
}

int json_schema_to_gbnf(const json_t *schema, struct buf *out, struct err *e)
{
    struct schema_writer w = {
        .root = schema, .out = out, .kept = json_array(), .path = "#", .e = e};
    unsigned number = 0;
    int rc = schema_rule(&w, schema, &number);
    if (!rc) {
        buf_printf(out, "root ::= r%u\n", number);
        buf_append_str(out, builtin_rules);
        schema_string_rules(&w, out);
        if (buf_failed(out))
            rc = err_set(e, ERR_FORMAT, "JSON schema: its grammar is too large; simplify it");
    }
    map_release(&w.rules);
    json_decref(w.kept);
    return rc;
}

int grammar_from_json_schema(struct grammar **g, const json_t *schema, struct err *e)
{
    struct buf text;
    *g = NULL;
    buf_init(&text, GBNF_MAX_TEXT);
    int rc = json_schema_to_gbnf(schema, &text, e);
    if (!rc) {
        rc = grammar_from_gbnf(g, buf_str(&text), text.len, e);
        if (rc)
            err_prefix(e, "JSON schema");
    }
    buf_release(&text);
    return rc;
}
