/* infotext.h - a recipe as AUTOMATIC1111's "infotext"; called by recipe.c only.
 *
 *     a prompt of
 *     any number of lines
 *     Negative prompt: likewise
 *     Steps: 20, Sampler: DPM++ 2M, Size: 512x512, Model: "quoted as JSON: when it must be"
 */
#ifndef LAR_PIPELINE_INFOTEXT_H
#define LAR_PIPELINE_INFOTEXT_H

struct buf;
struct recipe;

char *infotext_write(const struct recipe *r); /* heap */

/* Fills an initialised recipe from at most RECIPE_MAX_TEXT bytes. Returns the number of settings
 * in the last line; a line with fewer than three is prompt, as in A1111, and gives 0. */
int infotext_read(struct recipe *r, const char *text);

/* The shortest decimal that reads back as v, in any locale; as Python writes it. */
void infotext_append_number(struct buf *b, double v);

#endif
