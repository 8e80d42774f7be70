/* model_path.h - which model to use when the user did not say it this time.
 *
 *     -m MODEL  >  LAR_MODEL  >  $XDG_CONFIG_HOME/lar/model  >  Spark, which comes with Lar
 */
#ifndef LAR_CLI_MODEL_PATH_H
#define LAR_CLI_MODEL_PATH_H

struct err;

#define MODEL_PATH_BUNDLED 3

/* Where to look; NULL and "" are skipped. */
struct model_places {
    const char *option;      /* -m, borrowed */
    const char *environment; /* LAR_MODEL, borrowed */
    char *config;            /* a file whose first line is a path; owned */
    /* The bundled model: relative to the program, beside the sources, and installed; owned. */
    char *bundled[MODEL_PATH_BUNDLED];
};

/* Of this process. `option` is borrowed. */
void model_places_init(struct model_places *p, const char *option);
void model_places_release(struct model_places *p);

/* The path of the first model that is given, on the heap. It exists, or the sentence says who named
 * it; ERR_NOT_FOUND when there is none at all. */
int model_places_find(const struct model_places *p, char **path, struct err *e);

#endif
