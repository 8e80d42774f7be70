/* json.c - see json.h. */
#include "format/json.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Counts nesting and values outside strings before jansson allocates for them: a value costs it up
 * to a hundred times its bytes. Unbalanced text passes; the parser reports it better. */
static int check_limits(const char *name, const char *s, size_t n, struct err *e)
{
    size_t depth = 0, values = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        values += c == ',' || c == '[' || c == '{';
        depth += c == '[' || c == '{';
        depth -= (c == ']' || c == '}') && depth > 0;
        if (depth > JSON_DOC_MAX_DEPTH)
            return err_set(e, ERR_FORMAT, "%s: JSON nested deeper than %d levels at byte %zu", name,
                           JSON_DOC_MAX_DEPTH, i);
        if (values > JSON_DOC_MAX_VALUES)
            return err_set(e, ERR_FORMAT, "%s: JSON with more than %zu values", name,
                           JSON_DOC_MAX_VALUES);
    }
    return 0;
}

int json_doc_parse(struct json_doc *d, const char *name, const void *text, size_t n, struct err *e)
{
    json_error_t je;
    *d = (struct json_doc){0};
    int rc = check_limits(name, text, n, e);
    if (rc)
        return rc;
    d->root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (!d->root)
        return json_error_code(&je) == json_error_out_of_memory
                   ? err_set(e, ERR_NOMEM, "%s: not enough memory for its JSON", name)
                   : err_set(e, ERR_FORMAT, "%s: line %d, column %d: %s", name, je.line, je.column,
                             je.text);
    d->name = mem_strdup(name);
    return 0;
}

int json_doc_read(struct json_doc *d, const char *path, size_t max, struct err *e)
{
    char *text;
    size_t n;
    *d = (struct json_doc){0};
    int rc = file_read(path, max, &text, &n, e);
    if (!rc)
        rc = json_doc_parse(d, path, text, n, e);
    free(text);
    return rc;
}

void json_doc_release(struct json_doc *d)
{
    json_decref(d->root);
    free(d->name);
    *d = (struct json_doc){0};
}

const struct json_t *json_doc_at(const struct json_doc *d, const char *path)
{
    const json_t *v = d->root;
    while (v && *path) {
        size_t n = strcspn(path, ".");
        if (json_is_array(v)) {
            char *end;
            unsigned long i = strtoul(path, &end, 10);
            v = end == path + n && n ? json_array_get(v, i) : NULL;
        } else {
            char *key = mem_strndup(path, n);
            v = json_object_get(v, key);
            free(key);
        }
        path += n + (path[n] == '.');
    }
    return json_is_null(v) ? NULL : v;
}

static const char *kind(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",  [JSON_INTEGER] = "another number",
        [JSON_REAL] = "a real",      [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
    return names[json_typeof(v)];
}

static int wrong(const struct json_doc *d, const char *path, const json_t *v, const char *wanted,
                 struct err *e)
{
    return err_set(e, ERR_FORMAT, "%s: %s: wanted %s, found %s", d->name, path, wanted, kind(v));
}

/* Integers written as reals ("77.0") count. */
static bool whole(const json_t *v, int64_t least, int64_t most, int64_t *out)
{
    double x = json_number_value(v);
    if (json_is_real(v)) {
        if (!(fabs(x) < 9e15 && x == floor(x)))
            return false;
        *out = (int64_t)x;
    } else if (json_is_integer(v)) {
        *out = json_integer_value(v);
    } else {
        return false;
    }
    return *out >= least && *out <= most;
}

static int wrong_int(const struct json_doc *d, const char *path, const json_t *v, int64_t least,
                     int64_t most, struct err *e)
{
    if (json_is_integer(v))
        return err_set(e, ERR_FORMAT,
                       "%s: %s: %" JSON_INTEGER_FORMAT " is not from %" PRId64 " to %" PRId64,
                       d->name, path, json_integer_value(v), least, most);
    return wrong(d, path, v, "an integer", e);
}

int json_doc_int(const struct json_doc *d, const char *path, int64_t least, int64_t most,
                 int64_t *v, struct err *e)
{
    const json_t *j = json_doc_at(d, path);
    int64_t x;
    if (!j)
        return 0;
    if (!whole(j, least, most, &x))
        return wrong_int(d, path, j, least, most, e);
    *v = x;
    return 0;
}

int json_doc_num(const struct json_doc *d, const char *path, double *v, struct err *e)
{
    const json_t *j = json_doc_at(d, path);
    if (!j)
        return 0;
    if (!json_is_number(j))
        return wrong(d, path, j, "a number", e);
    *v = json_number_value(j);
    return 0;
}

int json_doc_bool(const struct json_doc *d, const char *path, bool *v, struct err *e)
{
    const json_t *j = json_doc_at(d, path);
    if (!j)
        return 0;
    if (!json_is_boolean(j))
        return wrong(d, path, j, "true or false", e);
    *v = json_is_true(j);
    return 0;
}

int json_doc_str(const struct json_doc *d, const char *path, const char **v, struct err *e)
{
    const json_t *j = json_doc_at(d, path);
    if (!j)
        return 0;
    if (!json_is_string(j))
        return wrong(d, path, j, "a string", e);
    *v = json_string_value(j);
    return 0;
}

int json_doc_ints(const struct json_doc *d, const char *path, struct json_ints *out, struct err *e)
{
    const json_t *j = json_doc_at(d, path);
    if (!j)
        return 0;
    size_t n = json_is_array(j) ? json_array_size(j) : 1;
    if (n > out->max)
        return err_set(e, ERR_FORMAT, "%s: %s: %zu values, at most %zu are possible", d->name, path,
                       n, out->max);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_is_array(j) ? json_array_get(j, i) : j;
        if (!whole(v, out->least, out->most, &out->v[i]))
            return wrong_int(d, path, v, out->least, out->most, e);
    }
    out->n = n;
    return 0;
}
