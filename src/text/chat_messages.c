/* chat_messages.c - messages in the form a template wants; see chat_parts.h. */
#include "text/chat_parts.h"

#include "base/buf.h"
#include "text/jinja.h"

#include <jansson.h>
#include <string.h>

#define MAX_TEXT ((size_t)256 << 20)

static bool is_text_part(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    return type && strcmp(type, "text") == 0;
}

/* The text parts of a content one after the other; other parts go. */
static json_t *joined(const json_t *parts)
{
    struct buf b;
    size_t i;
    json_t *part;
    buf_init(&b, MAX_TEXT);
    json_array_foreach(parts, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (is_text_part(part) && json_is_string(text))
            buf_append(&b, json_string_value(text), json_string_length(text));
    }
    json_t *v = buf_failed(&b) ? NULL : json_stringn(buf_str(&b), b.len);
    buf_release(&b);
    return v;
}

static json_t *formed_content(json_t *content, const struct chat_form *form)
{
    if (json_is_array(content) && !form->parts)
        return joined(content);
    if (json_is_string(content) && !form->text)
        return json_pack("[{s:s, s:O}]", "type", "text", "text", content);
    return json_incref(content);
}

static json_t *formed_arguments(json_t *arguments, const struct chat_form *form)
{
    if (json_is_string(arguments) && !form->arguments_text) {
        json_t *object = json_loadb(json_string_value(arguments), json_string_length(arguments),
                                    JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(object))
            return object;
        json_decref(object); /* no arguments that anybody could read: the template's problem */
    } else if (!json_is_string(arguments) && form->arguments_text) {
        struct buf b;
        buf_init(&b, MAX_TEXT);
        json_t *v = jinja_put_json(&b, arguments, false, NULL) ? NULL : json_stringn(b.data, b.len);
        buf_release(&b);
        return v;
    }
    return json_incref(arguments);
}

static json_t *formed_calls(const json_t *calls, const struct chat_form *form)
{
    json_t *out = json_array(), *call;
    size_t i;
    json_array_foreach(calls, i, call)
    {
        json_t *copy = json_copy(call), *f = json_copy(json_object_get(call, "function"));
        json_t *arguments = json_object_get(f, "arguments");
        if (arguments)
            json_object_set_new(f, "arguments", formed_arguments(arguments, form));
        if (f)
            json_object_set_new(copy, "function", f);
        json_array_append_new(out, copy);
    }
    return out;
}

static bool is_empty(const json_t *content)
{
    return json_is_string(content) && json_string_length(content) == 0;
}

/* Reasoning goes by both names that templates read, as in transformers. */
static void name_reasoning(json_t *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    json_t *reasoning = NULL;
    for (size_t i = 0; i < 3 && (!reasoning || json_is_null(reasoning)); i++)
        reasoning = json_object_get(message, names[i]);
    if (!reasoning || json_is_null(reasoning))
        return;
    if (!json_object_get(message, "thinking"))
        json_object_set(message, "thinking", reasoning);
    json_object_set(message, "reasoning_content", reasoning);
}

json_t *chat_messages_formed(const json_t *messages, const struct chat_form *form)
{
    json_t *out = json_array(), *message;
    size_t i;
    json_array_foreach(messages, i, message)
    {
        json_t *copy = json_copy(message), *content = json_object_get(message, "content");
        json_t *calls = json_object_get(message, "tool_calls");
        if (content)
            json_object_set_new(copy, "content", formed_content(content, form));
        if (json_array_size(calls)) {
            json_object_set_new(copy, "tool_calls", formed_calls(calls, form));
            if (!content || json_is_null(content) || is_empty(content))
                json_object_set_new(copy, "content",
                                    form->null_content ? json_null() : json_string(""));
        }
        name_reasoning(copy);
        if (json_array_append_new(out, copy) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static bool has_role(const json_t *message, const char *role)
{
    const char *is = json_string_value(json_object_get(message, "role"));
    return is && strcmp(is, role) == 0;
}

/* The content as text, behind what `b` holds. */
static void append_content(struct buf *b, const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    json_t *text = json_is_array(content) ? joined(content) : json_incref((json_t *)content);
    if (json_is_string(text) && json_string_length(text)) {
        buf_append_str(b, b->len ? "\n\n" : "");
        buf_append(b, json_string_value(text), json_string_length(text));
    }
    json_decref(text);
}

/* A part in front of the others where the content is a list. */
static json_t *with_text_before(const json_t *message, struct buf *before)
{
    json_t *copy = json_copy((json_t *)message), *content = json_object_get(message, "content");
    if (json_is_array(content)) {
        content = json_copy(content);
        buf_append_str(before, "\n\n");
        json_array_insert_new(
            content, 0,
            json_pack("{s:s, s:s%}", "type", "text", "text", buf_str(before), before->len));
    } else {
        append_content(before, message);
        content = json_stringn(buf_str(before), before->len);
    }
    json_object_set_new(copy, "content", content);
    buf_reset(before);
    return copy;
}

json_t *chat_messages_without_system(const json_t *messages)
{
    json_t *out = json_array(), *message;
    struct buf before;
    size_t i;
    buf_init(&before, MAX_TEXT);
    json_array_foreach(messages, i, message)
    {
        if (has_role(message, "system") || has_role(message, "developer"))
            append_content(&before, message);
        else if (before.len && has_role(message, "user"))
            json_array_append_new(out, with_text_before(message, &before));
        else
            json_array_append(out, message);
    }
    if (before.len) /* nobody spoke afterwards */
        json_array_append_new(
            out, json_pack("{s:s, s:s%}", "role", "user", "content", buf_str(&before), before.len));
    bool failed = buf_failed(&before);
    buf_release(&before);
    if (!failed)
        return out;
    json_decref(out);
    return NULL;
}
