/* chat_calls.c - calls written in JSON; what all parsers of calls share. See chat_calls.h. */
#include "text/chat_calls.h"

#include "base/mem.h"
#include "text/chat_calls_parts.h"
#include "text/chat_literal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void chat_calls_release(struct chat_calls *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->v[i].name);
        free(c->v[i].id);
        json_decref(c->v[i].arguments);
    }
    free(c->v);
    c->v = NULL;
    c->n = 0;
}

static const json_t *find_tool(const json_t *tools, const char *name)
{
    size_t i;
    json_t *tool;
    json_array_foreach(tools, i, tool)
    {
        const json_t *f = json_object_get(tool, "function");
        const char *is = json_string_value(json_object_get(f ? f : tool, "name"));
        if (is && strcmp(is, name) == 0)
            return f ? f : tool;
    }
    return NULL;
}

bool chat_calls_knows(const struct chat_calls *c, const char *name)
{
    return find_tool(c->tools, name) != NULL;
}

bool chat_calls_fail(struct chat_calls *c, const char *why)
{
    if (!c->why)
        c->why = why;
    return false;
}

void chat_calls_trim(const char **p, size_t *n)
{
    while (*n && strchr(" \t\r\n", **p) && **p) {
        ++*p;
        --*n;
    }
    while (*n && strchr(" \t\r\n", (*p)[*n - 1]) && (*p)[*n - 1])
        --*n;
}

/* Models that were trained with other tools write functions.name. */
static void strip_namespace(const char **name, size_t *n)
{
    static const char prefix[] = "functions.";
    if (*n > sizeof prefix - 1 && memcmp(*name, prefix, sizeof prefix - 1) == 0) {
        *name += sizeof prefix - 1;
        *n -= sizeof prefix - 1;
    }
}

bool chat_calls_add(struct chat_calls *c, const char *name, size_t n, json_t *arguments)
{
    chat_calls_trim(&name, &n);
    strip_namespace(&name, &n);
    if (memchr(name, '\0', n))
        n = 0;
    if (!n || !json_is_object(arguments)) {
        json_decref(arguments);
        return chat_calls_fail(c, n ? "the arguments of the call are no JSON object"
                                    : "the call names no tool");
    }
    c->v = mem_realloc(c->v, (c->n + 1) * sizeof(*c->v));
    c->v[c->n++] = (struct chat_call){.name = mem_strndup(name, n), .arguments = arguments};
    return true;
}

/* The JSON text of an object; nothing at all is the empty one. */
json_t *chat_calls_object(const char *p, size_t n)
{
    chat_calls_trim(&p, &n);
    if (!n)
        return json_object();
    json_t *v = json_loadb(p, n, 0, NULL);
    if (json_is_string(v)) { /* once more: some models quote the arguments */
        json_t *inner = json_loadb(json_string_value(v), json_string_length(v), 0, NULL);
        json_decref(v);
        v = inner;
    }
    return v;
}

json_t *chat_calls_value(const struct chat_calls *c, const char *tool, const char *parameter,
                         const char *p, size_t n)
{
    const json_t *f = find_tool(c->tools, tool);
    const json_t *schema = json_object_get(
        json_object_get(json_object_get(f, "parameters"), "properties"), parameter);
    const json_t *type = json_object_get(schema, "type");
    json_t *v = NULL;
    if (!json_is_string(type) || strcmp(json_string_value(type), "string") != 0) {
        const char *q = p;
        size_t m = n;
        chat_calls_trim(&q, &m);
        v = json_loadb(q, m, JSON_DECODE_ANY, NULL);
        if (json_is_string(v) && !schema) { /* quotes that nobody asked for are text */
            json_decref(v);
            v = NULL;
        }
        if (!v && m) { /* True, None */
            struct chat_literal x = {q, q + m, 0};
            v = chat_literal_value(&x);
            if (x.p != x.end || json_is_string(v)) {
                json_decref(v);
                v = NULL;
            }
        }
    }
    return v ? v : json_stringn(p, n);
}

static const json_t *first_of(const json_t *o, const char *const *names)
{
    const json_t *v = NULL;
    while (!v && *names)
        v = json_object_get(o, *names++);
    return v;
}

/* {"name": .., "arguments": ..} in its dialects; {"type": "function", "function": {..}} too. */
static bool add_object(struct chat_calls *c, const json_t *o)
{
    static const char *const names[] = {"name", "tool_name", "function", NULL};
    static const char *const arguments[] = {"arguments", "parameters", "args", NULL};
    static const char *const ids[] = {"id", "tool_call_id", NULL};
    const json_t *inner = json_object_get(o, "function");
    const json_t *of = json_is_object(inner) ? inner : o;
    const json_t *name = first_of(of, names), *given = first_of(of, arguments);
    const json_t *id = first_of(o, ids);
    if (!json_is_string(name))
        return chat_calls_fail(c, "the call names no tool");
    json_t *args = !given || json_is_null(given) ? json_object()
                   : json_is_string(given)
                       ? chat_calls_object(json_string_value(given), json_string_length(given))
                       : json_incref((json_t *)given);
    if (!chat_calls_add(c, json_string_value(name), json_string_length(name), args))
        return false;
    c->v[c->n - 1].id = mem_strdup(json_string_value(id));
    return true;
}

bool chat_calls_json(struct chat_calls *c, const char *p, size_t n)
{
    size_t before = c->n;
    for (;;) {
        while (n && strchr(" \t\r\n;,", *p) && *p) {
            p++;
            n--;
        }
        if (!n)
            return c->n > before || chat_calls_fail(c, "the call is empty");
        json_error_t error;
        json_t *v = json_loadb(p, n, JSON_DISABLE_EOF_CHECK, &error), *item;
        if (!v)
            return chat_calls_fail(c, "the call is no JSON");
        size_t i;
        bool ok = !json_is_object(v) || add_object(c, v);
        json_array_foreach(v, i, item) ok = ok && add_object(c, item);
        json_decref(v);
        if (!ok)
            return false;
        p += error.position;
        n -= (size_t)error.position;
    }
}

bool chat_calls_keyed(struct chat_calls *c, const char *p, size_t n)
{
    json_t *list = json_loadb(p, n, 0, NULL), *call, *arguments;
    bool ok = json_is_array(list);
    const char *name;
    size_t i;
    json_array_foreach(list, i, call) json_object_foreach(call, name, arguments)
        ok = ok && chat_calls_add(c, name, strlen(name), json_incref(arguments));
    json_decref(list);
    return (ok && c->n) || chat_calls_fail(c, "the call is no list of {name: arguments}");
}

bool chat_json_scan(struct chat_json_scan *s, const char *p, size_t n)
{
    for (; s->at < n; s->at++) {
        char ch = p[s->at];
        if (s->escaped) {
            s->escaped = false;
        } else if (s->in_text) {
            s->escaped = ch == '\\';
            s->in_text = ch != '"';
        } else if (ch == '"' && s->depth) {
            s->in_text = true;
        } else if (ch == '{' || ch == '[') {
            s->begun = true;
            s->depth++;
        } else if ((ch == '}' || ch == ']') && s->depth && --s->depth == 0) {
            s->at++;
            return true;
        }
    }
    return false;
}
