/* chat_source.c - where a model keeps its chat template; see chat.h. */
#include "text/chat_parts.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "format/json.h"
#include "text/jinja.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Templates for models that bring none, in the formats their families were trained on. */
static const struct fallback {
    const char *name, *text;
} fallbacks[] = {
    {"chatml",
     "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + "
     "'<|im_end|>\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"},
    {"llama3",
     "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message.role + "
     "'<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}{% endfor %}"
     "{% if add_generation_prompt %}"
     "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"},
    {"gemma",
     "{{ bos_token }}{% for message in messages %}"
     "{% if message.role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}"
     "{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' + "
     "message.content | trim + '<end_of_turn>\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"},
    {"phi3", "{{ bos_token }}{% for message in messages %}{{ '<|' + message.role + '|>\n' + "
             "message.content + '<|end|>\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"},
    {"mistral", "{{ bos_token }}{% for message in messages %}"
                "{% if message.role == 'system' %}{{ raise_exception('no system messages') }}"
                "{% elif message.role == 'user' %}{{ '[INST] ' + message.content + ' [/INST]' }}"
                "{% else %}{{ ' ' + message.content | trim + eos_token }}{% endif %}{% endfor %}"},
};

/* The first row that matches; an empty field matches all. */
static const struct {
    const char *architecture, *eos, *name;
} families[] = {
    {"", "<|im_end|>", "chatml"},   {"", "<|eot_id|>", "llama3"}, {"gemma", "", "gemma"},
    {"", "<end_of_turn>", "gemma"}, {"phi3", "", "phi3"},         {"mistral", "", "mistral"},
    {"mixtral", "", "mistral"},     {"llama", "</s>", "mistral"}, {"", "", "chatml"},
};

int chat_template_fallback(struct chat_template **t, const char *architecture,
                           const struct chat_tokens *tokens, struct err *e)
{
    const char *eos = tokens && tokens->eos ? tokens->eos : "";
    const char *arch = architecture ? architecture : "";
    size_t i = 0, j = 0;
    while (strncmp(arch, families[i].architecture, strlen(families[i].architecture)) != 0 ||
           (families[i].eos[0] && strcmp(eos, families[i].eos) != 0))
        i++;
    while (strcmp(fallbacks[j].name, families[i].name) != 0)
        j++;
    int rc = chat_template_new(t, fallbacks[j].text, strlen(fallbacks[j].text), tokens, e);
    if (!rc)
        (*t)->fallback = fallbacks[j].name;
    return rc;
}

int chat_template_from_gguf(struct chat_template **t, const struct gguf *g,
                            const struct chat_tokens *tokens, struct err *e)
{
    const char *text = gguf_str(g, "tokenizer.chat_template");
    const char *tools = gguf_str(g, "tokenizer.chat_template.tool_use");
    if (!text && !tools)
        return chat_template_fallback(t, gguf_str(g, "general.architecture"), tokens, e);
    if (!text)
        text = tools;
    int rc = chat_template_new(t, text, strlen(text), tokens, e);
    if (!rc && tools && tools != text)
        rc = chat_template_add_tools(*t, tools, strlen(tools), e);
    if (rc) {
        chat_template_free(*t);
        *t = NULL;
    }
    return rc;
}

/* The texts a folder offers. */
struct offer {
    char *usual, *tools; /* owned */
    char *bos, *eos;     /* owned */
    char *architecture;  /* owned */
};

static void release_offer(struct offer *o)
{
    free(o->usual);
    free(o->tools);
    free(o->bos);
    free(o->eos);
    free(o->architecture);
}

/* A file of the folder, if it is there and *text is not known yet. */
static int read_text(const char *folder, const char *name, char **text, struct err *e)
{
    char *path = file_join(folder, name);
    size_t n;
    int rc = 0;
    if (!*text && file_exists(path))
        rc = file_read(path, JINJA_MAX_SOURCE, text, &n, e);
    free(path);
    return rc;
}

static void take(char **text, const json_t *v)
{
    if (!*text && json_is_string(v))
        *text = mem_strdup(json_string_value(v));
}

/* A text, or a list of {"name", "template"}. */
static void take_templates(struct offer *o, const json_t *v)
{
    size_t i;
    json_t *named;
    take(&o->usual, v);
    json_array_foreach(v, i, named)
    {
        const char *name = json_string_value(json_object_get(named, "name"));
        if (name && strcmp(name, "default") == 0)
            take(&o->usual, json_object_get(named, "template"));
        else if (name && strcmp(name, "tool_use") == 0)
            take(&o->tools, json_object_get(named, "template"));
    }
}

/* A token is a text, or an object with "content". */
static void take_token(char **text, const json_t *v)
{
    take(text, json_is_object(v) ? json_object_get(v, "content") : v);
}

static int read_json(const char *folder, const char *name, struct offer *o, struct err *e)
{
    char *path = file_join(folder, name);
    struct json_doc d = {0};
    int rc = file_exists(path) ? json_doc_read(&d, path, (size_t)64 << 20, e) : 0;
    free(path);
    if (!rc && d.root) {
        take_templates(o, json_object_get(d.root, "chat_template"));
        take_token(&o->bos, json_object_get(d.root, "bos_token"));
        take_token(&o->eos, json_object_get(d.root, "eos_token"));
        take(&o->architecture, json_object_get(d.root, "model_type"));
    }
    json_doc_release(&d);
    return rc;
}

static int read_offer(const char *folder, struct offer *o, struct err *e)
{
    int rc = read_text(folder, "chat_template.jinja", &o->usual, e);
    rc = rc ? rc : read_text(folder, "additional_chat_templates/tool_use.jinja", &o->tools, e);
    rc = rc ? rc : read_json(folder, "chat_template.json", o, e);
    rc = rc ? rc : read_json(folder, "tokenizer_config.json", o, e);
    return rc ? rc : read_json(folder, "config.json", o, e);
}

int chat_template_from_folder(struct chat_template **t, const char *folder,
                              const struct chat_tokens *tokens, struct err *e)
{
    struct offer o = {.bos = mem_strdup(tokens ? tokens->bos : NULL),
                      .eos = mem_strdup(tokens ? tokens->eos : NULL)};
    *t = NULL;
    int rc = read_offer(folder, &o, e);
    struct chat_tokens found = {o.bos, o.eos};
    const char *text = o.usual ? o.usual : o.tools;
    if (!rc && !text)
        rc = chat_template_fallback(t, o.architecture, &found, e);
    else if (!rc)
        rc = chat_template_new(t, text, strlen(text), &found, e);
    if (!rc && o.usual && o.tools)
        rc = chat_template_add_tools(*t, o.tools, strlen(o.tools), e);
    if (rc) {
        chat_template_free(*t);
        *t = NULL;
        err_prefix(e, "%s", folder);
    }
    release_offer(&o);
    return rc;
}
