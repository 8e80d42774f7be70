/* message.h - how the commands talk: results on standard output, everything else on standard error,
 * one sentence a line, behind "lar: ".
 */
#ifndef LAR_CLI_MESSAGE_H
#define LAR_CLI_MESSAGE_H

#include <stddef.h>

struct err;

/* "lar: ..." on standard error. Control characters (of file names, say) are shown as '?'. */
void message_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void message_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void message_error(const struct err *e);

/* Results. A reader that closed the pipe early has what it wanted: that is no failure, and what
 * follows is dropped. ERR_IO for a full disk. */
int message_out(const char *s, size_t n, struct err *e);

/* 0, 1 or 2 as `lar help` says; 1 for ERR_CANCELLED without a signal. */
int message_exit_code(int rc);

#endif
