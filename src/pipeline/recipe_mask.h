/* recipe_mask.h - which part of the source picture was drawn, as a part of the recipe. */
#ifndef LAR_PIPELINE_RECIPE_MASK_H
#define LAR_PIPELINE_RECIPE_MASK_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct buf;
struct err;

/* Strings are owned; name NULL: there was no mask. */
struct recipe_mask {
    char *name;  /* the mask's file without folders, "alpha": where the source is transparent, or
                  * "extended": only what lies beyond its sides */
    char *hash;  /* of the file; NULL for the others */
    bool invert; /* black was drawn, not white */
    bool area;   /* the mask's surroundings at full size */
    int seam;    /* pixels >= 0 */
    int padding; /* pixels >= 0, with `area` */
};

void recipe_mask_release(struct recipe_mask *m);

/* The member "mask"; NULL when there is none. */
json_t *recipe_mask_to_json(const struct recipe_mask *m);
/* ERR_FORMAT names the member that is wrong. NULL is no mask. */
int recipe_mask_from_json(struct recipe_mask *m, const json_t *o, struct err *e);

/* AUTOMATIC1111's settings of a masked picture, by its keys; "Mask image" and "Mask image hash" are
 * ours. The n-th of them with its value appended, NULL after the last. */
const char *recipe_mask_param(const struct recipe_mask *m, int n, struct buf *value);
/* Takes a setting that belongs to a mask; others do nothing. */
void recipe_mask_read(struct recipe_mask *m, const char *key, const char *value);

#endif
