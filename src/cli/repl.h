/* repl.h - a conversation with a model, a line at a time. */
#ifndef LAR_CLI_REPL_H
#define LAR_CLI_REPL_H

struct answerer;
struct err;

/* Reads turns from the terminal until its end. Ctrl-C stops an answer, not the conversation. */
int repl_run(struct answerer *a, struct err *e);

#endif
