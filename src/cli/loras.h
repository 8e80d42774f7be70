/* loras.h - the LoRAs of `lar draw`: from --lora, from the prompt's tags, from the recipe of
 * --from. */
#ifndef LAR_CLI_LORAS_H
#define LAR_CLI_LORAS_H

#include "pipeline/lora_stack.h"

struct err;
struct options;
struct recipe;

struct lora_choice {
    char *said;              /* a path or a bare name */
    char *name;              /* without folders and ending, as a recipe has it */
    char *path;              /* after loras_find(); NULL: weight 0, or none found */
    const char *hash_wanted; /* of the recipe; borrowed, or NULL */
    char *hash;              /* of the file once it was wanted; NULL */
    bool from_recipe;
    double text, unet;
};

/* Of one name there is one: what --lora says counts before the prompt, that before the recipe. */
struct loras {
    struct lora_choice *items; /* owned */
    int n;
    struct imagine_lora *request; /* owned; after loras_find(): those that act */
    int n_request;
};

/* Collects them; the tags leave the prompt. ERR_ARG for a weight that is no number. */
int loras_read(struct loras *l, const struct options *o, const struct recipe *from, char *prompt,
               struct err *e);
/* Finds their files, some beside the model. One that only a recipe names may be absent: a warning
 * says that the picture will differ. */
int loras_find(struct loras *l, const char *model, const char *from_path, struct err *e);
void loras_release(struct loras *l);

/* Adds them to the recipe, with the hashes that AUTOMATIC1111 would show; reads every file whose
 * metadata does not say its hash. */
void loras_to_recipe(const struct loras *l, struct recipe *r);

#endif
