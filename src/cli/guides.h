/* guides.h - what steers `lar draw` beside the prompt: ControlNets and reference pictures, from
 * options or from a recipe.
 */
#ifndef LAR_CLI_GUIDES_H
#define LAR_CLI_GUIDES_H

#include "format/picture.h"
#include "pipeline/control.h"
#include "pipeline/recipe_guides.h"
#include "pipeline/reference.h"

struct err;
struct imagine_request;
struct model_hash;
struct options;
struct recipe;

#define GUIDES_MAX (CONTROL_MAX + REFERENCE_MAX)

/* A net, adapter or image encoder; several guides may share one. */
struct guide_file {
    char *path;              /* owned */
    struct checkpoint *file; /* owned */
    struct model_hash *hash; /* NULL until guides_request() */
};

/* One of them; `known` holds the paths in place of names. */
struct guide {
    struct recipe_guide known; /* its strings are owned here */
    struct picture picture;
    struct guide_file *model, *encoder; /* of struct guides; no encoder: a ControlNet */
};

struct guides {
    struct guide all[GUIDES_MAX];
    int n;
    struct guide_file files[2 * GUIDES_MAX];
    int n_files;
    struct imagine_control controls[CONTROL_MAX]; /* borrows from all */
    struct imagine_reference references[REFERENCE_MAX];
};

/* Reads the options, and where none is given the recipe of the picture `from_path` (NULL: none);
 * opens nets and pictures. What only a recipe names and is not found is left out with a warning. */
int guides_read(struct guides *g, const struct options *o, const struct recipe *from,
                const char *from_path, struct err *e);
void guides_release(struct guides *g);

/* Lends them to the request, until guides_release(), and begins to hash the files. */
void guides_request(struct guides *g, struct imagine_request *r);
/* Adds them to a recipe; waits for the hashes. */
void guides_recipe(const struct guides *g, struct recipe *out);

#endif
