/* recipe_guides.h - what steers a picture beside the prompt: ControlNets and reference pictures, as
 * a part of the recipe.
 */
#ifndef LAR_PIPELINE_RECIPE_GUIDES_H
#define LAR_PIPELINE_RECIPE_GUIDES_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct buf;
struct err;
struct recipe;

enum guide_kind { GUIDE_CONTROL, GUIDE_STYLE, GUIDE_FACE, N_GUIDE };
const char *guide_kind_name(enum guide_kind k); /* "control", "style", "face" */

/* Strings are owned, NULL when unknown. */
struct recipe_guide {
    enum guide_kind kind;
    char *model;        /* the net's or adapter's file, without folders */
    char *hash;         /* of it */
    char *encoder;      /* references: the image encoder, without folders; in JSON only */
    char *picture;      /* without folders; in JSON only */
    char *picture_hash; /* in JSON only */
    double weight;      /* 1: as trained */
    double start, end;  /* ControlNets: the part of the steps, 0 .. 1 */
    bool canny;         /* ControlNets: edges of the picture, found with these thresholds */
    int low, high;
};

/* Takes the strings of g. */
void recipe_take_guide(struct recipe *r, struct recipe_guide g);
void recipe_guide_release(struct recipe_guide *g);
void recipe_release_guides(struct recipe *r);

/* The member "guides", a list; NULL when there are none. */
json_t *recipe_guides_to_json(const struct recipe *r);
int recipe_guides_from_json(struct recipe *r, const json_t *list, struct err *e);

/* The value of A1111's key "ControlNet N": "Module: canny, Model: name [hash], Weight: 1, ...". */
void recipe_guide_to_infotext(const struct recipe_guide *g, struct buf *out);
void recipe_guide_from_infotext(struct recipe *r, const char *text);

#endif
