/* find_file.h - where the small files that go with a model are looked for: LoRAs, embeddings.
 *
 *     a path, "here/ink.safetensors"    taken as it is
 *     a bare name, "ink"                beside the model, in "loras/" beside it, in $LAR_MODELS and
 *                                       in $LAR_MODELS/loras
 */
#ifndef LAR_PIPELINE_FIND_FILE_H
#define LAR_PIPELINE_FIND_FILE_H

struct err;

struct find_file {
    const char *name;           /* as the user said it */
    const char *what;           /* "LoRA", for messages */
    const char *folder;         /* "loras" */
    const char *model;          /* path of the model's file or folder; NULL: none */
    const char *const *endings; /* ".safetensors", ...; NULL at the end */
};

/* *path is on the heap. ERR_NOT_FOUND lists where it was looked for. */
int find_file(const struct find_file *f, char **path, struct err *e);

/* Passes on every file with one of the endings in the kind's folders, in the order they are looked
 * through; f->name and f->what are not read. */
void find_file_each(const struct find_file *f, void (*fn)(const char *path, void *ctx), void *ctx);

/* The name of a file without folders and without one of these endings; heap. */
char *find_file_name(const char *path, const char *const *endings);

/* A file or folder that the recipe in the picture `from_path` names: beside that picture, in the
 * current folder, or in $LAR_MODELS; heap, NULL when it is in none. */
char *find_file_of_recipe(const char *name, const char *from_path);

#endif
