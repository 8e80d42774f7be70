/* sheet.h - many pictures on one: a grid, each with a caption above it.
 *
 *     steps 4, guidance 2    steps 4, guidance 5
 *     [                 ]    [                 ]
 *     steps 8, guidance 2    ...
 */
#ifndef LAR_CLI_SHEET_H
#define LAR_CLI_SHEET_H

#include "format/picture.h"

struct err;

#define SHEET_MAX_SIDE 8192 /* pixels: larger sheets are scaled down */

struct sheet_cell {
    struct picture picture;
    char *caption;
};

struct sheet {
    int columns, rows;
    struct sheet_cell *cells; /* owned */
    int n;                    /* so far */
};

/* For up to columns * rows pictures. */
void sheet_init(struct sheet *s, int columns, int rows);
void sheet_release(struct sheet *s);

/* The next picture, from left to right and down; copies both. */
int sheet_add(struct sheet *s, const struct picture *p, const char *caption, struct err *e);

/* Black captions on white; pictures of different sizes start at the upper left of their cells. */
int sheet_draw(const struct sheet *s, struct picture *out, struct err *e);

#endif
