/* stop.h - strings that end a text: never a part of one is let through.
 *
 *     stop strings "\n\nUser:"     pushed "so.\n" "\nUs" "ed"       let through "so." "" "\n\nUsed"
 *
 * What could be the beginning of a stop string is held back until the next piece decides.
 */
#ifndef LAR_TEXT_STOP_H
#define LAR_TEXT_STOP_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

#define STOP_MAX     64   /* strings */
#define STOP_MAX_LEN 1024 /* bytes of one */

struct stop_filter {
    char *text[STOP_MAX]; /* owned; UTF-8, not empty */
    size_t len[STOP_MAX];
    int n;
    struct buf held; /* the end of what was pushed: how some stop string begins */
};

/* Copies the n strings. ERR_ARG for one that is empty, too long or no UTF-8, and for too many. The
 * caller releases `f` in every case. */
int stop_init(struct stop_filter *f, const char *const *strings, int n, struct err *e);
void stop_release(struct stop_filter *f);

/* Appends to `out` what is certain now. The index of the stop string that was completed first,
 * which is dropped with all behind it; -1: none yet. */
int stop_push(struct stop_filter *f, const char *text, size_t n, struct buf *out);

/* The text ends here: lets go what was held back. */
void stop_flush(struct stop_filter *f, struct buf *out);

#endif
