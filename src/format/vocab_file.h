/* vocab_file.h - reads the vocabulary of CLIP's tokenizer from the files it comes in. */
#ifndef LAR_FORMAT_VOCAB_FILE_H
#define LAR_FORMAT_VOCAB_FILE_H

#include "base/arena.h"
#include "format/checkpoint.h"

struct err;
struct gguf;

/* Owns what `vocab` points to. A zeroed one is empty: vocab.n_tokens is 0. */
struct vocab_file {
    struct ckpt_vocab vocab;
    struct arena arena;
    const char **tokens, **merges;
};

/* A tokenizer folder: vocab.json and merges.txt, else tokenizer.json. A folder with neither, or
 * none at all, leaves v empty. */
int vocab_file_read_folder(struct vocab_file *v, const char *dir, struct err *e);

/* tokenizer.ggml.* of a GGUF file; empty when it has no "clip" tokenizer. `pad_key` may override
 * the padding token. */
int vocab_file_read_gguf(struct vocab_file *v, const struct gguf *g, const char *pad_key,
                         struct err *e);

/* Files without a place for a vocabulary carry it as JSON in their metadata (CLIP_VOCAB_META):
 * {"tokens": [...], "merges": [...], "bos": 0, "eos": 1, "pad": 1, "pad_2": 0}; numbers may be
 * absent. `pad_key` is "pad" or "pad_2". */
#define CLIP_VOCAB_META "lar.tokenizer"
int vocab_file_read_text(struct vocab_file *v, const char *text, const char *pad_key,
                         struct err *e);
/* Heap, the caller frees; `second` may be NULL. */
char *vocab_file_write_text(const struct ckpt_vocab *first, const struct ckpt_vocab *second);

void vocab_file_release(struct vocab_file *v);

#endif
