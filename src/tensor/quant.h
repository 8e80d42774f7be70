/* quant.h - rows of elements between float and the storage types; the reference for the kernels.
 *
 * The quantised types are ggml's; blocks.h draws them
 * (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, src/ggml-quants.c).
 */
#ifndef LAR_TENSOR_QUANT_H
#define LAR_TENSOR_QUANT_H

#include "tensor/dtype.h"

#include <stdint.h>

/* n elements, a multiple of dtype_block(type). `type` is neither DTYPE_I32 nor DTYPE_OTHER. `src`
 * of quant_to_f32 and `dst` of quant_from_f32 need no alignment: file mappings give none. */
void quant_to_f32(enum dtype type, const void *src, float *dst, int64_t n);

/* Rounds to nearest, ties to even; quantised types, as far as quantise_can(), as in quantise.h. */
void quant_from_f32(enum dtype type, const float *src, void *dst, int64_t n);

#endif
