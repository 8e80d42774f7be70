/* dtype.h - the element types of tensors, in memory and in files; the table is dtype.def. */
#ifndef LAR_TENSOR_DTYPE_H
#define LAR_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
#define DTYPE(name, text, block, bytes, ggml, safetensors) DTYPE_##name,
#include "tensor/dtype.def"
#undef DTYPE
};

/* "f16"; "other" for a number that is no type. */
const char *dtype_name(enum dtype type);

/* Elements per block: 1, or 32 or 256 for quantised types. */
int dtype_block(enum dtype type);

/* Floating point numbers of any kind: what a weight can be. */
bool dtype_is_float(enum dtype type);

/* Bytes of n elements, n a multiple of the block and small enough for the product not to overflow;
 * 0 for DTYPE_OTHER. */
size_t dtype_row_size(enum dtype type, int64_t n);

/* The type with this text ("bf16"), this ggml type id or this safetensors name ("BF16");
 * DTYPE_OTHER when there is none. */
enum dtype dtype_from_name(const char *text);
enum dtype dtype_from_ggml(uint32_t id);
enum dtype dtype_from_safetensors(const char *name);

/* The ggml type id, or -1; the safetensors name, or NULL where that format has no such type. */
int dtype_ggml(enum dtype type);
const char *dtype_safetensors(enum dtype type);

#endif
