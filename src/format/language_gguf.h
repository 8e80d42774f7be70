/* language_gguf.h - a Hugging Face folder's language model in the form that its GGUF file has.
 *
 *     q and k of llama, smollm3     rows of each head: halves become the pairs of rotary positions
 *     gemma's norms                 weight + 1
 *     experts                       one tensor each -> [n_expert, n, k]
 *     gpt-oss                       gate and up taken apart, [in, out] turned to [out, in],
 *                                   MXFP4 in the order of GGUF's blocks
 *     llama3's and longrope's factors of rotary positions: tensors of their own
 *
 * Sources: llama.cpp's convert_hf_to_gguf.py and src/llama-arch.cpp. Names are mapped already
 * (language_names.h).
 */
#ifndef LAR_FORMAT_LANGUAGE_GGUF_H
#define LAR_FORMAT_LANGUAGE_GGUF_H

#include "base/arena.h"
#include "format/file_tensor.h"

#include <stdbool.h>

struct checkpoint;
struct err;
struct gguf_writer;
struct mix_model;

struct language_tensor {
    struct file_tensor t;                /* what language_gguf_make() gives */
    enum dtype from;                     /* of the sources */
    const unsigned char *const *sources; /* [n]: the tensors it is stacked from */
    int n;
    size_t size;    /* of each source */
    int64_t d_head; /* rows of heads of this size become pairs; 0: stay */
    bool plus_one;  /* F32 */
    int step, side; /* step > 0: every step-th column from `side` on of [n, k, step * rows] */
    bool changed;   /* language_gguf_make() is needed; else t.data are the bytes */
};

struct language_gguf {
    struct arena arena;
    struct language_tensor *tensors;
    size_t n;
};

/* Lists the tensors of a checkpoint for which checkpoint_is_huggingface(); it must outlive the
 * list. ERR_UNSUPPORTED names a tensor that has no place in the file. */
int language_gguf_list(struct language_gguf *g, const struct checkpoint *c, struct err *e);
void language_gguf_release(struct language_gguf *g); /* a zeroed one is fine */

/* The bytes of a changed tensor; heap. */
int language_gguf_make(const struct language_tensor *t, unsigned char **data, struct err *e);

/* language_meta.c: the keys "llama.block_count" and so on, of config.json. */
void language_gguf_put(const struct checkpoint *c, struct gguf_writer *w);
/* What the recipes of mix.h ask for. */
void language_gguf_model(const struct checkpoint *c, struct mix_model *m);

#endif
