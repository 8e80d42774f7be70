/* k_unpack.h - 256 quantised weights as bytes, with a scale and an offset for each group.
 *
 *     element i = scale[i / group] * (q[i] - bias) + offset[i / group]
 */
#ifndef LAR_CPU_K_UNPACK_H
#define LAR_CPU_K_UNPACK_H

#include "cpu/kernels.h"
#include "cpu/simd.h"

#define UNPACK_MAX 256

struct unpacked {
    uint8_t q[UNPACK_MAX];
    float scale[UNPACK_MAX / 16], offset[UNPACK_MAX / 16];
};

/* How a type is unpacked. */
struct unpack_format {
    int group;   /* 16 or 32; 0: not here */
    int bias;    /* what q is above the number it stands for */
    bool wide;   /* q needs vi_dot_wide() */
    bool offset; /* there are offsets; else unpacking leaves them alone */
};
struct unpack_format K(unpack_format)(enum dtype type);

/* n elements, whole blocks, 1 .. UNPACK_MAX; behind them come bytes with scales and offsets of 0
 * where groups are blocks. */
typedef void unpack_fn(const unsigned char *p, long n, struct unpacked *u);
unpack_fn *K(unpacker)(enum dtype type);

/* The same of each of UNPACK_ROWS rows. */
#define UNPACK_ROWS 4
typedef void unpack_rows_fn(const unsigned char *const *p, long n, struct unpacked *u);
unpack_rows_fn *K(rows_unpacker)(enum dtype type);

#endif
