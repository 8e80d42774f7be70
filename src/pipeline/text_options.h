/* text_options.h - how an answer is made, by the names that people know: Ollama's options, which
 * are also the PARAMETERs of its Modelfile and, for the most part, llama.cpp's.
 *
 *     temperature 0.7     top_k 40     stop "###"     num_predict 200     num_ctx 8192
 */
#ifndef LAR_PIPELINE_TEXT_OPTIONS_H
#define LAR_PIPELINE_TEXT_OPTIONS_H

#include "text/token_sampler.h"

#include <stdbool.h>

struct buf;
struct err;
struct json_t; /* jansson.h */

#define TEXT_OPTIONS_MAX_STOP 64

struct text_options {
    struct token_sampler_params sampler;
    bool seeded;                       /* a seed was chosen; else each answer has its own */
    int num_predict;                   /* tokens of the answer; < 0: until the context is full */
    int num_ctx;                       /* tokens of prompt and answer; 0: the default */
    int num_keep;                      /* tokens kept when a full context is shifted */
    char *stop[TEXT_OPTIONS_MAX_STOP]; /* owned; texts that end the answer */
    int n_stop;
};

void text_options_init(struct text_options *o, const struct token_sampler_params *model);
void text_options_release(struct text_options *o);

/* Sets one by its name. `stop` adds one more; an empty text removes them all. ERR_ARG names the
 * option, what it takes and, where the name is unknown, the nearest or all of them. */
int text_option_set(struct text_options *o, const char *name, const char *text, struct err *e);
/* The same from JSON: a number, a text, for `stop` also a list. */
int text_option_set_json(struct text_options *o, const char *name, const struct json_t *value,
                         struct err *e);

/* Appends "name value\n" for each whose value differs from `from`'s. */
void text_options_show(const struct text_options *o, const struct text_options *from,
                       struct buf *out);

/* Name and explanation of option i; NULL at the end. */
const char *text_option_name(int i, const char **text);

#endif
