/* chat.h - conversations become prompts: which template a model has, and rendering it.
 *
 * Messages are OpenAI's: {"role", "content": text or parts [{"type": "text", "text"}, {"type":
 * "image"}], "tool_calls": [{"id", "type", "function": {"name", "arguments": object or JSON
 * text}}], "tool_call_id", "reasoning_content" or "thinking"}.
 */
#ifndef LAR_TEXT_CHAT_H
#define LAR_TEXT_CHAT_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct chat_template;
struct err;
struct gguf;
struct json_t; /* jansson.h */
struct tm;

/* The text of the model's tokens; NULL or "" where it has none. Copied. */
struct chat_tokens {
    const char *bos, *eos;
};

/* A template's text. */
int chat_template_new(struct chat_template **t, const char *source, size_t n,
                      const struct chat_tokens *tokens, struct err *e);
/* What the metadata says: tokenizer.chat_template, and tokenizer.chat_template.tool_use for
 * conversations with tools. Without one, the fallback of the architecture. */
int chat_template_from_gguf(struct chat_template **t, const struct gguf *g,
                            const struct chat_tokens *tokens, struct err *e);
/* What a Hugging Face folder says: chat_template.jinja (and additional_chat_templates/
 * tool_use.jinja), chat_template.json, or "chat_template" of tokenizer_config.json, a text or a
 * list of named ones. Without one, the fallback of config.json's "model_type". Where `tokens` names
 * none, those of tokenizer_config.json are taken. */
int chat_template_from_folder(struct chat_template **t, const char *folder,
                              const struct chat_tokens *tokens, struct err *e);
/* The one Lar has for models of this architecture ("llama", "gemma3"; NULL) that bring none:
 * ChatML where no family is known. */
int chat_template_fallback(struct chat_template **t, const char *architecture,
                           const struct chat_tokens *tokens, struct err *e);
void chat_template_free(struct chat_template *t);

/* The name of the fallback in use ("chatml", "gemma", ...), or NULL for the model's own template.
 */
const char *chat_template_is_fallback(const struct chat_template *t);
/* The text as it was given: of the usual template, or of the one for tools (NULL: there is none).
 */
const char *chat_template_source(const struct chat_template *t, bool with_tools);

/* What the template asks for, by what it mentions and by rendering it. */
struct chat_abilities {
    bool tools;           /* shows tools to the model */
    bool thinking;        /* the model may think first */
    bool thinking_option; /* and can be told not to */
    bool images;
    bool system; /* system messages are allowed; else they open the first user message */
};
const struct chat_abilities *chat_template_abilities(const struct chat_template *t);

enum chat_thinking { CHAT_THINKING_DEFAULT, CHAT_THINKING_ON, CHAT_THINKING_OFF };

struct chat_request {
    const struct json_t *messages; /* an array */
    const struct json_t *tools; /* an array of {"type": "function", "function": {...}}, or NULL */
    const struct json_t *variables; /* more variables of the template, an object; or NULL */
    bool add_generation_prompt;     /* end where the assistant's answer begins */
    enum chat_thinking thinking;    /* enable_thinking (or thinking) of the template */
    const struct tm *now;           /* what the template takes for today; NULL: today */
};

/* Appends the prompt. Special tokens in it are meant to be recognised by the tokenizer, and BOS is
 * there already where the template writes it. A refusal of the template is ERR_ARG. */
int chat_render(const struct chat_template *t, const struct chat_request *r, struct buf *out,
                struct err *e);

#endif
