/* embed_text.h - texts to vectors: a model for embeddings with its tokenizer. */
#ifndef LAR_PIPELINE_EMBED_TEXT_H
#define LAR_PIPELINE_EMBED_TEXT_H

#include "text/vocab.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct backend;
struct bert_params;
struct err;
struct text_embedder;

/* `path` is a GGUF file or a folder from Hugging Face (config.json, tokenizer.json, ...) with a
 * model of models/bert.h. Errors name the file and what is missing. */
int text_embedder_open(struct text_embedder **m, const char *path, struct err *e);
void text_embedder_close(struct text_embedder *m); /* NULL is fine */
const struct bert_params *text_embedder_params(const struct text_embedder *m);

struct embed_text_request {
    const struct span *texts;
    size_t n;
    bool whole;                /* ERR_ARG for a text that is too long, which is cut otherwise */
    int dimensions;            /* only so many of each vector, normalised again; 0: all */
    const atomic_bool *cancel; /* may be NULL */
};

struct embed_text_result {
    float *vectors; /* [n, dimensions]: each has the length 1; free() it */
    int n_dim;
    size_t n_tokens; /* of all texts, those that begin and end one included */
    size_t n_cut;    /* texts that were cut */
};

/* Texts of one length run together; a text's vector does not depend on the others. On a failure
 * `vectors` is NULL. ERR_NUMERIC when a vector has no direction (a damaged model). */
int embed_text(const struct text_embedder *m, struct backend *b, const struct embed_text_request *r,
               struct embed_text_result *out, struct err *e);

#endif
