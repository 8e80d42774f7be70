/* chat_abilities.c - what a template can do, found out by asking it: small conversations are
 * rendered and searched for what was put in. See chat_parts.h.
 */
#include "text/chat_parts.h"

#include "base/buf.h"
#include "base/err.h"
#include "text/jinja.h"

#include <jansson.h>
#include <string.h>

#define PROBE     "pr0be"
#define MAX_PROBE ((size_t)1 << 20)

/* Does the template render this, with the probe, and without Python's spelling of a list? Takes the
 * references. */
static bool shows(const struct chat_template *t, const struct chat_variant *v, json_t *messages,
                  json_t *tools)
{
    struct buf b;
    struct err e = {0};
    struct chat_request r = {.messages = messages, .tools = tools, .add_generation_prompt = true};
    buf_init(&b, MAX_PROBE);
    bool ok = chat_variant_render(t, v, &r, &b, &e) == 0 && strstr(buf_str(&b), PROBE) &&
              !strstr(buf_str(&b), "[{'type'");
    buf_release(&b);
    json_decref(messages);
    json_decref(tools);
    return ok;
}

static json_t *user(void)
{
    return json_pack("{s:s, s:s}", "role", "user", "content", "hi");
}

/* Does it show the arguments of a call in this form? */
static bool takes_calls(const struct chat_template *t, struct chat_variant *v, bool text, bool null)
{
    v->form.arguments_text = text;
    v->form.null_content = null;
    json_t *f = json_pack("{s:s, s:{s:s}}", "name", "look", "arguments", "x", PROBE);
    json_t *call = json_pack("{s:s, s:s, s:o}", "id", "call_0123", "type", "function", "function",
                             f);
    json_t *assistant = json_pack("{s:s, s:n, s:[o]}", "role", "assistant", "content", "tool_calls",
                                  call);
    json_t *result = json_pack("{s:s, s:s, s:s, s:s}", "role", "tool", "tool_call_id", "call_0123",
                               "name", "look", "content", "seen");
    return shows(t, v, json_pack("[o, o, o]", user(), assistant, result), NULL);
}

static json_t *probe_tools(void)
{
    return json_pack("[{s:s, s:{s:s, s:s, s:{s:s, s:{s:{s:s, s:s}}, s:[s]}}}]", "type", "function",
                     "function", "name", PROBE, "description", "d", "parameters", "type", "object",
                     "properties", "x", "type", "string", "description", "d", "required", "x");
}

static bool takes_text(const struct chat_template *t, const struct chat_variant *v)
{
    return shows(t, v, json_pack("[{s:s, s:s}]", "role", "user", "content", PROBE), NULL);
}

void chat_variant_probe(const struct chat_template *t, struct chat_variant *v)
{
    v->form = (struct chat_form){.parts = true, .text = true};
    bool text = takes_text(t, v);
    if (!text) {
        v->form.tools_list = true;
        text = takes_text(t, v);
        v->form.tools_list = text;
    }
    bool parts = shows(t, v,
                       json_pack("[{s:s, s:[{s:s, s:s}]}]", "role", "user", "content", "type",
                                 "text", "text", PROBE),
                       NULL);
    v->form.parts = parts;
    v->form.text = text || !parts;
    v->system = shows(
        t, v, json_pack("[{s:s, s:s}, o]", "role", "system", "content", PROBE, user()), NULL);
    v->tools = shows(t, v, json_pack("[o]", user()), probe_tools());
    for (int i = 0; i < 5; i++) /* the last, which is the first, where none shows them */
        if (takes_calls(t, v, (i & 2) != 0, (i & 1) != 0))
            break;
}

static bool mentions(const struct chat_template *t, const char *what)
{
    return strstr(t->usual.source, what) ||
           (t->with_tools.source && strstr(t->with_tools.source, what));
}

static bool mentions_one(const struct chat_template *t, const char *const *what)
{
    while (*what && !mentions(t, *what))
        what++;
    return *what != NULL;
}

void chat_template_sum_up(struct chat_template *t)
{
    static const char *const thinking[] = {"<think>",
                                           "[THINK]",
                                           "reasoning_content",
                                           "<|channel|>analysis",
                                           "enable_thinking",
                                           "<|START_THINKING|>",
                                           "<seed:think>",
                                           "<|think|>",
                                           NULL};
    static const char *const options[] = {"enable_thinking", "reasoning_effort", " thinking is ",
                                          "if thinking", NULL};
    static const char *const images[] = {"'image'",       "\"image\"", "image_url",
                                         "<|image|>",     "<image>",   "<start_of_image>",
                                         "<|image_pad|>", "[IMG]",     NULL};
    t->abilities = (struct chat_abilities){
        .tools = t->usual.tools || t->with_tools.tools,
        .thinking = mentions_one(t, thinking),
        .thinking_option = mentions_one(t, options),
        .images = t->usual.form.parts && mentions_one(t, images),
        .system = t->usual.system,
    };
}
