/* lettering.h - short texts in pictures, in a small fixed font of ASCII. */
#ifndef LAR_FORMAT_LETTERING_H
#define LAR_FORMAT_LETTERING_H

#include <stddef.h>

struct picture;

#define LETTERING_WIDTH  6 /* of a letter with the space behind it */
#define LETTERING_HEIGHT 9 /* of a line with the space below it */

struct lettering_place {
    int x, y;  /* pixels, of the first letter's upper left corner */
    int scale; /* pixels per dot of the font, >= 1 */
};

/* Writes n bytes of UTF-8 in black into an RGB picture; characters beyond ASCII are boxes, what
 * lies outside is not drawn. */
void lettering_draw(struct picture *p, struct lettering_place at, const char *text, size_t n);

#endif
