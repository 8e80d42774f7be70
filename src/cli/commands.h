/* commands.h - one function per command of options.def; main.c calls them.
 *
 * Each returns 0 or an ERR_* with its sentence in `e`. What it wrote to standard output is complete
 * then.
 */
#ifndef LAR_CLI_COMMANDS_H
#define LAR_CLI_COMMANDS_H

#include "cli/options.h"

struct err;

#define COMMAND(ID, name, ...) int command_##name(const struct options *o, struct err *e);
#define OPTION(...)
#include "cli/options.def"
#undef COMMAND
#undef OPTION

#endif
