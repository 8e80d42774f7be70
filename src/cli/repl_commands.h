/* repl_commands.h - what may be typed in place of a turn: "/set parameter top_k 5". */
#ifndef LAR_CLI_REPL_COMMANDS_H
#define LAR_CLI_REPL_COMMANDS_H

#include <stdbool.h>

struct answerer;
struct err;
struct line_reader;

struct repl {
    struct answerer *answerer;  /* borrowed */
    struct line_reader *reader; /* owned by repl_run() */
    bool ended;                 /* by /bye */
};

/* Does what a line beginning with / says. ERR_ARG names what is not known and what there is. */
int repl_command(struct repl *r, const char *line, struct err *e);

#endif
