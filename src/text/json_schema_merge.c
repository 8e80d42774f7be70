/* json_schema_merge.c - see json_schema_writer.h: $ref and allOf become plain schemas. */
#include "text/json_schema_writer.h"

#include "base/err.h"
#include "text/json_schema.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HOPS    64   /* from reference to reference */
#define MAX_MERGES  5000 /* schemas made; bounds what a few nested allOf could grow to */
#define MAX_PRODUCT 256  /* branches that two anyOf may have together */

bool schema_is_annotation(const char *key)
{
    static const char *const keys[] = {"title",
                                       "description",
                                       "default",
                                       "examples",
                                       "example",
                                       "$schema",
                                       "$id",
                                       "id",
                                       "$comment",
                                       "$anchor",
                                       "deprecated",
                                       "readOnly",
                                       "writeOnly",
                                       "$defs",
                                       "definitions",
                                       "discriminator",
                                       "contentEncoding",
                                       "contentMediaType",
                                       "$vocabulary"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return strncmp(key, "x-", 2) == 0;
}

static int keep(struct schema_writer *w, json_t *made)
{
    if (json_array_size(w->kept) >= MAX_MERGES) {
        json_decref(made);
        return schema_fail(w, ERR_FORMAT, "the schema grows too large when its parts are combined");
    }
    json_array_append_new(w->kept, made);
    return 0;
}

/* One step of a JSON pointer, which ends at `end`: unescapes ~0, ~1 and %XX. */
static const json_t *step(const json_t *at, const char *token, const char *end)
{
    char key[256];
    size_t n = 0;
    for (const char *p = token; p < end; p++) {
        char c = *p;
        if (n + 1 >= sizeof key)
            return NULL;
        if (c == '~' && p + 1 < end && (p[1] == '0' || p[1] == '1')) {
            c = *++p == '0' ? '~' : '/';
        } else if (c == '%' && end - p > 2) {
            char hex[3] = {p[1], p[2], 0}, *stop;
            c = (char)strtoul(hex, &stop, 16);
            if (*stop || !c)
                return NULL;
            p += 2;
        }
        key[n++] = c;
    }
    key[n] = '\0';
    if (json_is_object(at))
        return json_object_get(at, key);
    char *stop;
    unsigned long i = strtoul(key, &stop, 10);
    return *stop || n == 0 ? NULL : json_array_get(at, i);
}

static const json_t *find_ref(struct schema_writer *w, const char *ref)
{
    const json_t *at = w->root;
    if (ref[0] != '#' || (ref[1] && ref[1] != '/'))
        return NULL;
    for (const char *p = ref + 1; at && *p == '/';) {
        const char *end = p + 1 + strcspn(p + 1, "/");
        at = step(at, p + 1, end);
        p = end;
    }
    return at;
}

static json_t *without(const json_t *s, const char *key)
{
    json_t *copy = json_copy((json_t *)s);
    json_object_del(copy, key);
    return copy;
}

static bool only_comments(const json_t *s)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)s, key, v) if (!schema_is_annotation(key)) return false;
    return true;
}

int schema_resolve(struct schema_writer *w, const json_t *s, const json_t **target)
{
    for (int hops = 0; json_object_get(s, "$ref"); hops++) {
        const char *ref = json_string_value(json_object_get(s, "$ref"));
        const json_t *to = ref ? find_ref(w, ref) : NULL;
        if (hops == MAX_HOPS)
            return schema_fail(w, ERR_FORMAT, "$ref goes round in circles");
        if (!ref)
            return schema_fail(w, ERR_FORMAT, "$ref is no string");
        if (!to && ref[0] != '#')
            return schema_fail(w, ERR_UNSUPPORTED,
                               "$ref \"%s\" points outside of the schema; copy it into $defs", ref);
        if (!to)
            return schema_fail(w, ERR_FORMAT, "$ref \"%s\" points to nothing", ref);
        json_t *rest = without(s, "$ref");
        int rc = keep(w, rest);
        if (rc)
            return rc;
        s = to;
        if (only_comments(rest))
            continue;
        if (++w->depth > JSON_SCHEMA_MAX_DEPTH)
            return schema_fail(w, ERR_FORMAT, "references nested too deeply");
        rc = schema_merge(w, rest, to, &s);
        w->depth--;
        if (rc)
            return rc;
    }
    *target = s;
    return 0;
}

static json_t *both_of(const json_t *a, const json_t *b)
{
    if (json_equal(a, b) || json_is_true(a) || json_is_false(b))
        return json_incref((json_t *)b);
    if (json_is_true(b) || json_is_false(a))
        return json_incref((json_t *)a);
    return json_pack("{s:[O,O]}", "allOf", (json_t *)a, (json_t *)b);
}

static json_t *intersect(const json_t *a, const json_t *b)
{
    json_t *out = json_array(), *x, *y;
    size_t i, k;
    json_array_foreach(a, i, x) json_array_foreach(b, k, y) if (json_equal(x, y))
        json_array_append(out, x);
    return out;
}

static json_t *as_list(const json_t *v)
{
    return json_is_array(v) ? json_incref((json_t *)v) : json_pack("[O]", (json_t *)v);
}

/* Types: a whole number is a number. */
static json_t *common_types(const json_t *a, const json_t *b)
{
    json_t *x = as_list(a), *y = as_list(b), *out = intersect(x, y), *v;
    size_t i;
    for (int turn = 0; turn < 2; turn++) {
        bool number = false;
        json_array_foreach(turn ? x : y, i, v)
            number |= json_is_string(v) && strcmp(json_string_value(v), "number") == 0;
        json_array_foreach(turn ? y : x, i, v) if (number && json_is_string(v) &&
                                                   strcmp(json_string_value(v), "integer") == 0)
            json_array_append(out, v);
    }
    json_decref(x);
    json_decref(y);
    return out;
}

static json_t *join(const json_t *a, const json_t *b)
{
    json_t *out = json_copy((json_t *)a);
    json_array_extend(out, (json_t *)b);
    return out;
}

/* Every branch of one with every branch of the other. */
static json_t *product(const json_t *a, const json_t *b)
{
    json_t *out = json_array(), *x, *y;
    size_t i, k;
    if (json_array_size(a) * json_array_size(b) > MAX_PRODUCT) {
        json_decref(out);
        return NULL;
    }
    json_array_foreach(a, i, x) json_array_foreach(b, k, y)
        json_array_append_new(out, both_of(x, y));
    return out;
}

/* A property that only `from` lists also obeys the other's additionalProperties. */
static void add_properties(json_t *out, const json_t *from, const json_t *other)
{
    const json_t *listed = json_object_get(other, "properties");
    const json_t *extra = json_object_get(other, "additionalProperties");
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(from, "properties"), key, v)
    {
        const json_t *twin = json_object_get(listed, key);
        if (json_object_get(out, key))
            continue;
        if (twin)
            json_object_set_new(out, key, both_of(v, twin));
        else if (json_is_false(extra))
            json_object_set_new(out, key, json_false());
        else if (extra)
            json_object_set_new(out, key, both_of(v, extra));
        else
            json_object_set(out, key, v);
    }
}

/* The value of a keyword that both have, or NULL where the two cannot be put together. */
static json_t *combine(const char *key, const json_t *a, const json_t *b)
{
    static const char *const least[] = {"minimum", "exclusiveMinimum", "minLength", "minItems",
                                        "minProperties"};
    static const char *const most[] = {"maximum", "exclusiveMaximum", "maxLength", "maxItems",
                                       "maxProperties"};
    for (size_t i = 0; i < 5; i++) {
        bool up = strcmp(key, least[i]) == 0, down = strcmp(key, most[i]) == 0;
        bool first = json_number_value(a) >= json_number_value(b);
        if ((up || down) && json_is_number(a) && json_is_number(b))
            return json_incref((json_t *)(first == up ? a : b));
    }
    if (json_equal(a, b) || schema_is_annotation(key))
        return json_incref((json_t *)a);
    if (strcmp(key, "type") == 0)
        return common_types(a, b);
    if (strcmp(key, "required") == 0 || strcmp(key, "allOf") == 0)
        return join(a, b);
    if (strcmp(key, "enum") == 0)
        return intersect(a, b);
    if (strcmp(key, "anyOf") == 0)
        return product(a, b);
    if (strcmp(key, "items") == 0 && !json_is_array(a) && !json_is_array(b))
        return both_of(a, b);
    if (strcmp(key, "additionalProperties") == 0)
        return both_of(a, b);
    return NULL;
}

/* Nothing can be valid: empty lists of types or values, or two different constants. */
static bool contradicts(const json_t *a, const json_t *b, const json_t *both)
{
    const json_t *x = json_object_get(a, "const"), *y = json_object_get(b, "const");
    const json_t *types = json_object_get(both, "type"), *values = json_object_get(both, "enum");
    return (x && y && !json_equal(x, y)) || (json_is_array(types) && json_array_size(types) == 0) ||
           (json_is_array(values) && json_array_size(values) == 0);
}

/* `items` means what follows the `prefixItems` beside it, so lists of both kinds cannot be mixed.
 */
static bool mixes_items(const json_t *a, const json_t *b)
{
    const json_t *x = json_object_get(a, "items"), *y = json_object_get(b, "items");
    bool a_lists = json_object_get(a, "prefixItems") || json_is_array(x);
    bool b_lists = json_object_get(b, "prefixItems") || json_is_array(y);
    return (a_lists && (y || b_lists)) || (b_lists && (x || a_lists));
}

static int merge_objects(struct schema_writer *w, const json_t *a, const json_t *b,
                         const json_t **both)
{
    json_t *out = json_copy((json_t *)a), *v;
    const char *key;
    int rc = keep(w, out);
    if (rc)
        return rc;
    if (mixes_items(a, b))
        return schema_fail(w, ERR_UNSUPPORTED, "\"prefixItems\" is combined with other items");
    json_object_foreach((json_t *)b, key, v)
    {
        const json_t *mine = json_object_get(a, key);
        if (strcmp(key, "properties") == 0 || strcmp(key, "const") == 0) {
            if (!mine)
                json_object_set(out, key, v);
            continue;
        }
        json_t *value = mine ? combine(key, mine, v) : json_incref(v);
        if (!value)
            return schema_fail(
                w, ERR_UNSUPPORTED,
                "\"%s\" stands twice in what is combined here, and the two cannot be "
                "put together",
                key);
        json_object_set_new(out, key, value);
    }
    if (json_object_get(out, "properties")) {
        json_t *properties = json_object();
        add_properties(properties, a, b);
        add_properties(properties, b, a);
        json_object_set_new(out, "properties", properties);
    }
    *both = contradicts(a, b, out) ? json_false() : out;
    return 0;
}

int schema_merge(struct schema_writer *w, const json_t *a, const json_t *b, const json_t **both)
{
    if (++w->depth > JSON_SCHEMA_MAX_DEPTH)
        return schema_fail(w, ERR_FORMAT, "schemas are combined too deeply");
    int rc = schema_resolve(w, a, &a);
    if (!rc)
        rc = schema_resolve(w, b, &b);
    w->depth--;
    if (rc)
        return rc;
    if (json_is_true(a) || json_is_false(b)) {
        *both = b;
        return 0;
    }
    if (json_is_true(b) || json_is_false(a)) {
        *both = a;
        return 0;
    }
    if (!json_is_object(a) || !json_is_object(b))
        return schema_fail(w, ERR_FORMAT, "a schema is an object, true or false");
    return merge_objects(w, a, b, both);
}
