/* log.h - one line of diagnostics at a time, to a sink the program chooses.
 *
 * Libraries here never print; what a user must see is an error or an event. The log is for
 * warnings about odd but usable files and, at debug level, for developers.
 */
#ifndef LAR_BASE_LOG_H
#define LAR_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN };

typedef void log_fn(enum log_level level, const char *line, void *ctx);

/* The sink gets whole lines without a newline, from any thread; NULL drops them (the default).
 * Set it once at start, before other threads exist. */
void log_set_sink(log_fn *fn, void *ctx, enum log_level least);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
