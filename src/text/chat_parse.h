/* chat_parse.h - what a model writes, taken apart while it arrives: content, thinking, tool calls.
 *
 *     "<think>hm</think>It is <tool_call>{...}</tool_call>"  ->  thinking "hm", content "It is",
 *                                                                 a call
 *
 * The formats are rows of markers (chat_format.c): those that the model's template mentions are
 * looked for, whatever the model is called. Half a marker is never passed on: bytes wait until it
 * is clear what they are, so the events are the same however the text is cut into pieces. The text
 * must come with special tokens spelled out (tokenizer_piece() does so).
 */
#ifndef LAR_TEXT_CHAT_PARSE_H
#define LAR_TEXT_CHAT_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chat_parser;
struct chat_template;
struct err;
struct json_t; /* jansson.h */

enum chat_event_type {
    CHAT_CONTENT,  /* text: more of the answer */
    CHAT_THINKING, /* text: more of what comes before the answer */
    CHAT_CALL,     /* a whole tool call */
    CHAT_BAD_CALL  /* text: something that began as a call but is none; why */
};

/* Borrowed for the time of the callback. */
struct chat_event {
    enum chat_event_type type;
    const char *text; /* n bytes, NUL-terminated */
    size_t n;
    const char *name;      /* CHAT_CALL: the tool */
    const char *arguments; /* CHAT_CALL: a JSON object as text */
    const char *id;        /* CHAT_CALL: what the model calls it; NULL: it gave none */
    const char *why;       /* CHAT_BAD_CALL: one sentence */
};

/* Which markers to look for: bits of the rows of chat_format.c. */
struct chat_format {
    uint32_t calls, thinking;
    bool harmony; /* gpt-oss: channels */
};

/* Those of a template's text. */
struct chat_format chat_format_of(const char *source);
struct chat_format chat_format_of_template(const struct chat_template *t);

struct chat_parser_options {
    struct chat_format format;
    const struct json_t *tools; /* the request's; kept by reference. Without tools nothing is a
                                   call: markers are content */
    const char *prompt;         /* what the model continues: it may open the thinking; or NULL */
    size_t prompt_n;
    void (*event)(void *ctx, const struct chat_event *e);
    void *ctx;
};

struct chat_parser *chat_parser_new(const struct chat_parser_options *o);
void chat_parser_free(struct chat_parser *p);

/* More text, cut anywhere. ERR_NOMEM when a call grows beyond all bounds. */
int chat_parser_push(struct chat_parser *p, const char *text, size_t n, struct err *e);
/* The end: whatever still waits becomes what it is now. Nothing may be pushed afterwards. */
int chat_parser_finish(struct chat_parser *p, struct err *e);
/* Is the model thinking at the moment? */
bool chat_parser_is_thinking(const struct chat_parser *p);

#endif
