/* source.h - the picture that `lar draw` starts from, and the part of it to draw anew, from options
 * or from a recipe.
 */
#ifndef LAR_CLI_SOURCE_H
#define LAR_CLI_SOURCE_H

#include "cli/model_hash.h"
#include "format/extend.h"
#include "format/picture.h"
#include "pipeline/recipe_mask.h"

struct err;
struct imagine_request;
struct options;
struct recipe;

/* A zeroed source is none. */
struct source {
    char *path; /* owned; NULL: draw from noise */
    char hash[MODEL_HASH_SIZE];
    struct picture image;
    struct picture mask;       /* white is drawn anew; no data: there is none */
    struct recipe_mask masked; /* as the recipe says it */
    bool extends;
    struct margins margins; /* with `extends`: what is drawn beyond the picture's sides */
};

/* Reads the options, and where none is given the recipe `from` of the picture `from_path` (NULL:
 * none). ERR_ARG for options that need a picture or mask that is not given. Release in any case. */
int source_read(struct source *s, const struct options *o, const struct recipe *from,
                const char *from_path, struct err *e);
void source_release(struct source *s);

/* Where it extends: makes picture and mask so large, in multiples of `factor` unless only the
 * mask's area is drawn. */
int source_extend(struct source *s, int factor, struct err *e);

/* Lends pictures and settings to the request. */
void source_request(const struct source *s, struct imagine_request *r);
void source_recipe(const struct source *s, const struct imagine_request *r, struct recipe *out);

#endif
