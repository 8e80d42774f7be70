/* safetensors.h - Hugging Face's weight files (https://github.com/huggingface/safetensors).
 *
 *     u64 header size | JSON header, padded with spaces | tensor bytes
 *                       {"__metadata__": {"key": "value"},
 *                        "name": {"dtype": "F16", "shape": [320, 4], "data_offsets": [0, 2560]}}
 *
 * The tensors cover the bytes after the header without a hole and without an overlap.
 */
#ifndef LAR_FORMAT_SAFETENSORS_H
#define LAR_FORMAT_SAFETENSORS_H

#include "base/arena.h"
#include "base/map.h"
#include "format/file_tensor.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct file_writer;

#define SAFETENSORS_MAX_HEADER 100000000u /* the reference implementation's limit */

struct safetensors {
    struct arena arena;          /* names */
    struct file_tensor *tensors; /* owned; in file order */
    size_t n;
    struct map meta; /* __metadata__: key -> char *, in the arena */
};

/* Parses a whole file. `data` is borrowed until safetensors_release(); on an error nothing is
 * held. The sentence does not name the file: the caller knows it. */
int safetensors_parse(struct safetensors *s, const void *data, size_t n, struct err *e);
void safetensors_release(struct safetensors *s); /* a zeroed one is fine */

/* The number at the front: does this look like a safetensors file at all? */
bool safetensors_probe(const void *data, size_t n);

/* Can a tensor of this type be stored in such a file? */
bool safetensors_knows(const struct file_tensor *t);

/* Writes the header for tensors whose bytes follow in the same order, sizes as in `tensors` (data
 * is not looked at). meta: pairs key, value, NULL at the end; may be NULL. */
int safetensors_write_header(struct file_writer *w, const struct file_tensor *tensors, size_t n,
                             const char *const *meta, struct err *e);

#endif
