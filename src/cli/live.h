/* live.h - a picture in the making, drawn again and again in one place of the terminal.
 *
 * Blocks only: every terminal replaces them in place. Nothing is written where `fd` is no terminal,
 * TERM is dumb, NO_COLOR is set (there would be escape sequences) or chafa is missing.
 */
#ifndef LAR_CLI_LIVE_H
#define LAR_CLI_LIVE_H

struct picture;

/* A zeroed struct shows nothing yet. */
struct live {
    int rows; /* on the screen, above the cursor's line */
};

/* Draws it over the one before. The cursor's line must be empty. */
void live_show(struct live *l, const struct picture *p, int fd);
/* Wipes it; the cursor stands where it began. */
void live_end(struct live *l, int fd);

#endif
