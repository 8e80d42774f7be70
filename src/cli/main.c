/* main.c - the program `lar`: parses the command line and calls the command. */
#include "base/err.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

static int (*const commands[N_COMMAND])(const struct options *o, struct err *e) = {
#define COMMAND(ID, name, ...) command_##name,
#define OPTION(...)
#include "cli/options.def"
#undef COMMAND
#undef OPTION
};

static const char *const levels[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn"};

static void log_sink(enum log_level level, const char *line, void *ctx)
{
    (void)ctx;
    message_note("%s: %s", level == LOG_WARN ? "warning" : levels[level], line);
}

static void open_log(void)
{
    const char *wanted = getenv("LAR_LOG");
    enum log_level level = LOG_WARN;
    for (int i = LOG_DEBUG; wanted && i <= LOG_WARN; i++)
        if (strcmp(wanted, levels[i]) == 0)
            level = (enum log_level)i;
    log_set_sink(log_sink, NULL, level);
}

int main(int argc, char **argv)
{
    struct options o;
    struct err e = {0};
    open_log();
    interrupt_begin();
    int rc = options_parse(&o, argc, argv, &e);
    if (!rc)
        rc = commands[o.command](&o, &e);
    options_release(&o);
    if (rc)
        message_error(&e);
    return interrupt_exit_code(message_exit_code(rc));
}
