/* help.h - what --help says, made from the table of options.def. */
#ifndef LAR_CLI_HELP_H
#define LAR_CLI_HELP_H

#include "cli/options.h"

struct buf;

/* What concerns every command; the last section has no title, the last row no left side. */
struct help_row {
    const char *left, *text;
};
struct help_section {
    const char *title, *text;
    struct help_row rows[12]; /* ended by one of NULLs */
};
extern const struct help_section help_sections[];

/* Appends the page of `lar help`: the commands, how the model is found, the exit codes. */
void help_overview(struct buf *b);
/* Appends the page of `lar help COMMAND`. */
void help_command(struct buf *b, enum command command);

#endif
