/* parts.h - the files that --vae and --text-encoder of `lar draw` name, and those of a recipe. */
#ifndef LAR_CLI_PARTS_H
#define LAR_CLI_PARTS_H

struct err;
struct image_files;
struct options;
struct recipe;

struct parts {
    char *vae, *text_encoder[2]; /* owned paths; NULL: the model's own */
};

/* A bare name is looked for beside the model, in "vae/" or "text_encoders/" beside it and in
 * $LAR_MODELS. What only the recipe of --from names may be absent: a warning says that the picture
 * will differ. `model` is the model's path. */
int parts_find(struct parts *p, const struct options *o, const struct recipe *from,
               const char *from_path, const char *model, struct err *e);
void parts_release(struct parts *p);

/* Names the files to open; the paths are borrowed. */
void parts_files(const struct parts *p, struct image_files *f);
void parts_recipe(const struct parts *p, struct recipe *r);

#endif
