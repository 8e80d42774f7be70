/* terminal.h - what a terminal can do, as its environment says, and writing to it. */
#ifndef LAR_CLI_TERMINAL_H
#define LAR_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* `fd` is a terminal that can move its cursor: TERM is set and not "dumb". */
bool terminal_is_capable(int fd);
/* The locale's character set is UTF-8: by LC_ALL, LC_CTYPE and LANG, in this order. */
bool terminal_is_utf8(void);
/* The user wants no colours (https://no-color.org): NO_COLOR is set and not empty. */
bool terminal_no_color(void);

/* The window in cells and a cell in pixels; guesses where the terminal does not tell. */
struct terminal_window {
    int columns, rows;
    int cell_width, cell_height;
};
struct terminal_window terminal_window(int fd);

/* Writes all bytes; false when that fails. */
bool terminal_write(int fd, const char *s, size_t n);

#endif
