/* embedding.h - textual inversions (Gal et al., arXiv:2208.01618): words of a prompt that stand for
 * trained vectors in place of tokens.
 *
 *     {"<cat-toy>": [768]}                           diffusers, .safetensors or .bin
 *     {"emb_params": [8, 768]}                       AUTOMATIC1111, .safetensors
 *     {"string_to_param": {"*": [8, 768]}, ...}      AUTOMATIC1111, .pt
 *     {"clip_l": [8, 768], "clip_g": [8, 1280]}      SDXL
 *
 * The word is the file's name, as in AUTOMATIC1111; what diffusers wrote into the file is one too.
 */
#ifndef LAR_PIPELINE_EMBEDDING_H
#define LAR_PIPELINE_EMBEDDING_H

#include "text/chunks.h"

struct err;
struct image_model;

/* What such a file may end in; NULL at the end. */
extern const char *const embedding_endings[];

struct embedding {
    char *words[2];    /* owned; the second may be NULL */
    int n;             /* vectors */
    float *vectors[2]; /* owned; [n, n_embd] of each text encoder */
};

/* Those of a request. A zeroed one is empty. */
struct embeddings {
    struct embedding *items; /* owned */
    int n;
};

/* Reads the files. ERR_FORMAT for one that is no textual inversion or one for another kind of
 * model; the sentence names the file. Nothing is held then. */
int embeddings_open(struct embeddings *s, const struct image_model *m, const char *const *paths,
                    int n, struct err *e);
void embeddings_close(struct embeddings *s);

/* Their words in the tokens of one text encoder, for cutting prompts. A zeroed one is empty. */
struct embedding_words {
    struct chunk_word *words; /* owned, with their ids */
    size_t n;
    float *vectors; /* owned; [n_vectors, n_embd] */
    size_t n_vectors;
};

/* which: text encoder 0 or 1. `s` may be NULL and is borrowed. ERR_NOMEM. */
int embedding_words_make(struct embedding_words *w, const struct embeddings *s,
                         const struct image_model *m, int which, struct err *e);
void embedding_words_release(struct embedding_words *w);

#endif
