/* chat.c - see chat.h. */
#include "text/chat.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "text/chat_parts.h"
#include "text/jinja.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int chat_variant_init(struct chat_variant *v, const char *source, size_t n, struct err *e)
{
    int rc = jinja_parse(&v->jinja, source, n, e);
    if (!rc)
        v->source = mem_strndup(source, n);
    return rc;
}

static void release_variant(struct chat_variant *v)
{
    jinja_free(v->jinja);
    free(v->source);
}

int chat_template_new(struct chat_template **out, const char *source, size_t n,
                      const struct chat_tokens *tokens, struct err *e)
{
    struct chat_template *t = mem_alloc(sizeof(*t));
    *out = NULL;
    t->bos = mem_strdup(tokens ? tokens->bos : NULL);
    t->eos = mem_strdup(tokens ? tokens->eos : NULL);
    int rc = chat_variant_init(&t->usual, source, n, e);
    if (rc) {
        chat_template_free(t);
        return rc;
    }
    chat_variant_probe(t, &t->usual);
    chat_template_sum_up(t);
    *out = t;
    return 0;
}

int chat_template_add_tools(struct chat_template *t, const char *source, size_t n, struct err *e)
{
    int rc = chat_variant_init(&t->with_tools, source, n, e);
    if (rc)
        return rc;
    chat_variant_probe(t, &t->with_tools);
    chat_template_sum_up(t);
    return 0;
}

void chat_template_free(struct chat_template *t)
{
    if (!t)
        return;
    release_variant(&t->usual);
    release_variant(&t->with_tools);
    free(t->bos);
    free(t->eos);
    free(t);
}

const char *chat_template_is_fallback(const struct chat_template *t)
{
    return t->fallback;
}

const char *chat_template_source(const struct chat_template *t, bool with_tools)
{
    return with_tools ? t->with_tools.source : t->usual.source;
}

const struct chat_abilities *chat_template_abilities(const struct chat_template *t)
{
    return &t->abilities;
}

/* What apply_chat_template() passes; takes the reference to messages. */
static json_t *variables_of(const struct chat_template *t, const struct chat_variant *of,
                            const struct chat_request *r, json_t *messages)
{
    json_t *v = json_object();
    if (t->bos)
        json_object_set_new(v, "bos_token", json_string(t->bos));
    if (t->eos)
        json_object_set_new(v, "eos_token", json_string(t->eos));
    json_object_set_new(v, "documents", json_null());
    json_object_set_new(v, "add_generation_prompt", json_boolean(r->add_generation_prompt));
    if (r->thinking != CHAT_THINKING_DEFAULT) {
        bool on = r->thinking == CHAT_THINKING_ON;
        json_object_set_new(v, "enable_thinking", json_boolean(on));
        json_object_set_new(v, "thinking", json_boolean(on));
    }
    if (r->variables)
        json_object_update(v, (json_t *)r->variables);
    json_object_set_new(v, "messages", messages);
    json_object_set_new(v, "tools",
                        json_array_size(r->tools) ? json_incref((json_t *)r->tools)
                        : of->form.tools_list     ? json_array()
                                                  : json_null());
    return v;
}

int chat_variant_render(const struct chat_template *t, const struct chat_variant *v,
                        const struct chat_request *r, struct buf *out, struct err *e)
{
    json_t *messages = chat_messages_formed(r->messages, &v->form);
    if (!messages)
        return err_set(e, ERR_NOMEM, "the messages of a conversation do not fit into memory");
    json_t *variables = variables_of(t, v, r, messages);
    int rc = jinja_render(v->jinja, variables, r->now, out, e);
    json_decref(variables);
    return rc;
}

int chat_render(const struct chat_template *t, const struct chat_request *r, struct buf *out,
                struct err *e)
{
    const struct chat_variant *v = json_array_size(r->tools) && t->with_tools.jinja ? &t->with_tools
                                                                                    : &t->usual;
    struct chat_request mine = *r;
    json_t *merged = NULL;
    size_t i, before = out->len;
    json_t *message;
    if (!json_is_array(r->messages))
        return err_set(e, ERR_ARG, "messages must be a list");
    json_array_foreach(
        r->messages, i,
        message) if (!json_is_object(message) ||
                     !json_is_string(json_object_get(
                         message,
                         "role"))) return err_set(e, ERR_ARG,
                                                  "message %zu must be an object with a \"role\"",
                                                  i + 1);
    if (!v->system) {
        mine.messages = merged = chat_messages_without_system(r->messages);
        if (!merged)
            return err_set(e, ERR_NOMEM, "the messages of a conversation do not fit into memory");
    }
    int rc = chat_variant_render(t, v, &mine, out, e);
    if (rc && out->len > before) { /* half a prompt is none */
        out->len = before;
        out->data[before] = '\0';
    }
    json_decref(merged);
    return rc;
}
