/* gguf.h - ggml's container: metadata and tensors in one file, versions 2 and 3, little-endian.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 *     "GGUF" | u32 version | u64 tensors | u64 values
 *     value:  string key | u32 type | payload          string: u64 length, bytes
 *     tensor: string name | u32 n_dim | u64 dim[], innermost first | u32 type | u64 offset
 *     padding to general.alignment | tensor bytes, each aligned
 *
 * Rows are whole blocks of the type. Tensors whose rows are not, as those of convolutions, are
 * stored as [n / block, block] with their shape under "comfy.gguf.orig_shape.<name>", an invention
 * of ComfyUI-GGUF (https://github.com/city96/ComfyUI-GGUF, tools/convert.py); here they are read
 * and written with their own shape.
 */
#ifndef LAR_FORMAT_GGUF_H
#define LAR_FORMAT_GGUF_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "format/file_tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct file_writer;

#define GGUF_SHAPE_KEY "comfy.gguf.orig_shape."
#define GGUF_MAX_DIM   4
#define GGUF_MAX_META  ((size_t)256 << 20) /* bytes of metadata and tensor descriptions */

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_TYPES
};

struct gguf_value {
    const char *key;
    enum gguf_type type;       /* of the value, or of the elements of an array */
    bool array;                /* an array of arrays has type GGUF_ARRAY and cannot be read */
    size_t n;                  /* elements; 1 unless it is an array */
    const char *text;          /* a string, NUL-terminated; else NULL */
    const unsigned char *data; /* the payload, unaligned; size bytes */
    size_t size;
};

struct gguf {
    struct arena arena; /* names and strings */
    uint32_t version;
    struct gguf_value *values; /* owned; in file order */
    size_t n_values;
    struct file_tensor *tensors; /* owned; in file order; dim in PyTorch order */
    size_t n_tensors;
    struct map by_key; /* -> struct gguf_value */
};

bool gguf_probe(const void *data, size_t n); /* the magic; says nothing about the version */

/* Parses a whole file. `data` is borrowed until gguf_release(); on an error nothing is held. The
 * sentence does not name the file: the caller knows it. A tensor of an unknown type reaches to the
 * next tensor. */
int gguf_parse(struct gguf *g, const void *data, size_t n, struct err *e);
void gguf_release(struct gguf *g); /* a zeroed one is fine */

const struct gguf_value *gguf_find(const struct gguf *g, const char *key); /* or NULL */

/* A string value, or NULL when it is absent or no string. */
const char *gguf_str(const struct gguf *g, const char *key);

/* Element i of a value as a number: false when it is no number or, for the integer, does not fit.
 * A scalar has the element 0. */
bool gguf_int_at(const struct gguf_value *v, size_t i, int64_t *out);
bool gguf_num_at(const struct gguf_value *v, size_t i, double *out);

/* Scalars: absent leaves the default; a wrong type or range is ERR_FORMAT naming the key. */
int gguf_int(const struct gguf *g, const char *key, int64_t least, int64_t most, int64_t *v,
             struct err *e);
int gguf_num(const struct gguf *g, const char *key, double *v, struct err *e);
int gguf_bool(const struct gguf *g, const char *key, bool *v, struct err *e);

/* The strings of an array, copied into `arena` (the array of pointers is the caller's, to free);
 * absent gives *n = 0 and *v = NULL. */
int gguf_strings(const struct gguf *g, const char *key, struct arena *arena, const char ***v,
                 size_t *n, struct err *e);

/* Writing: put the values, then describe every tensor, then the header, then for each tensor its
 * bytes in any number of pieces and gguf_write_end(). */
struct gguf_writer {
    struct buf values, tensors; /* encoded */
    uint64_t n_values, n_tensors;
    uint64_t next;    /* offset of the next tensor */
    uint64_t written; /* bytes of tensor data so far */
};

void gguf_writer_init(struct gguf_writer *w);
void gguf_writer_release(struct gguf_writer *w);
void gguf_put_str(struct gguf_writer *w, const char *key, const char *v);
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_strs(struct gguf_writer *w, const char *key, const char *const *v, size_t n);
/* Copies a value of a parsed file, whatever its type. */
void gguf_put_value(struct gguf_writer *w, const struct gguf_value *v);
/* Can gguf_put_tensor() write this type? */
bool gguf_knows(const struct file_tensor *t);
/* Names, type (not DTYPE_OTHER unless its name is one of ggml's), dim and size are used. */
int gguf_put_tensor(struct gguf_writer *w, const struct file_tensor *t, struct err *e);
int gguf_write_header(struct gguf_writer *w, struct file_writer *f, struct err *e);
void gguf_write(struct gguf_writer *w, struct file_writer *f, const void *data, size_t n);
void gguf_write_end(struct gguf_writer *w, struct file_writer *f); /* pads */

#endif
