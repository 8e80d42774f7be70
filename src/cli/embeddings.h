/* embeddings.h - the textual inversions of `lar draw`: from --embedding, from the recipe of --from,
 * and those in the folders embeddings/ that a prompt names. */
#ifndef LAR_CLI_EMBEDDINGS_H
#define LAR_CLI_EMBEDDINGS_H

struct err;
struct options;
struct recipe;

/* A zeroed one is empty. */
struct embedding_files {
    char **paths; /* owned */
    int n;
    char *hashes; /* owned; as a recipe has them; NULL: none */
};

/* What decides which. */
struct embedding_wish {
    const struct options *o;
    const char *model;             /* path */
    const char *prompt, *negative; /* negative may be NULL */
    const struct recipe *from;
    const char *from_path;
};

/* Finds the files and hashes them. ERR_NOT_FOUND for one that an option names; of one that only the
 * recipe names a warning says that the picture will differ. */
int embedding_files_find(struct embedding_files *f, const struct embedding_wish *w, struct err *e);
void embedding_files_release(struct embedding_files *f);

#endif
