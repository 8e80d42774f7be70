/* text_model.h - a language model with all that its files say: weights, vocabulary, chat template
 * and the settings its makers recommend. A GGUF file or a Hugging Face folder.
 *
 * Immutable once open: any thread may read it.
 */
#ifndef LAR_PIPELINE_TEXT_MODEL_H
#define LAR_PIPELINE_TEXT_MODEL_H

#include "models/language.h"
#include "text/token_pieces.h"
#include "text/token_sampler.h"
#include "text/tokenizer.h"

#include <pthread.h>
#include <stddef.h>

struct buf;
struct chat_request;
struct chat_template;
struct checkpoint;
struct err;
struct token_trie;

struct text_model {
    struct checkpoint *file;
    struct language_model *language;
    struct tokenizer *tokenizer;
    struct chat_template *chat;          /* the files', or one for the architecture */
    char *folder;                        /* where the files lie */
    char *name;                          /* general.name, else the file's */
    struct token_sampler_params sampler; /* Lar's defaults, over them the files' */
    struct token_pieces pieces;          /* for constraints */
    pthread_mutex_t lock;                /* guards `trie` */
    struct token_trie *trie;             /* NULL until somebody needs it */
};

/* Errors name the file and what is missing. *m is NULL then. */
int text_model_open(struct text_model **m, const char *path, struct err *e);
void text_model_close(struct text_model *m); /* NULL is fine */

/* The tokens of a text as it is, with what the model wants before it (BOS). */
int text_model_tokenize(const struct text_model *m, const char *text, size_t n, struct tokens *out,
                        struct err *e);

/* The tokens of a conversation (text/chat.h): the template's text with its special tokens, BOS
 * once. `text`, unless NULL, is appended that text. */
int text_model_chat(const struct text_model *m, const struct chat_request *r, struct tokens *out,
                    struct buf *text, struct err *e);

/* The vocabulary for constraints, made when it is first asked for; lives as long as the model. */
int text_model_trie(struct text_model *m, const struct token_trie **trie, struct err *e);

#endif
