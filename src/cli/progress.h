/* progress.h - how far the steps are: a bar on a terminal, plain lines elsewhere.
 *
 *     terminal:  step  3/20 [====                ]  1.2 s/step  20 s left
 *     else:      step 3/20  1.2 s/step  20 s left
 *
 * The bar is redrawn in place at most ten times a second, fits the window and is wiped at the end;
 * lines come at most once a second, also on a terminal with TERM=dumb. The first and the last step
 * are always told. With NO_COLOR no escape sequence is written, only carriage returns.
 */
#ifndef LAR_CLI_PROGRESS_H
#define LAR_CLI_PROGRESS_H

#include <stdbool.h>

struct progress {
    int fd;
    const char *label; /* borrowed, ASCII: "step" */
    bool rate;         /* tell "12.5 MB/s" rather than "80 ms/MB" */
    int before;        /* steps done earlier than the first call, which took no time */
    bool tty;          /* redraw in place */
    bool escapes;      /* may erase with an escape sequence instead of blanks */
    bool utf8;         /* may draw the bar with box characters */
    int drawn;         /* columns on the line now */
    int last_done;     /* the step last told; -1: none */
    double start;      /* seconds, of the first call */
    double last;       /* seconds, when something was last told */
};

/* For `fd` (usually 2); `label` (ASCII) must outlive the progress. Writes nothing yet. */
void progress_begin(struct progress *p, int fd, const char *label);
/* For bytes, in MB with their rate; those of the first call came earlier. */
void progress_begin_bytes(struct progress *p, int fd);
/* `done` of `total` steps are done. Time is counted from progress_begin(). */
void progress_step(struct progress *p, int done, int total);
/* The same at a given time in seconds of any monotonic clock; for tests. */
void progress_step_at(struct progress *p, int done, int total, double now);
/* Wipes the bar, so that what follows starts on a clean line. Writes nothing elsewhere. */
void progress_end(struct progress *p);

#endif
