/* weights.h - the weight files of a checkpoint: mapped, parsed, with the names they were written
 * with. checkpoint.h gives the tensors their canonical names.
 */
#ifndef LAR_FORMAT_WEIGHTS_H
#define LAR_FORMAT_WEIGHTS_H

#include "base/file.h"
#include "format/gguf.h"
#include "format/pytorch.h"
#include "format/safetensors.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

/* Larger headers, indexes and vocabularies are refused. */
#define WEIGHTS_MAX_TEXT ((size_t)100000000)

struct weight_file {
    char *path; /* owned */
    struct file_map map;
    bool is_gguf, is_pytorch;
    struct gguf gguf;       /* if is_gguf */
    struct pytorch pytorch; /* if is_pytorch */
    struct safetensors st;  /* else */
};

/* A zeroed struct weights is empty. */
struct weights {
    struct weight_file **files; /* owned; in the order they were opened */
    size_t n_files;
};

const struct file_tensor *weight_file_tensors(const struct weight_file *f, size_t *n);

/* Maps and parses one more file: safetensors, GGUF or PyTorch's, by its content. Any one of a GGUF
 * model's shards (NAME-00001-of-00003.gguf) opens all, in their order. The sentence of an error
 * names the file and says what it seems to be: a Git LFS pointer, a web page. */
int weights_open_file(struct weights *w, const char *path, struct err *e);

/* The shards that a *.safetensors.index.json names, in the order of their names. Every tensor of
 * the index must be where it says. */
int weights_open_index(struct weights *w, const char *path, struct err *e);

/* The weights of one component's folder: diffusers' and transformers' file names, full precision
 * before `fp16` variants, PyTorch's pickles last; else the only safetensors or GGUF file there is
 * or the shards of one, else the only pickle. ERR_NOT_FOUND when the folder has none. */
int weights_open_folder(struct weights *w, const char *dir, struct err *e);

void weights_release(struct weights *w);

#endif
