/* json_schema_object.c - see json_schema_writer.h: objects, and names that are not taken. */
#include "text/json_schema_writer.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/gbnf.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* One property, as it is written: "r3" for its value. */
struct property {
    const char *name;
    bool required;
    unsigned rule;
};

struct object {
    struct property *at; /* owned */
    size_t n;
    bool open;      /* other properties may follow */
    char key[32];   /* their name's rule */
    char value[32]; /* their value's rule */
    uint64_t least, most;
};

static bool is_required(const json_t *s, const char *name)
{
    const json_t *list = json_object_get(s, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *x = json_string_value(json_array_get(list, i));
        if (x && strcmp(x, name) == 0)
            return true;
    }
    return false;
}

static int add_property(struct schema_writer *w, const json_t *s, struct object *o,
                        const char *name, const json_t *value)
{
    bool required = is_required(s, name);
    if (json_is_false(value) && required)
        return schema_fail(w, ERR_FORMAT, "the property \"%s\" is required but never valid", name);
    if (json_is_false(value))
        return 0;
    struct property *p = &o->at[o->n++];
    *p = (struct property){name, required, 0};
    size_t mark = schema_enter(w, "properties");
    schema_enter(w, name);
    int rc = schema_rule(w, value, &p->rule);
    schema_leave(w, mark);
    return rc;
}

/* The listed properties, then those that are only required. */
static int add_properties(struct schema_writer *w, const json_t *s, struct object *o)
{
    const json_t *listed = json_object_get(s, "properties"),
                 *names = json_object_get(s, "required");
    const json_t *others = json_object_get(s, "additionalProperties");
    const char *name;
    json_t *v;
    int rc = 0;
    if ((listed && !json_is_object(listed)) || (names && !json_is_array(names)))
        return schema_fail(w, ERR_FORMAT, "\"properties\" is no object or \"required\" no array");
    o->at = mem_alloc((json_object_size(listed) + json_array_size(names) + 1) * sizeof *o->at);
    json_object_foreach((json_t *)listed, name, v)
    {
        rc = add_property(w, s, o, name, v);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < json_array_size(names); i++) {
        name = json_string_value(json_array_get(names, i));
        if (!name)
            return schema_fail(w, ERR_FORMAT, "\"required\" holds something that is no string");
        bool twice = json_object_get(listed, name) != NULL;
        for (size_t k = 0; k < o->n; k++)
            twice = twice || strcmp(o->at[k].name, name) == 0;
        if (!twice)
            rc = add_property(w, s, o, name, others ? others : json_true());
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- names that are not taken ---- */

/* A name as the units that JSON writes it in: characters, or escapes (the letter, negative). */
struct units {
    int32_t *at;
    size_t n;
};

static int32_t unit_of(uint32_t cp)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *p = cp < 0x80 && cp > 0 ? strchr(from, (int)cp) : NULL;
    return p ? -(int32_t)to[p - from] : (int32_t)cp;
}

static int by_units(const void *a, const void *b)
{
    const struct units *x = a, *y = b;
    for (size_t i = 0; i < x->n && i < y->n; i++)
        if (x->at[i] != y->at[i])
            return x->at[i] < y->at[i] ? -1 : 1;
    return (x->n > y->n) - (x->n < y->n);
}

static void put_class_char(struct buf *out, int32_t cp)
{
    buf_printf(out, "\\U%08x", (unsigned)cp);
}

/* Units that no taken name continues with, after which everything is free. */
static void put_others(struct buf *out, const struct units *names, size_t n, size_t depth)
{
    buf_append_str(out, "([^\\x22\\\\\\x00-\\x1f");
    for (size_t i = 0; i < n; i++)
        if (names[i].n > depth && names[i].at[depth] > 0)
            put_class_char(out, names[i].at[depth]);
    buf_append_str(out, "]");
    char escapes[8] = "\"\\bfnrt";
    for (size_t i = 0; i < n; i++) {
        char *p = names[i].n > depth && names[i].at[depth] < 0
                      ? strchr(escapes, (int)-names[i].at[depth])
                      : NULL;
        if (p)
            memmove(p, p + 1, strlen(p));
    }
    for (char *p = escapes; *p; p++)
        buf_printf(out, " | \"\\\\%s%c\"", *p == '"' || *p == '\\' ? "\\" : "", *p);
    buf_append_str(out, ") free* \"\\\"\"");
}

/* A rule for all endings but those of the sorted names, which have `depth` units in common. */
static int other_endings(struct schema_writer *w, const struct units *names, size_t n, size_t depth,
                         unsigned *number)
{
    struct buf text;
    int rc = schema_new_rule(w, number);
    if (rc)
        return rc;
    buf_init(&text, GBNF_MAX_TEXT);
    if (names[0].n > depth) /* else this is a name */
        buf_append_str(&text, "\"\\\"\" | ");
    put_others(&text, names, n, depth);
    for (size_t i = names[0].n == depth, end; i < n && !rc; i = end) {
        int32_t unit = names[i].at[depth];
        unsigned next;
        for (end = i + 1; end < n && names[end].at[depth] == unit; end++)
            continue;
        rc = other_endings(w, names + i, end - i, depth + 1, &next);
        buf_append_str(&text, " | ");
        if (unit < 0) {
            buf_printf(&text, "\"\\\\%s%c\"", unit == -'"' || unit == -'\\' ? "\\" : "",
                       (char)-unit);
        } else {
            buf_append_str(&text, "[");
            put_class_char(&text, unit);
            buf_append_str(&text, "]");
        }
        buf_printf(&text, " r%u", next);
    }
    buf_printf(w->out, "r%u ::= %s\n", *number, buf_str(&text));
    buf_release(&text);
    return rc;
}

#define MAX_NAME                                                                     \
    256 /* units of a property's name beside additional properties; bounds recursion \
         */

/* The rule for the names of other properties: each has one spelling, so that none of the listed
 * names can be written in another way. */
static int other_names(struct schema_writer *w, const json_t *s, struct object *o)
{
    const json_t *listed = json_object_get(s, "properties");
    size_t n = 0, max = json_object_size(listed) + o->n;
    const char *name;
    json_t *v;
    struct units *names = mem_alloc((max + 1) * sizeof *names);
    const char **taken = mem_alloc((max + 1) * sizeof *taken);
    int rc = 0;
    json_object_foreach((json_t *)listed, name, v)
        taken[n++] = name; /* also those that are never valid */
    for (size_t i = 0; i < o->n; i++)
        if (!json_object_get(listed, o->at[i].name))
            taken[n++] = o->at[i].name;
    for (size_t i = 0; i < n && !rc; i++) {
        size_t len = strlen(taken[i]), used;
        names[i].at = mem_alloc((len + 1) * sizeof *names[i].at);
        for (size_t at = 0; at < len; at += used)
            names[i].at[names[i].n++] = unit_of(utf8_decode(taken[i] + at, len - at, &used));
        if (names[i].n > MAX_NAME)
            rc = schema_fail(w, ERR_UNSUPPORTED,
                             "a property's name of more than %d characters beside additional ones",
                             MAX_NAME);
    }
    unsigned rule = 0;
    if (!rc && n > 0) {
        qsort(names, n, sizeof *names, by_units);
        rc = other_endings(w, names, n, 0, &rule);
    }
    snprintf(o->key, sizeof o->key, n ? "\"\\\"\" r%u" : "string", rule);
    for (size_t i = 0; i < n; i++)
        free(names[i].at);
    free(names);
    free((void *)taken);
    return rc;
}

/* ---- the object ---- */

static int read_patterns(struct schema_writer *w, const json_t *s, struct object *o)
{
    const json_t *list = json_object_get(s, "patternProperties");
    const json_t *others = json_object_get(s, "additionalProperties");
    void *only = json_object_iter((json_t *)list);
    unsigned key, value;
    if (json_object_size(list) != 1 || o->n > 0 || (others && !json_is_false(others)))
        return schema_fail(w, ERR_UNSUPPORTED,
                           "\"patternProperties\" with more than one pattern, or beside properties "
                           "or additionalProperties");
    size_t mark = schema_enter(w, "patternProperties");
    int rc = schema_new_rule(w, &key);
    struct buf text;
    buf_init(&text, GBNF_MAX_TEXT);
    if (!rc)
        rc = schema_pattern(w, json_object_iter_key(only), &text);
    buf_printf(w->out, "r%u ::= %s\n", key, buf_str(&text));
    buf_release(&text);
    if (!rc)
        rc = schema_rule(w, json_object_iter_value(only), &value);
    schema_leave(w, mark);
    if (rc)
        return rc;
    o->open = true;
    snprintf(o->key, sizeof o->key, "r%u", key);
    snprintf(o->value, sizeof o->value, "r%u", value);
    return 0;
}

static int read_others(struct schema_writer *w, const json_t *s, struct object *o)
{
    const json_t *others = json_object_get(s, "additionalProperties");
    unsigned rule;
    if (json_object_get(s, "patternProperties"))
        return read_patterns(w, s, o);
    o->open = others ? !json_is_false(others) : !json_object_get(s, "properties") && o->n == 0;
    if (!o->open)
        return 0;
    snprintf(o->value, sizeof o->value, "value");
    if (others && !json_is_true(others)) {
        size_t mark = schema_enter(w, "additionalProperties");
        int rc = schema_rule(w, others, &rule);
        schema_leave(w, mark);
        if (rc)
            return rc;
        snprintf(o->value, sizeof o->value, "r%u", rule);
    }
    return other_names(w, s, o);
}

/* Bounds on the number of properties can be counted only where all are of one kind. Names may come
 * twice among others, so of these at least two can not be demanded. */
static int check_counts(struct schema_writer *w, const json_t *s, struct object *o)
{
    size_t required = 0;
    o->most = UINT32_MAX;
    int rc = schema_count(w, s, "minProperties", &o->least);
    if (!rc)
        rc = schema_count(w, s, "maxProperties", &o->most);
    for (size_t i = 0; i < o->n; i++)
        required += o->at[i].required;
    if (rc)
        return rc;
    if (o->least > 1 && o->least > required)
        return schema_fail(w, ERR_UNSUPPORTED, "\"minProperties\" beyond the required ones");
    if (o->most < o->least || o->most < required)
        return schema_fail(w, ERR_FORMAT, "\"maxProperties\" is smaller than what is required");
    if (o->most == UINT32_MAX || (o->n == 0 && o->most <= GBNF_MAX_REPEAT) ||
        (!o->open && o->most >= o->n))
        return 0;
    return schema_fail(w, ERR_UNSUPPORTED, "\"maxProperties\" beside listed properties");
}

/* Each place between the properties is two rules: nothing was written before ("first"), or
 * something was, so that a comma must come. Empty objects are the caller's affair. */
static int write_places(struct schema_writer *w, const struct object *o, unsigned *first)
{
    struct buf *out = w->out;
    unsigned rest, next_first = 0, next_rest;
    int rc = schema_new_rule(w, &rest);
    if (rc)
        return rc;
    if (o->open) {
        rc = schema_new_rule(w, &next_first);
        buf_printf(out, "r%u ::= (\",\" ws %s \":\" ws %s)*\n", rest, o->key, o->value);
        buf_printf(out, "r%u ::= %s \":\" ws %s", next_first, o->key, o->value);
        if (o->most == UINT32_MAX)
            buf_printf(out, " r%u\n", rest);
        else
            buf_printf(out, " (\",\" ws %s \":\" ws %s){0,%u}\n", o->key, o->value,
                       o->most ? (unsigned)o->most - 1 : 0);
    } else {
        buf_printf(out, "r%u ::= \"\"\n", rest);
    }
    for (size_t i = o->n; i-- > 0 && !rc;) {
        const struct property *p = &o->at[i];
        struct buf name;
        next_rest = rest;
        unsigned after = next_first;
        rc = schema_new_rule(w, &rest);
        if (!rc)
            rc = schema_new_rule(w, &next_first);
        buf_init(&name, GBNF_MAX_TEXT);
        schema_name(p->name, &name);
        buf_printf(out, "r%u ::= \",\" ws %s \":\" ws r%u r%u", rest, buf_str(&name), p->rule,
                   next_rest);
        buf_append_str(out, p->required ? "\n" : "");
        if (!p->required)
            buf_printf(out, " | r%u\n", next_rest);
        buf_printf(out, "r%u ::= %s \":\" ws r%u r%u", next_first, buf_str(&name), p->rule,
                   next_rest);
        if (!p->required && after)
            buf_printf(out, " | r%u", after);
        buf_append_str(out, "\n");
        buf_release(&name);
    }
    *first = next_first;
    return rc;
}

int schema_object(struct schema_writer *w, const json_t *s, struct buf *out)
{
    struct object o = {0};
    unsigned first = 0;
    bool required = false;
    int rc = add_properties(w, s, &o);
    if (!rc)
        rc = read_others(w, s, &o);
    if (!rc)
        rc = check_counts(w, s, &o);
    if (!rc)
        rc = write_places(w, &o, &first);
    for (size_t i = 0; i < o.n; i++)
        required |= o.at[i].required;
    free(o.at);
    if (rc)
        return rc;
    required |= o.least > 0;
    if ((!first || o.most == 0) && required)
        return schema_fail(w, ERR_FORMAT, "no object can be valid here");
    if (!first || o.most == 0)
        buf_append_str(out, "\"{\" ws \"}\"");
    else
        buf_printf(out, "\"{\" ws %sr%u ws%s \"}\"", required ? "" : "(", first,
                   required ? "" : ")?");
    return 0;
}
