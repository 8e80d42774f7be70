/* checkpoint.h - the weights of a model, whatever file or folder they come in.
 *
 * Opens a safetensors file (sharded ones through their index), a diffusers folder, a folder or file
 * with a single component, a single-file checkpoint with the original ("LDM") names, or a GGUF
 * file, and shows every tensor under one name: diffusers' component and tensor name, for language
 * models GGUF's name (format/language_names.h). Nothing is copied: the files are mapped, the
 * tensors point into the mappings.
 *
 *     model.safetensors  \                                      unet.conv_in.weight
 *     sd15/model_index.json + sd15/unet/...  --> struct checkpoint: vae.decoder.conv_out.bias
 *     sd15.gguf          /                                      text_encoder.text_model...
 *
 * A checkpoint is immutable once open; any thread may read it.
 */
#ifndef LAR_FORMAT_CHECKPOINT_H
#define LAR_FORMAT_CHECKPOINT_H

#include "tensor/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct checkpoint;

#define CKPT_MAX_DIM 4

/* Every pointer is borrowed until checkpoint_close(). dim and size are checked against the file:
 * `size` bytes at `data` may be read, and for a type other than DTYPE_OTHER they are what dim
 * needs. `data` need not be aligned. */
struct ckpt_tensor {
    const char *name;      /* canonical, with the component: "unet.conv_in.weight" */
    const char *file_name; /* the name in the file; q, k and v of a fused tensor share one */
    const char *file;      /* path of the file it lies in */
    enum dtype type;       /* DTYPE_OTHER: type_name says what; an error only for who needs it */
    const char *type_name; /* as the file writes it: "F16", "I64", "Q4_K" */
    int n_dim;             /* 0 for a scalar */
    int64_t dim[CKPT_MAX_DIM]; /* PyTorch order, row major: [out, in, kh, kw] */
    const void *data;
    size_t size;
    /* Stored [.., in, out] although the canonical tensor is [.., out, in] (OpenCLIP's
     * text_projection, gpt-oss' experts); dim is the canonical one. */
    bool transposed;
};

/* TAESD names are shown in diffusers' AutoencoderTiny form: `vae.encoder.layers.N...` and
 * `vae.decoder.layers.N...`; CKPT_TAESD tells that the file held TAESD's own numbering. */
enum ckpt_layout { CKPT_DIFFUSERS, CKPT_LDM, CKPT_TAESD, CKPT_LANGUAGE, CKPT_OTHER };

/* `path` is a file or folder. Errors name the file, the tensor and what to do; nothing is left open
 * then and *c is NULL. */
int checkpoint_open(struct checkpoint **c, const char *path, struct err *e);
void checkpoint_close(struct checkpoint *c); /* NULL is fine */

/* Puts the tensors of another checkpoint whose names begin with `from` ("text_encoder.") in the
 * place of those that begin with `to` ("text_encoder_2."), with the configuration and the
 * vocabulary of that component. Takes `part`, also on a failure. ERR_NOT_FOUND when it has none
 * such. */
int checkpoint_attach(struct checkpoint *c, struct checkpoint *part, const char *from,
                      const char *to, struct err *e);

const struct ckpt_tensor *checkpoint_find(const struct checkpoint *c,
                                          const char *name); /* or NULL */
size_t checkpoint_n(const struct checkpoint *c);
const struct ckpt_tensor *checkpoint_at(const struct checkpoint *c, size_t i); /* in file order */

const char *checkpoint_path(const struct checkpoint *c);
enum ckpt_layout checkpoint_layout(const struct checkpoint *c);

/* A component's configuration as JSON text, or NULL. Components: "unet", "vae", "text_encoder",
 * "text_encoder_2", "scheduler", "model_index" for the pipeline itself, and "" for a language
 * model. */
const char *checkpoint_config(const struct checkpoint *c, const char *component);

/* The general.architecture of a language model ("llama"): what its GGUF file says, or what stands
 * for its config.json's model_type. NULL for other models and unknown types. */
const char *checkpoint_language(const struct checkpoint *c);
/* Are its tensors stored as Hugging Face has them, not as GGUF files have: rotary pairs are halves
 * of a head, Gemma's norms lack 1? */
bool checkpoint_is_huggingface(const struct checkpoint *c);

/* A value of the safetensors __metadata__ or a string value of a GGUF file, or NULL. */
const char *checkpoint_meta(const struct checkpoint *c, const char *key);

/* A CLIP vocabulary that travels with the weights. */
struct ckpt_vocab {
    const char *const *tokens; /* by id; UTF-8 in CLIP's byte alphabet, "</w>" ends a word */
    size_t n_tokens;
    const char *const *merges; /* "a b", best first */
    size_t n_merges;
    int bos, eos, pad; /* ids; -1 when the files do not say */
};

/* `component` is "tokenizer" or "tokenizer_2"; read from vocab.json and merges.txt (special tokens
 * from special_tokens_map.json or tokenizer_config.json), from tokenizer.json, or from GGUF. NULL
 * when the checkpoint has none. Borrowed until checkpoint_close(). */
const struct ckpt_vocab *checkpoint_vocab(const struct checkpoint *c, const char *component);

/* The first tensor with a NaN or an infinity, or NULL. Reads every weight: for finding the culprit
 * after a picture came out as NaN. */
const struct ckpt_tensor *checkpoint_find_nonfinite(const struct checkpoint *c);

/* The files as they are, for converting them: borrowed until checkpoint_close(). */
struct weights;
const struct weights *checkpoint_weights(const struct checkpoint *c);

/* The content id, 10 hexadecimal digits. A single file: the start of its SHA-256, as A1111 and
 * Civitai show it. Several files: the start of the SHA-256 over, for each weight file in the order
 * they were opened (components sorted by name, shards in index order), its 32-byte SHA-256. Reads
 * every byte once; the result is kept. */
int checkpoint_hash(struct checkpoint *c, char out[11], struct err *e);
/* From another thread: checkpoint_hash(), running or to come, ends soon with ERR_CANCELLED. */
void checkpoint_hash_stop(struct checkpoint *c);

#endif
