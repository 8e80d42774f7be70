/* hash_weights.h - weights that need no file: each value follows from the tensor's name and shape.
 *
 * The reference outputs under tests/data were made with the same rule in Python
 * (tools/reference/hash_weights.py), so a test needs only names and shapes to rebuild the model.
 *
 *     seed = FNV-1a 64 of the name, in diffusers form with component: `unet.conv_in.weight`
 *     v(i) = 2 u(i) - 1, u(i) = upper 24 bits of splitmix64's i-th output for the seed, times 2^-24
 *     >= 2 dimensions     v * sqrt(3 / fan_in), fan_in = product of all but the first dimension;
 *                         of *.experts.* with 3 dimensions, [n_expert, in, out], it is `in`
 *     *embedding.weight   v * 0.5
 *     1-D *.weight        1 + 0.2 v
 *     other               0.1 v
 *
 * in float64, then rounded once, to nearest even, to the type asked for: F32, F16 or BF16.
 */
#ifndef LAR_TESTS_SUPPORT_HASH_WEIGHTS_H
#define LAR_TESTS_SUPPORT_HASH_WEIGHTS_H

#include "tensor/dtype.h"

#include <stddef.h>
#include <stdint.h>

#define HASH_MAX_DIMS 4

/* A tensor's name and PyTorch shape, slowest dimension first; 0 dimensions is a scalar. */
struct hash_tensor {
    const char *name; /* borrowed */
    int n_dims;
    uint64_t dims[HASH_MAX_DIMS];
};

/* The values of one tensor: offset + scale * v(i). */
struct hash_stream {
    uint64_t seed;
    double scale;
    double offset;
};

uint64_t hash_tensor_count(const struct hash_tensor *t); /* elements */

struct hash_stream hash_stream_of(const struct hash_tensor *t);
double hash_stream_at(const struct hash_stream *s, uint64_t i);

/* Stores x, rounded to the type, as element i of out. */
void hash_store(void *out, size_t i, enum dtype type, double x);

/* Elements first .. first + n of the tensor into out[0 .. n) of the type. */
void hash_fill(void *out, enum dtype type, const struct hash_tensor *t, uint64_t first, size_t n);

/* The tensor as models see it after loading an F16 file: rounded to F16, widened to float. */
void hash_fill_f16_as_float(float *out, const struct hash_tensor *t);

/* The fixed model input `input.<name>`: scale * v(i), i in row-major order of its NHWC shape. */
void hash_input(float *out, const char *name, size_t n, double scale);

#endif
