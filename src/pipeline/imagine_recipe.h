/* imagine_recipe.h - a request as a recipe. */
#ifndef LAR_PIPELINE_IMAGINE_RECIPE_H
#define LAR_PIPELINE_IMAGINE_RECIPE_H

#include "tensor/tape.h"

struct imagine_request;
struct recipe;

/* Initialises `out` with what the request says of picture i: prompts, seeds, sampling, size,
 * precision and this program's version; not with the names of models, LoRAs and pictures, which a
 * request does not know. */
void imagine_recipe(const struct imagine_request *r, int i, struct recipe *out);

/* "none", "x", "y", "both". The parser leaves *wrap alone and returns ERR_ARG for another name. */
const char *wrap_name(enum wrap wrap);
int wrap_parse(const char *name, enum wrap *wrap);

#endif
