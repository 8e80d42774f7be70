/* tokenizer_put.h - a Hugging Face tokenizer as GGUF metadata, as llama.cpp's converter writes it:
 * what tokenizer_from_gguf() reads gives the same tokens.
 */
#ifndef LAR_TEXT_TOKENIZER_PUT_H
#define LAR_TEXT_TOKENIZER_PUT_H

#include "text/vocab.h"

struct gguf_writer;

struct tokenizer_files {
    struct span json;     /* tokenizer.json */
    struct span config;   /* tokenizer_config.json, or empty */
    struct span template; /* chat_template.jinja, or empty: the configuration may have one */
    size_t n_vocab;       /* rows of the model's embeddings: as many tokens are written, at least */
};

/* Byte-level BPE, BPE with byte fallback (as SentencePiece's) and WordPiece. ERR_UNSUPPORTED names
 * what GGUF has no form for. */
int tokenizer_put(const struct tokenizer_files *f, struct gguf_writer *w, struct err *e);

#endif
