/* live.c - see live.h. */
#include "cli/live.h"

#include "cli/show.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>

#define MOST_ROWS 24 /* a glance, not a gallery */

/* Moves to the first column of the picture's first row. */
static void rewind_to_top(const struct live *l, int fd)
{
    char up[32];
    int n = l->rows ? snprintf(up, sizeof(up), "\r\033[%dA", l->rows) : 0;
    terminal_write(fd, up, (size_t)n);
}

void live_show(struct live *l, const struct picture *p, int fd)
{
    if (!terminal_is_capable(fd) || terminal_no_color())
        return;
    rewind_to_top(l, fd);
    l->rows = show_blocks(p, fd, MOST_ROWS);
}

void live_end(struct live *l, int fd)
{
    if (!l->rows)
        return;
    rewind_to_top(l, fd);
    terminal_write(fd, "\033[J", 3);
    l->rows = 0;
}
