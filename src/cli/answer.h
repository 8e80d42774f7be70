/* answer.h - a model that answers in the terminal: what `lar run` and its conversation share.
 *
 *     answerer_open()          model, cache and options
 *     answerer_say("Hello")    a turn of the conversation; its answer is printed as it comes
 */
#ifndef LAR_CLI_ANSWER_H
#define LAR_CLI_ANSWER_H

#include "pipeline/text_form.h"
#include "pipeline/text_options.h"
#include "text/chat.h"

#include <stdbool.h>

struct backend;
struct err;
struct generator;
struct options;
struct text_model;
struct json_t; /* jansson.h */

struct answerer {
    const struct options *o; /* borrowed */
    double opened;           /* when, in clock_seconds() */
    struct backend *backend; /* owned, as the rest */
    struct text_model *model;
    struct generator *generator;
    struct text_options options; /* the model's, over them the command line's */
    struct token_bias *bias;
    struct text_form form;   /* of --grammar */
    struct json_t *messages; /* the conversation so far, with the system's message */
    enum chat_thinking thinking;
    bool verbose; /* tell how fast answers were */
};

/* The caller closes `a` in every case. */
int answerer_open(struct answerer *a, const struct options *o, const char *model, struct err *e);
void answerer_close(struct answerer *a);

/* Adds a turn, prints the answer and adds that. After a failure or Ctrl-C (ERR_CANCELLED) what was
 * printed stays part of the conversation; a turn without any answer does not. */
int answerer_say(struct answerer *a, const char *text, struct err *e);

/* Prints how the model goes on with a text. */
int answerer_continue(struct answerer *a, const char *text, struct err *e);

/* Forgets the conversation but for the system's message. */
void answerer_clear(struct answerer *a);
/* How the model shall behave, borrowed, or NULL; and another text, or none, in its place. */
const char *answerer_system(const struct answerer *a);
int answerer_set_system(struct answerer *a, const char *text, struct err *e);
/* Goes on with another conversation: an array of messages, taken. */
void answerer_take_messages(struct answerer *a, struct json_t *messages);

/* Would the options do? ERR_ARG names the one that does not. */
int answerer_check(const struct answerer *a, struct err *e);
/* A new cache, after a change of options.num_ctx; on failure it is the old one. */
int answerer_reopen(struct answerer *a, struct err *e);
int answerer_context(const struct answerer *a); /* tokens of prompt and answer */

#endif
