/* extend.h - pictures that grow beyond their sides, for drawing what lies outside.
 *
 *     +------+-------------+      the new area repeats the nearest pixel of the picture, with noise
 *     | left |   picture   |      that grows with the distance, so that repeating shows no streaks
 *     +------+-------------+
 *     |         bottom     |
 *     +--------------------+
 */
#ifndef LAR_FORMAT_EXTEND_H
#define LAR_FORMAT_EXTEND_H

#include <stdbool.h>

struct err;
struct picture;

#define EXTEND_MAX 16384 /* pixels on a side */

struct margins {
    int left, right, top, bottom; /* pixels, 0 .. EXTEND_MAX */
};

/* "LEFT,RIGHT,TOP,BOTTOM", "all=64" or sides by name: "left=64,bottom=32". False for anything else,
 * and where nothing grows. */
bool margins_parse(struct margins *m, const char *text);
#define MARGINS_TEXT 64
/* The first form into out; returns out. */
const char *margins_text(const struct margins *m, char out[MARGINS_TEXT]);

/* Grows right and bottom (left and top if only these grow) until width and height of the picture
 * with its margins are multiples of `factor`. */
void margins_round(struct margins *m, int width, int height, int factor);

/* `out` becomes `in` with the margins around it. */
int picture_extend(const struct picture *in, const struct margins *m, struct picture *out,
                   struct err *e);

/* The mask of what is new around a picture: white there and `overlap` pixels into the picture, as
 * `inside` in the rest. */
struct extend_mask {
    const struct picture *inside; /* RGB [height, width]; NULL: black */
    int width, height;            /* of the picture */
    int overlap;
};
int picture_extend_mask(const struct extend_mask *x, const struct margins *m, struct picture *out,
                        struct err *e);

#endif
