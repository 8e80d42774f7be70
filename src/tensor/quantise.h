/* quantise.h - from floats to ggml's quantised blocks; quant_from_f32() calls it.
 *
 * Q8_0 is rounded as ggml does it. The smaller types are searched: of eleven scales around
 * the one that just covers the largest value, each is corrected by least squares over the integers
 * it leads to, and the one with the least weighted squared error is kept. Large values weigh more,
 * as they contribute more to a product. The root mean square error is nowhere above ggml's.
 */
#ifndef LAR_TENSOR_QUANTISE_H
#define LAR_TENSOR_QUANTISE_H

#include "tensor/dtype.h"

#include <stdbool.h>
#include <stdint.h>

/* Can quantise() write this type? Every one with blocks. */
bool quantise_can(enum dtype type);

/* n elements, a multiple of the block, of a type that quantise_can(); `dst` needs no alignment. A
 * NaN or infinity makes its block meaningless. */
void quantise(enum dtype type, const float *src, unsigned char *dst, int64_t n);

#endif
