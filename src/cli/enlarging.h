/* enlarging.h - the options --hires of `lar draw`: drawing again at a larger size. */
#ifndef LAR_CLI_ENLARGING_H
#define LAR_CLI_ENLARGING_H

#include "models/esrgan.h"
#include "pipeline/hires.h"

struct checkpoint;
struct err;
struct imagine_request;
struct options;
struct recipe;

/* A zeroed one is none. */
struct enlarging {
    struct imagine_hires hires; /* borrows `network` */
    struct esrgan network;
    struct checkpoint *file; /* of the network, owned; or NULL */
    char *name;              /* owned; the network's, without folders and ending */
};

/* What the options say and for the rest the recipe `from` of the picture `from_path` (NULL: none).
 * A network's bare name is looked for beside the model `model`, in upscalers/ there and in
 * $LAR_MODELS. Release in any case. */
struct enlarging_source {
    const struct options *o;
    const struct recipe *from;
    const char *from_path, *model;
};
int enlarging_read(struct enlarging *x, const struct enlarging_source *s, struct err *e);
void enlarging_release(struct enlarging *x);
void enlarging_recipe(const struct enlarging *x, struct recipe *out);

#endif
