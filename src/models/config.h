/* config.h - the numbers of a component's config.json, with the checkpoint's defaults.
 *
 * What the tensors' shapes tell (widths, depths) is read from them; the configuration adds what
 * they cannot (heads, epsilons). A single-file checkpoint has none: every look-up then gives the
 * default.
 */
#ifndef LAR_MODELS_CONFIG_H
#define LAR_MODELS_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

struct checkpoint;
struct err;

struct config {
    json_t *root; /* owned; NULL when the checkpoint has no such file */
    const char *component;
};

int config_open(struct config *c, const struct checkpoint *file, const char *component,
                struct err *e);
void config_close(struct config *c);

/* Values of another JSON type, or outside [least, most], give the default: a wrong width then shows
 * as a misshapen tensor, by name. */
int config_int(const struct config *c, const char *key, int standard, int least, int most);
/* The key holds one number for all, or a list with one per block (the last one repeats). */
int config_int_at(const struct config *c, const char *key, int i, int standard);
double config_real(const struct config *c, const char *key, double standard);
bool config_bool(const struct config *c, const char *key, bool standard);
const char *config_text(const struct config *c, const char *key, const char *standard);

#endif
