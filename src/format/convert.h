/* convert.h - writes a checkpoint as one file, GGUF or safetensors, in another element type.
 *
 * A checkpoint with diffusers' names gets them in the file (`unet.conv_in.weight`), others keep
 * their own. Configurations (`lar.model_index`, `lar.config.<component>`), the vocabulary and the
 * metadata of the source travel along.
 */
#ifndef LAR_FORMAT_CONVERT_H
#define LAR_FORMAT_CONVERT_H

#include "tensor/dtype.h"

#include <stdbool.h>
#include <stdint.h>

struct checkpoint;
struct err;
struct gguf_writer;
struct mix;

struct convert_options {
    /* F32, F16, BF16 or one that quantise_can() write; DTYPE_OTHER keeps every tensor's type.
     * Tensors that are no floating point numbers keep theirs always. */
    enum dtype type;
    /* Bytes of tensors written so far and in all; false cancels. May be NULL. */
    bool (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
    /* Which tensors of a language model get which type; NULL: what mix_of_type(type) says. Its type
     * is `type`. */
    const struct mix *mix;
    int n_threads; /* 0: one per processor */
    /* Adds metadata to a GGUF file: the tokenizer of a Hugging Face folder. May be NULL. */
    int (*describe)(void *ctx, struct gguf_writer *w, struct err *e);
};

/* The type a tensor of a picture model gets: only matrices [n, multiple of the block] are
 * quantised, without position embeddings and OpenCLIP's transposed `text_projection`. Where columns
 * divide by 32 but not by 256, Q4_0 stands in for Q2_K and Q3_K, Q5_0 for Q4_K, Q5_1 for Q5_K, Q8_0
 * for Q6_K and IQ4_NL for IQ4_XS. Of the rest, BF16 stays BF16, other types become F16. */
enum dtype convert_type(const char *name, enum dtype from, int n_dim, const int64_t *dim,
                        enum dtype to);

/* `out` ends in .gguf or .safetensors; the file appears complete or not at all. ERR_NUMERIC names a
 * tensor with a NaN or an infinity, or with values beyond F16's range; ERR_ARG when safetensors
 * cannot hold the type. */
int convert_checkpoint(const struct checkpoint *c, const char *out, const struct convert_options *o,
                       struct err *e);

#endif
