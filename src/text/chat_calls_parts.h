/* chat_calls_parts.h - what chat_calls.c and chat_calls_marked.c share. Private to them. */
#ifndef LAR_TEXT_CHAT_CALLS_PARTS_H
#define LAR_TEXT_CHAT_CALLS_PARTS_H

#include "text/chat_calls.h"

bool chat_calls_fail(struct chat_calls *c, const char *why); /* false */
void chat_calls_trim(const char **p, size_t *n);             /* white space on both sides */
/* Takes the reference; false when there is no name or `arguments` is no object. */
bool chat_calls_add(struct chat_calls *c, const char *name, size_t n, struct json_t *arguments);
/* JSON text as a value, or NULL; empty text is an empty object. */
struct json_t *chat_calls_object(const char *p, size_t n);
/* A parameter written as plain text: a string where the tool says so, else JSON if it is any. */
struct json_t *chat_calls_value(const struct chat_calls *c, const char *tool, const char *parameter,
                                const char *p, size_t n);

#endif
