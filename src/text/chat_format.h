/* chat_format.h - the markers between which models think and call tools. Private to
 * chat_parse.c.
 */
#ifndef LAR_TEXT_CHAT_FORMAT_H
#define LAR_TEXT_CHAT_FORMAT_H

#include "text/chat_calls.h"

enum chat_call_end {
    CHAT_END_MARKER, /* at `close`; or where the answer ends */
    CHAT_END_JSON,   /* behind the first JSON value; `close` is dropped if it follows */
    CHAT_END_ANSWER
};

struct chat_call_marks {
    const char *open, *close;
    enum chat_call_end end;
    chat_calls_fn *parse;
    const char *mention; /* a template with this text uses the row; NULL: with `open` */
};

struct chat_thinking_marks {
    const char *open, *close;
};

#define CHAT_CALL_ROWS     21
#define CHAT_THINKING_ROWS 6
/* No marker at all: the answer is the call, as Llama 3 writes it. */
#define CHAT_CALL_BARE 0
/* Command R7B also marks where its answer begins and ends. */
#define CHAT_THINKING_COHERE 2

extern const struct chat_call_marks chat_call_rows[CHAT_CALL_ROWS];
extern const struct chat_thinking_marks chat_thinking_rows[CHAT_THINKING_ROWS];
/* Marks around the answer itself, dropped; ends with NULL. */
extern const char *const chat_dropped[];
/* The marks of gpt-oss that end a message, ends with NULL. */
extern const char *const chat_harmony_ends[];

#endif
