/* show.h - a picture in the terminal, through chafa: Kitty, iTerm2 or sixel graphics, else blocks.
 */
#ifndef LAR_CLI_SHOW_H
#define LAR_CLI_SHOW_H

#include <stdbool.h>

struct picture;

/* Draws the picture to the terminal behind `fd`, followed by a newline, at most as large as the
 * window. Does nothing and returns false when `fd` is not a terminal, TERM is dumb, or the program
 * was built without chafa. With NO_COLOR set, blocks are drawn without colours. */
bool show_picture(const struct picture *p, int fd);

/* The same as blocks, which text may replace, in at most `most` rows; returns the rows it took, 0
 * where it did nothing. */
int show_blocks(const struct picture *p, int fd, int most);

#endif
