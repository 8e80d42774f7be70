/* chat_calls_marked.c - calls written with tags and other markers, or as code; see chat_calls.h. */
#include "text/chat_calls.h"

#include "base/mem.h"
#include "text/chat_calls_parts.h"
#include "text/chat_literal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A piece of text. */
struct piece {
    const char *p;
    size_t n;
};

static const char *find(struct piece s, const char *what)
{
    return memmem(s.p, s.n, what, strlen(what));
}

static struct piece from(struct piece s, const char *p)
{
    return (struct piece){p, (size_t)(s.p + s.n - p)};
}

/* Cuts `s` behind the mark; what was in front of it. false: there is none. */
static bool cut(struct piece *s, const char *mark, struct piece *before)
{
    const char *at = find(*s, mark);
    if (!at)
        return false;
    *before = (struct piece){s->p, (size_t)(at - s->p)};
    *s = from(*s, at + strlen(mark));
    return true;
}

static bool starts(struct piece s, const char *what)
{
    return s.n >= strlen(what) && memcmp(s.p, what, strlen(what)) == 0;
}

static struct piece trimmed(struct piece s)
{
    chat_calls_trim(&s.p, &s.n);
    return s;
}

/* The value of a tag stands on lines of its own: one line break on each side is not part of it. */
static struct piece unwrapped(struct piece s)
{
    if (s.n && s.p[0] == '\n')
        s = from(s, s.p + 1);
    s.n -= s.n && s.p[s.n - 1] == '\n';
    return s;
}

/* Stores a parameter of a call under construction; false when it is no UTF-8. */
static bool set_value(const struct chat_calls *c, json_t *arguments, struct piece tool,
                      struct piece key, struct piece value)
{
    char *name = mem_strndup(tool.p, tool.n), *parameter = mem_strndup(key.p, key.n);
    json_t *v = chat_calls_value(c, name, parameter, value.p, value.n);
    bool ok = json_object_set_new(arguments, parameter, v) == 0;
    free(name);
    free(parameter);
    return ok;
}

static bool set_text(json_t *arguments, struct piece key, struct piece value)
{
    char *parameter = mem_strndup(key.p, key.n);
    bool ok = json_object_set_new(arguments, parameter, json_stringn(value.p, value.n)) == 0;
    free(parameter);
    return ok;
}

/* What became of the arguments; takes the reference. */
static bool add_if(struct chat_calls *c, bool ok, struct piece name, json_t *arguments)
{
    if (ok)
        return chat_calls_add(c, name.p, name.n, arguments);
    json_decref(arguments);
    return chat_calls_fail(c, "an argument of the call is cut short or no text");
}

/* name>{json}, or name> with <parameter=key>value</parameter>; the end tag may be missing. */
bool chat_calls_function(struct chat_calls *c, const char *p, size_t n)
{
    struct piece s = {p, n}, name, key, value;
    if (!cut(&s, ">", &name))
        return chat_calls_fail(c, "the tag of the function is not closed");
    name = trimmed(name);
    const char *end = find(s, "</function>");
    if (end)
        s.n = (size_t)(end - s.p);
    s = trimmed(s);
    if (starts(s, "{"))
        return chat_calls_add(c, name.p, name.n, chat_calls_object(s.p, s.n));
    json_t *arguments = json_object();
    bool ok = true;
    while (cut(&s, "<parameter=", &value) && cut(&s, ">", &key)) {
        struct piece rest = s;
        if (!cut(&s, "</parameter>", &value)) { /* models forget it: up to the next */
            const char *next = find(rest, "<parameter=");
            value = (struct piece){rest.p, next ? (size_t)(next - rest.p) : rest.n};
            s = from(rest, value.p + value.n);
        }
        ok = ok && set_value(c, arguments, name, trimmed(key), unwrapped(value));
    }
    return add_if(c, ok, name, arguments);
}

/* name, then <arg_key>key</arg_key><arg_value>value</arg_value> (GLM). */
static bool add_pairs(struct chat_calls *c, struct piece s)
{
    struct piece rest = s, name = s, key, value;
    if (cut(&rest, "<arg_key>", &name))
        rest = from(s, name.p + name.n);
    name = trimmed(name);
    json_t *arguments = json_object();
    bool ok = true;
    while (ok && cut(&rest, "<arg_key>", &value))
        ok = cut(&rest, "</arg_key>", &key) && cut(&rest, "<arg_value>", &value) &&
             cut(&rest, "</arg_value>", &value) &&
             set_value(c, arguments, name, trimmed(key), value);
    return add_if(c, ok, name, arguments);
}

static bool is_word(struct piece s)
{
    for (size_t i = 0; i < s.n; i++)
        if (strchr(" \t\r\n{}[]()\"'<>", s.p[i]))
            return false;
    return s.n > 0;
}

bool chat_calls_tagged(struct chat_calls *c, const char *p, size_t n)
{
    struct piece s = trimmed((struct piece){p, n}), before;
    if (starts(s, "<function=")) {
        bool ok = true;
        while (ok && cut(&s, "<function=", &before)) {
            const char *next = find(s, "<function=");
            ok = chat_calls_function(c, s.p, next ? (size_t)(next - s.p) : s.n);
        }
        return ok;
    }
    if (find(s, "<arg_key>") || is_word(s))
        return add_pairs(c, s);
    return chat_calls_json(c, s.p, s.n);
}

bool chat_calls_mistral(struct chat_calls *c, const char *p, size_t n)
{
    struct piece s = trimmed((struct piece){p, n}), name, id = {0};
    if (starts(s, "[{") || starts(s, "{") || starts(s, "[ ") || starts(s, "[\n"))
        return chat_calls_json(c, s.p, s.n);
    if (!cut(&s, "[ARGS]", &name)) { /* the first of its kind wrote name{...} */
        const char *brace = find(s, "{");
        if (!brace)
            return chat_calls_fail(c, "the call has no arguments");
        name = (struct piece){s.p, (size_t)(brace - s.p)};
        s = from(s, brace);
    }
    struct piece rest = name;
    if (cut(&rest, "[CALL_ID]", &name))
        id = trimmed(rest);
    if (!chat_calls_add(c, name.p, name.n, chat_calls_object(s.p, s.n)))
        return false;
    c->v[c->n - 1].id = id.n ? mem_strndup(id.p, id.n) : NULL;
    return true;
}

bool chat_calls_deepseek(struct chat_calls *c, const char *p, size_t n)
{
    struct piece s = {p, n}, call, name;
    bool any = false;
    while (cut(&s, "<｜tool▁call▁begin｜>", &call)) {
        if (!cut(&s, "<｜tool▁call▁end｜>", &call)) {
            call = s;
            s.n = 0;
        }
        if (!cut(&call, "<｜tool▁sep｜>", &name))
            return chat_calls_fail(c, "the call names no tool");
        struct piece fence = call, arguments = call;
        if (cut(&fence, "```json", &arguments)) { /* type<sep>name, arguments in a fence */
            name = arguments;
            arguments = fence;
            cut(&fence, "```", &arguments);
        }
        if (!chat_calls_add(c, name.p, name.n, chat_calls_object(arguments.p, arguments.n)))
            return false;
        any = true;
    }
    return any || chat_calls_fail(c, "the call is empty");
}

bool chat_calls_kimi(struct chat_calls *c, const char *p, size_t n)
{
    struct piece s = {p, n}, call, id;
    bool any = false;
    while (cut(&s, "<|tool_call_begin|>", &call)) {
        if (!cut(&s, "<|tool_call_end|>", &call)) {
            call = s;
            s.n = 0;
        }
        if (!cut(&call, "<|tool_call_argument_begin|>", &id))
            return chat_calls_fail(c, "the call has no arguments");
        id = trimmed(id);
        const char *colon = memrchr(id.p, ':', id.n);
        size_t length = colon ? (size_t)(colon - id.p) : id.n;
        if (!chat_calls_add(c, id.p, length, chat_calls_object(call.p, call.n)))
            return false;
        c->v[c->n - 1].id = mem_strndup(id.p, id.n);
        any = true;
    }
    return any || chat_calls_fail(c, "the call is empty");
}

bool chat_calls_solar(struct chat_calls *c, const char *p, size_t n)
{
    struct piece s = {p, n}, id, name, arguments;
    bool any = false;
    while (cut(&s, "<|tool_call:begin|>", &id)) {
        if (!cut(&s, "<|tool_call:name|>", &id) || !cut(&s, "<|tool_call:args|>", &name) ||
            !cut(&s, "<|tool_call:end|>", &arguments))
            return chat_calls_fail(c, "the call is cut short");
        if (!chat_calls_add(c, name.p, name.n, chat_calls_object(arguments.p, arguments.n)))
            return false;
        c->v[c->n - 1].id = mem_strndup(id.p, id.n);
        any = true;
    }
    return any || chat_calls_fail(c, "the call is empty");
}

/* The value of name="..." in a tag, from behind its first word. */
static bool attribute(struct piece tag, const char *name, struct piece *value)
{
    struct piece before;
    return cut(&tag, name, &before) && cut(&tag, "=\"", &before) && cut(&tag, "\"", value);
}

/* MiniMax and DeepSeek 3.2, which puts its own token into every tag. */
static bool add_invoke(struct chat_calls *c, struct piece body, struct piece name, const char *mark)
{
    json_t *arguments = json_object();
    char open[64], close[64];
    struct piece before, tag, key, value, is_text;
    snprintf(open, sizeof open, "<%sparameter", mark);
    snprintf(close, sizeof close, "</%sparameter>", mark);
    bool ok = true;
    while (ok && cut(&body, open, &before)) {
        ok = cut(&body, ">", &tag) && attribute(tag, "name", &key) && cut(&body, close, &value);
        if (ok && attribute(tag, "string", &is_text) && starts(is_text, "true"))
            ok = set_text(arguments, key, value);
        else if (ok)
            ok = set_value(c, arguments, name, key, value);
    }
    return add_if(c, ok, name, arguments);
}

bool chat_calls_invoke(struct chat_calls *c, const char *p, size_t n)
{
    struct piece s = {p, n}, before, tag, name, body;
    const char *mark = find(s, "｜DSML｜") ? "｜DSML｜" : "";
    char open[64], close[64];
    bool any = false;
    snprintf(open, sizeof open, "<%sinvoke", mark);
    snprintf(close, sizeof close, "</%sinvoke>", mark);
    while (cut(&s, open, &before)) {
        if (!cut(&s, ">", &tag) || !attribute(tag, "name", &name) || !cut(&s, close, &body))
            return chat_calls_fail(c, "the call is cut short");
        if (!add_invoke(c, body, name, mark))
            return false;
        any = true;
    }
    return any || chat_calls_fail(c, "the call is empty");
}

/* f(a=1) or f.call(a=1). */
static bool add_code(struct chat_calls *c, struct chat_literal *x)
{
    size_t n;
    const char *name = chat_literal_name(x, &n);
    json_t *arguments = name && chat_literal_take(x, "(") ? chat_literal_pairs(x, ')', false)
                                                          : NULL;
    if (!arguments)
        return chat_calls_fail(c, "the call is not of the form name(key=value)");
    if (n > 5 && memcmp(name + n - 5, ".call", 5) == 0)
        n -= 5;
    return chat_calls_add(c, name, n, arguments);
}

bool chat_calls_python(struct chat_calls *c, const char *p, size_t n)
{
    struct piece s = trimmed((struct piece){p, n});
    struct chat_literal x = {s.p, s.p + s.n, 0};
    bool listed = chat_literal_take(&x, "["), first = true;
    while (first || chat_literal_take(&x, ",") || chat_literal_take(&x, ";") ||
           (!listed && x.p < x.end)) {
        if (!add_code(c, &x))
            return false;
        chat_literal_space(&x);
        first = false;
    }
    if (listed && !chat_literal_take(&x, "]"))
        return chat_calls_fail(c, "the list of calls is not closed");
    return x.p == x.end || chat_calls_fail(c, "something follows the call");
}

bool chat_calls_llama(struct chat_calls *c, const char *p, size_t n)
{
    struct piece s = trimmed((struct piece){p, n});
    return starts(s, "{") || starts(s, "[{") ? chat_calls_json(c, s.p, s.n)
                                             : chat_calls_python(c, s.p, s.n);
}

bool chat_calls_gemma(struct chat_calls *c, const char *p, size_t n)
{
    struct chat_literal x = {p, p + n, 0};
    size_t length;
    bool any = false;
    while (chat_literal_take(&x, "call:")) {
        const char *name = chat_literal_name(&x, &length);
        json_t *arguments = chat_literal_take(&x, "{") ? chat_literal_pairs(&x, '}', true) : NULL;
        if (!name || !arguments) {
            json_decref(arguments);
            return chat_calls_fail(c, "the call is not of the form call:name{key:value}");
        }
        if (!chat_calls_add(c, name, length, arguments))
            return false;
        any = true;
        chat_literal_take(&x, ",");
    }
    chat_literal_space(&x);
    return (any && x.p == x.end) || chat_calls_fail(c, "the call does not begin with call:");
}
