/* chat_parts.h - what chat.c, chat_source.c and chat_abilities.c share. Private to them. */
#ifndef LAR_TEXT_CHAT_PARTS_H
#define LAR_TEXT_CHAT_PARTS_H

#include "text/chat.h"

struct jinja;

/* How the template wants what OpenAI's format leaves open; found out by rendering probes. */
struct chat_form {
    bool parts;          /* content may be a list of parts; else they are joined to one text */
    bool text;           /* content may be a text; else it is made a list of one part */
    bool arguments_text; /* the arguments of a call must be JSON text, not an object */
    bool null_content;   /* an assistant that only calls has no content; else it is "" */
    bool tools_list;     /* no tools are an empty list; else they are none */
};

struct chat_variant {
    struct jinja *jinja; /* owned */
    char *source;        /* owned */
    struct chat_form form;
    bool tools, system;
};

/* Immutable once made. */
struct chat_template {
    struct chat_variant usual;
    struct chat_variant with_tools; /* jinja is NULL: the usual one serves */
    char *bos, *eos;                /* owned; NULL: none */
    const char *fallback;           /* name, or NULL */
    struct chat_abilities abilities;
};

int chat_variant_init(struct chat_variant *v, const char *source, size_t n, struct err *e);
/* Adds the template for conversations with tools, and looks again at what both can do. */
int chat_template_add_tools(struct chat_template *t, const char *source, size_t n, struct err *e);
/* Renders messages as they are, but for their form. */
int chat_variant_render(const struct chat_template *t, const struct chat_variant *v,
                        const struct chat_request *r, struct buf *out, struct err *e);
/* Finds out v's form and abilities, then those of the whole (chat_abilities.c). */
void chat_variant_probe(const struct chat_template *t, struct chat_variant *v);
void chat_template_sum_up(struct chat_template *t);

/* Copies of messages in the form a template wants (chat_messages.c); new references, NULL where
 * memory is gone. */
struct json_t *chat_messages_formed(const struct json_t *messages, const struct chat_form *form);
/* System messages become the beginning of the user message behind them. */
struct json_t *chat_messages_without_system(const struct json_t *messages);

#endif
