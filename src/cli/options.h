/* options.h - the command line, parsed by the table of options.def.
 *
 *     lar draw -n2 --size=768x512 a red boat -- --on -a calm sea
 *         |    |   |              \_operands_/    \__ and here _/
 *
 * Options may stand anywhere behind the command; `--` ends them; of one given twice the last
 * counts, unless it is a list.
 */
#ifndef LAR_CLI_OPTIONS_H
#define LAR_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct err;

enum command {
#define COMMAND(ID, ...) COMMAND_##ID,
#define OPTION(...)
#include "cli/options.def"
#undef COMMAND
#undef OPTION
    N_COMMAND
};

enum option {
#define COMMAND(...)
#define OPTION(ID, ...) OPTION_##ID,
#include "cli/options.def"
#undef COMMAND
#undef OPTION
    N_OPTION
};

enum option_kind {
    KIND_FLAG,
    KIND_TEXT,
    KIND_LIST,
    KIND_WHOLE,
    KIND_NUMBER,
    KIND_SIZE,
    KIND_SEED,
    KIND_CHOICE
};

struct command_row {
    const char *name, *operands;
    int least, most; /* operands; most < 0: any number */
    const char *summary, *details;
};

struct option_row {
    unsigned commands; /* bit COMMAND_x: the option belongs to it */
    char letter;       /* 0: none */
    const char *name;
    enum option_kind kind;
    const char *value;
    double least, most;
    const char *standard; /* the default in words */
    const char *text;
};

extern const struct command_row command_rows[N_COMMAND];
extern const struct option_row option_rows[N_OPTION];

/* Which member is set follows from the row's kind; `text` always is, but for flags: the last one of
 * a list. */
struct option_value {
    bool given;
    const char *text;
    const char **list; /* LIST: every text, in order; owned array of borrowed strings */
    int n;
    uint64_t whole; /* WHOLE, SEED */
    double number;  /* NUMBER */
    int width, height;
};

struct options {
    enum command command;
    struct option_value value[N_OPTION];
    const char **operands; /* owned array of borrowed strings */
    int n_operands;
};

/* Parses main()'s arguments; strings stay borrowed from argv. ERR_ARG with a sentence that names
 * the option and its value. --help of a command gives COMMAND_HELP with the command as its operand,
 * no arguments COMMAND_HELP without one. The caller releases `o` in every case. */
int options_parse(struct options *o, int argc, char **argv, struct err *e);
void options_release(struct options *o);

/* Sets one option as if it stood on the command line. `text` stays borrowed; not for lists. */
int options_set(struct options *o, enum option id, const char *text, struct err *e);

/* Cuts ":1.5" off the end of "FILE:1.5": true with the number when it was there. */
bool options_cut_weight(char *text, double *weight);

/* The command of this name. ERR_ARG names the nearest one. */
int options_command(const char *name, enum command *command, struct err *e);

#endif
