/* chat_literal.h - values as models write them outside of JSON: Python's literals, and Gemma's
 * with bare keys and quoting tokens. Private to chat_calls*.c.
 */
#ifndef LAR_TEXT_CHAT_LITERAL_H
#define LAR_TEXT_CHAT_LITERAL_H

#include <stdbool.h>
#include <stddef.h>

struct json_t;

struct chat_literal {
    const char *p, *end;
    int depth;
};

void chat_literal_space(struct chat_literal *x);
bool chat_literal_take(struct chat_literal *x, const char *s); /* after white space */
/* A name with dots: its begin; the cursor stands behind it. NULL: none. */
const char *chat_literal_name(struct chat_literal *x, size_t *n);
/* Text, number, True/true, None/null, [..], (..), {key: value}; a new reference, or NULL. */
struct json_t *chat_literal_value(struct chat_literal *x);
/* key=value (or key:value, with `colon`) up to the closing bracket, which is taken; NULL: no. */
struct json_t *chat_literal_pairs(struct chat_literal *x, char close, bool colon);

#endif
