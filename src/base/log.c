/* log.c - see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static log_fn *sink;
static void *sink_ctx;
static enum log_level sink_least;

void log_set_sink(log_fn *fn, void *ctx, enum log_level least)
{
    sink = fn;
    sink_ctx = ctx;
    sink_least = least;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list args;
    if (!sink || level < sink_least)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    sink(level, line, sink_ctx);
}
