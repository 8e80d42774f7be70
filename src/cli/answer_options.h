/* answer_options.h - how the command line wants answers: over what the model recommends. */
#ifndef LAR_CLI_ANSWER_OPTIONS_H
#define LAR_CLI_ANSWER_OPTIONS_H

struct answerer;
struct err;

/* Fills a->options, a->bias and a->form from a->o; the model is open. */
int answer_options(struct answerer *a, struct err *e);

/* What answers must look like: "json", the path of a file with a JSON Schema, "" for nothing. */
int answer_format(struct answerer *a, const char *format, struct err *e);

#endif
