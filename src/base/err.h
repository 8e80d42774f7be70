/* err.h - error codes and the one sentence that explains a failure.
 *
 * A fallible function returns 0 or a negative ERR_* and takes `struct err *e` as its last
 * parameter. The sentence is set once, where the failure happens; callers pass it on untouched.
 */
#ifndef LAR_BASE_ERR_H
#define LAR_BASE_ERR_H

#include <stdarg.h>

enum err_code {
#define ERR(name, value, http, text) ERR_##name = (value),
#include "base/err.def"
#undef ERR
};

/* A zeroed struct err is ready for use. */
struct err {
    int code;        /* 0 or ERR_* */
    char text[1024]; /* one sentence naming the file, tensor, field or option, and what to do */
};

/* Stores code and sentence unless an earlier failure is already stored; returns the stored code.
 * `e` may be NULL, then only the code is returned. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_vset(struct err *e, int code, const char *fmt, va_list args);

#ifdef __clang_analyzer__ /* it cannot see that a failure is never 0 */
#define err_set(...) (err_set(__VA_ARGS__), -1)
#endif

/* Puts "prefix: " in front of the stored sentence; for callers that know the file or the layer. */
void err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *err_name(int code);    /* "ERR_ARG"; "ERR_UNKNOWN" for a foreign number */
const char *err_meaning(int code); /* the table's text */
int err_http_status(int code);     /* the HTTP status that reports this code */

#endif
