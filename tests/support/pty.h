/* pty.h - a terminal for tests: what a function writes to it, and what a reader would see. */
#ifndef LAR_TESTS_SUPPORT_PTY_H
#define LAR_TESTS_SUPPORT_PTY_H

#include "base/buf.h"

#include <stdbool.h>

typedef void pty_fn(int fd, void *ctx);

/* Runs fn with a pseudo-terminal of this size and returns all it wrote; release the buffer. */
struct buf test_pty_run(int columns, int rows, pty_fn *fn, void *ctx);
/* The same with a pipe, which is no terminal. */
struct buf test_pipe_run(pty_fn *fn, void *ctx);

/* What the bytes do on a screen. Fails the test for control characters other than \r \n, and for
 * escape sequences other than CSI ... m, CSI K and the cursor's CSI ? 25 h/l. */
struct screen {
    int columns;     /* the longest line, in cells */
    int lines;       /* newlines */
    int n_escapes;   /* all sequences */
    int n_colours;   /* CSI ... m with a colour */
    bool ends_clean; /* the last line is empty or erased */
};
struct screen test_screen(const struct buf *written);

/* Sets TERM, LANG and NO_COLOR (NULL: unset) and clears what else tells terminals apart. */
void test_terminal(const char *term, const char *lang, const char *no_color);

#endif
