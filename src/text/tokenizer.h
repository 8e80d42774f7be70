/* tokenizer.h - text to token ids and back, for every kind of vocabulary of language models.
 *
 *     text ──special and added tokens──► pieces ──normalize──► ──split into words──► ──model──► ids
 *
 * The model is byte-level BPE (GPT-2), SentencePiece BPE (Llama) or Unigram (T5), or WordPiece
 * (BERT). Ids are those of Hugging Face's tokenizers 0.23, where that and llama.cpp differ; so is
 * the meaning of a tokenizer.json, https://huggingface.co/docs/tokenizers.
 */
#ifndef LAR_TEXT_TOKENIZER_H
#define LAR_TEXT_TOKENIZER_H

#include "text/vocab.h"

#include <stdbool.h>

struct gguf;

/* Longer texts are refused, which bounds time and memory (at the worst 40 bytes per byte). */
#define TOKENIZER_TEXT_MAX ((size_t)64 << 20)

/* Read-only once made: any thread may use it. */
struct tokenizer;

/* A growable list of ids; a zeroed one is empty. */
struct tokens {
    int32_t *ids;
    size_t n, cap;
};

/* Never more than TOKENIZER_TEXT_MAX ids, plus those that begin and end a text. */
int tokens_push(struct tokens *list, int32_t id, struct err *e);
void tokens_release(struct tokens *list);

/* tokenizer.ggml.* of a GGUF file; nothing of it is borrowed. ERR_FORMAT names the key that is
 * wrong, ERR_UNSUPPORTED the model or pre-tokenizer that is unknown. */
int tokenizer_from_gguf(struct tokenizer **t, const struct gguf *g, struct err *e);

/* Hugging Face's tokenizer.json; `config` is the tokenizer_config.json beside it, which knows BOS
 * and EOS, or empty. ERR_FORMAT and ERR_UNSUPPORTED name the part. */
int tokenizer_from_json(struct tokenizer **t, struct span json, struct span config, struct err *e);

/* The tokenizer of a model: a GGUF file; a Hugging Face folder with tokenizer.json, with vocab.json
 * and merges.txt, with vocab.txt (BERT) or with SentencePiece's tokenizer.model; or one of the
 * files tokenizer.json, *.model, *.tiktoken. Errors name the file. */
int tokenizer_open(struct tokenizer **t, const char *path, struct err *e);
void tokenizer_free(struct tokenizer *t);

enum {
    TOKENIZE_SPECIAL = 1, /* special tokens spelled out in the text are these tokens */
    TOKENIZE_ENDS = 2,    /* BOS and EOS, or what the model has instead, are added as it wants */
};

/* Appends the ids of the text. Any bytes are text: those that are no UTF-8 stay as they are with
 * byte-level BPE and become U+FFFD otherwise. ERR_ARG beyond TOKENIZER_TEXT_MAX, ERR_NOMEM. */
int tokenizer_encode(const struct tokenizer *t, struct span text, unsigned flags,
                     struct tokens *out, struct err *e);

/* The bytes a token stands for, borrowed: what detokenizer.h puts together, often no whole
 * character. A special token stands for its own text. Empty for ids out of range. */
struct span tokenizer_piece(const struct tokenizer *t, int32_t id);
/* The token as the file spells it ("Ġthe", "▁the", "<0x0A>"). */
struct span tokenizer_spelling(const struct tokenizer *t, int32_t id);
/* The token spelled so, or -1. */
int32_t tokenizer_find(const struct tokenizer *t, struct span spelling);

size_t tokenizer_size(const struct tokenizer *t);
int32_t tokenizer_bos(const struct tokenizer *t); /* -1: none */
int32_t tokenizer_eos(const struct tokenizer *t); /* -1: none */
/* Does TOKENIZE_ENDS put tokens before the text? A chat template that spells out BOS needs none. */
bool tokenizer_adds_bos(const struct tokenizer *t);
bool tokenizer_is_end(const struct tokenizer *t, int32_t id);     /* any end of generation */
bool tokenizer_is_special(const struct tokenizer *t, int32_t id); /* not part of the text */
/* Is the first blank of a text the tokenizer's own, to be dropped when it is put together? */
bool tokenizer_strips_first_space(const struct tokenizer *t);
/* Likewise the last one: words end with one, but for the last word. */
bool tokenizer_strips_last_space(const struct tokenizer *t);

#endif
