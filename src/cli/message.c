/* message.c - see message.h. */
#include "cli/message.h"

#include "base/err.h"
#include "cli/terminal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One write() per line, so that lines of several processes do not mix. */
static void line(const char *prefix, const char *fmt, va_list args)
{
    char s[2048];
    size_t n = (size_t)snprintf(s, sizeof(s), "lar: %s", prefix);
    vsnprintf(s + n, sizeof(s) - n, fmt, args);
    for (char *p = s; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    n = strlen(s);
    if (n == sizeof(s) - 1)
        n--;
    s[n++] = '\n';
    terminal_write(STDERR_FILENO, s, n);
}

void message_note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    line("", fmt, args);
    va_end(args);
}

void message_warn(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    line("warning: ", fmt, args);
    va_end(args);
}

void message_error(const struct err *e)
{
    if (e->code == ERR_CANCELLED) /* where does not matter */
        message_note("cancelled");
    else
        message_note("%s", *e->text ? e->text : err_meaning(e->code));
}

int message_out(const char *s, size_t n, struct err *e)
{
    if (terminal_write(STDOUT_FILENO, s, n) || errno == EPIPE)
        return 0;
    return err_set(e, ERR_IO, "standard output: writing failed: %s", strerror(errno));
}

int message_exit_code(int rc)
{
    if (rc == 0)
        return 0;
    return rc == ERR_ARG ? 2 : 1;
}
