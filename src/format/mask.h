/* mask.h - which part of a picture is meant: float [height, width] in 0 .. 1, made from a picture.
 */
#ifndef LAR_FORMAT_MASK_H
#define LAR_FORMAT_MASK_H

#include "format/picture.h"

struct mask {
    int width, height;
    float *data; /* [height, width], owned */
};

struct mask_box {
    int x, y, width, height; /* width 0: nothing is covered */
};

/* 1 where the picture's luma (Rec. 601, blended over black) is at least one half, else 0. ERR_NOMEM
 * leaves the mask empty. */
int mask_from_picture(struct mask *m, const struct picture *p, struct err *e);
/* 1 where the picture is more transparent than opaque; ERR_ARG when it has no alpha. `name` is the
 * picture in messages. */
int mask_from_alpha(struct mask *m, const struct picture *p, const char *name, struct err *e);
/* The mask as a picture, white where it is 1. */
int mask_to_picture(const struct mask *m, struct picture *p, struct err *e);
void mask_release(struct mask *m);

/* The smallest box that holds everything covered. */
struct mask_box mask_bounds(const struct mask *m);

/* Turns the mask's edge into a ramp of about `width` pixels that lies inside what was covered: what
 * was 0 stays 0. Width 0 changes nothing. */
int mask_feather(struct mask *m, int width, struct err *e);

/* out [height / factor, width / factor]: 1 where any of the cell's pixels is covered, else 0. */
void mask_shrink(const struct mask *m, int factor, float *out);

#endif
