/* answer_options.h - how the command line wants answers: over what the model recommends. */
#ifndef LAR_CLI_ANSWER_OPTIONS_H
#define LAR_CLI_ANSWER_OPTIONS_H

struct answerer;
struct err;

/* Fills a->options, a->bias and a->form from a->o; the model is open. */
int answer_options(struct answerer *a, struct err *e);

#endif
