/* terminal.c - see terminal.h. */
#include "cli/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* An environment variable; NULL when it is empty, too. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

bool terminal_is_capable(int fd)
{
    const char *term = variable("TERM");
    return term && strcmp(term, "dumb") != 0 && isatty(fd);
}

bool terminal_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = variable(names[i]);
        if (value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

bool terminal_no_color(void)
{
    return variable("NO_COLOR") != NULL;
}

struct terminal_window terminal_window(int fd)
{
    struct terminal_window w = {80, 24, 10, 20};
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        return w;
    w.columns = size.ws_col;
    w.rows = size.ws_row;
    int cell_width = size.ws_xpixel / size.ws_col, cell_height = size.ws_ypixel / size.ws_row;
    if (cell_width >= 2 && cell_height >= 2 && cell_width < 200 && cell_height < 200) {
        w.cell_width = cell_width;
        w.cell_height = cell_height;
    }
    return w;
}

bool terminal_write(int fd, const char *s, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, s, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        s += done;
        n -= (size_t)done;
    }
    return true;
}
