/* settings.h - what `lar draw` shall draw: the model's defaults, over them the recipe of --from,
 * over that the options.
 */
#ifndef LAR_CLI_SETTINGS_H
#define LAR_CLI_SETTINGS_H

#include "cli/enlarging.h"
#include "cli/guides.h"
#include "cli/embeddings.h"
#include "cli/loras.h"
#include "cli/parts.h"
#include "cli/sampling.h"
#include "cli/source.h"
#include "pipeline/imagine.h"
#include "pipeline/recipe.h"

#include <stdbool.h>

struct err;
struct options;

struct settings {
    const char *from_path; /* of --from, borrowed; NULL */
    struct recipe from;    /* all unknown without --from */
    char *prompt;          /* owned; without the tags of LoRAs */
    struct loras loras;
    struct source source;
    struct embedding_files embeddings;
    struct parts parts; /* after settings_open_model() */
    struct guides guides;
    struct enlarging enlarging;
    struct sampling sampling;
    struct imagine_request standard; /* before options and recipe say what the picture is */
    struct imagine_request request;  /* strings borrowed from here and from the options */
};

/* Reads all that needs no model: the prompt, the recipe, the picture to start from. The caller
 * releases `s` in every case. */
int settings_read(struct settings *s, const struct options *o, struct err *e);
void settings_release(struct settings *s);

/* Opens the model that options, recipe and environment name. */
int settings_open_model(struct settings *s, const struct options *o, struct image_model **m,
                        struct err *e);

/* Fills s->request but for its callbacks. A size that the model cannot draw is rounded, with a note
 * on standard error. */
int settings_request(struct settings *s, const struct options *o, const struct image_model *m,
                     const struct backend *b, struct err *e);

/* Once more after settings_request(), with other values of a few options, for a grid. */
int settings_vary(struct settings *s, const struct options *o, const struct image_model *m,
                  struct err *e);

#endif
