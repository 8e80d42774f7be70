/* blocks.h - ggml's quantised blocks taken apart: integers, and a scale and an offset for every 16.
 *
 *     element i = scale[i / 16] * q[i] + offset[i / 16]
 *
 *     type        elements  layout                                  q
 *     Q4_0 Q5_0   32        d, [fifth bits], nibbles                -8 .. 7, -16 .. 15
 *     Q4_1 Q5_1   32        d, min, [fifth bits], nibbles           0 .. 15, 0 .. 31
 *     Q8_0        32        d, bytes                                -127 .. 127
 *     Q4_K Q5_K   256       d, dmin, 8 x 6-bit (scale, min), [fifth bits], nibbles
 *     Q2_K        256       16 x 4-bit (scale, min), pairs, d, dmin
 *     Q3_K        256       third bits, pairs, 16 x 6-bit scale, d  -4 .. 3
 *     Q6_K        256       nibbles, pairs, 16 x 8-bit scale, d     -32 .. 31
 *     IQ4_NL      32        d, nibbles                              one of 16: block_levels
 *     IQ4_XS      256       d, 8 x 6-bit scale, nibbles             one of 16
 *     MXFP4       32        8-bit exponent, nibbles                 twice an E2M1: 0 .. 12
 *
 * d, min and dmin are F16. MXFP4 is the Open Compute Project's microscaling format. Source:
 * https://github.com/ggml-org/ggml, src/ggml-common.h and src/ggml-quants.c. The code is here and
 * inline because tensor/quant.c, the reference, and the kernels of every instruction set compile
 * it.
 */
#ifndef LAR_TENSOR_BLOCKS_H
#define LAR_TENSOR_BLOCKS_H

#include "tensor/dtype.h"
#include "tensor/half.h"

#include <stdint.h>
#include <string.h>

#define BLOCK_MAX   256 /* elements of the largest block */
#define BLOCK_GROUP 16

struct block {
    int8_t q[BLOCK_MAX];
    float scale[BLOCK_MAX / BLOCK_GROUP];
    float offset[BLOCK_MAX / BLOCK_GROUP];
};

static inline float block_half(const unsigned char *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof(h));
    return half_to_f32(h);
}

static inline void block_nibbles(const unsigned char *restrict p, int n, int8_t *restrict low,
                                 int8_t *restrict high)
{
    for (int i = 0; i < n; i++) {
        low[i] = (int8_t)(p[i] & 15);
        high[i] = (int8_t)(p[i] >> 4);
    }
}

/* The 32-element types of 4 and 5 bits. An offset of -0 changes no number, not even a zero's sign.
 */
static inline void block_unpack_32(enum dtype type, const unsigned char *p, struct block *b)
{
    bool has_min = type == DTYPE_Q4_1 || type == DTYPE_Q5_1;
    bool five = type == DTYPE_Q5_0 || type == DTYPE_Q5_1;
    int bias = has_min ? 0 : five ? 16 : 8;
    uint32_t fifth = 0;
    b->scale[0] = b->scale[1] = block_half(p);
    b->offset[0] = b->offset[1] = has_min ? block_half(p + 2) : -0.0f;
    p += has_min ? 4 : 2;
    if (five) {
        memcpy(&fifth, p, sizeof(fifth));
        p += 4;
    }
    block_nibbles(p, 16, b->q, b->q + 16);
    for (int i = 0; i < 32; i++)
        b->q[i] = (int8_t)((b->q[i] | (fifth >> i & 1) << 4) - (unsigned)bias);
}

/* The 6-bit scale and minimum of sub-block i of Q4_K and Q5_K. */
static inline void block_scale_min(const unsigned char *p, int i, int *scale, int *min)
{
    *scale = i < 4 ? p[i] & 63 : (p[i + 4] & 15) | (p[i - 4] >> 6) << 4;
    *min = i < 4 ? p[i + 4] & 63 : p[i + 4] >> 4 | (p[i] >> 6) << 4;
}

static inline void block_unpack_q45_k(bool five, const unsigned char *p, struct block *b)
{
    float d = block_half(p), dmin = block_half(p + 2);
    const unsigned char *fifth = p + 16, *low = five ? p + 48 : p + 16;
    for (int i = 0; i < 8; i++) {
        int scale, min;
        block_scale_min(p + 4, i, &scale, &min);
        b->scale[2 * i] = b->scale[2 * i + 1] = d * (float)scale;
        b->offset[2 * i] = b->offset[2 * i + 1] = -(dmin * (float)min);
    }
    for (int i = 0; i < 4; i++)
        block_nibbles(low + 32 * i, 32, b->q + 64 * i, b->q + 64 * i + 32);
    for (int i = 0; five && i < 8; i++)
        for (int j = 0; j < 32; j++)
            b->q[32 * i + j] = (int8_t)(b->q[32 * i + j] | (fifth[j] >> i & 1) << 4);
}

static inline void block_unpack_q6_k(const unsigned char *p, struct block *b)
{
    float d = block_half(p + 208);
    for (int i = 0; i < 16; i++) {
        b->scale[i] = d * (float)(int8_t)p[192 + i];
        b->offset[i] = -0.0f;
    }
    for (int h = 0; h < 2; h++) {
        const unsigned char *low = p + 64 * h, *high = p + 128 + 32 * h;
        int8_t *q = b->q + 128 * h;
        block_nibbles(low, 64, q, q + 64);
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 32; j++)
                q[32 * i + j] = (int8_t)((q[32 * i + j] | (high[j] >> 2 * i & 3) << 4) - 32);
    }
}

/* Two bits each: bits 2i, 2i + 1 of byte j are element 32 i + j of a half. */
static inline void block_pairs(const unsigned char *p, int8_t *q)
{
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 32; j++)
                q[128 * h + 32 * i + j] = (int8_t)(p[32 * h + j] >> 2 * i & 3);
}

static inline void block_unpack_q2_k(const unsigned char *p, struct block *b)
{
    float d = block_half(p + 80), dmin = block_half(p + 82);
    for (int i = 0; i < 16; i++) {
        b->scale[i] = d * (float)(p[i] & 15);
        b->offset[i] = -(dmin * (float)(p[i] >> 4));
    }
    block_pairs(p + 16, b->q);
}

static inline void block_unpack_q3_k(const unsigned char *p, struct block *b)
{
    const unsigned char *scales = p + 96;
    float d = block_half(p + 108);
    for (int i = 0; i < 16; i++) {
        int low = scales[i % 8] >> (i < 8 ? 0 : 4) & 15,
            high = scales[8 + i % 4] >> 2 * (i / 4) & 3;
        b->scale[i] = d * (float)((low | high << 4) - 32);
        b->offset[i] = -0.0f;
    }
    block_pairs(p + 32, b->q);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 32; j++)
            b->q[32 * i + j] = (int8_t)(b->q[32 * i + j] - (p[j] >> i & 1 ? 0 : 4));
}

/* What the 4 bits of IQ4_NL and IQ4_XS, and those of MXFP4, stand for. */
static const int8_t block_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t block_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Sixteen bytes: the low nibbles are elements 0 to 15, the high ones 16 to 31. */
static inline void block_look_up(const int8_t *levels, const unsigned char *p, int8_t *q)
{
    for (int i = 0; i < 16; i++) {
        q[i] = levels[p[i] & 15];
        q[i + 16] = levels[p[i] >> 4];
    }
}

/* 2^(exponent - 127) / 2, the scale of a doubled E2M1; the smallest two are subnormal. */
static inline float block_e8m0_half(unsigned exponent)
{
    return half_float(exponent < 2 ? UINT32_C(0x00200000) << exponent : (exponent - 1) << 23);
}

static inline void block_unpack_levels(bool mxfp4, const unsigned char *p, struct block *b)
{
    b->scale[0] = b->scale[1] = mxfp4 ? block_e8m0_half(p[0]) : block_half(p);
    b->offset[0] = b->offset[1] = -0.0f;
    block_look_up(mxfp4 ? block_e2m1 : block_levels, p + (mxfp4 ? 1 : 2), b->q);
}

static inline void block_unpack_iq4_xs(const unsigned char *p, struct block *b)
{
    float d = block_half(p);
    unsigned high = p[2] | (unsigned)p[3] << 8;
    for (int i = 0; i < 8; i++) {
        unsigned scale = (p[4 + i / 2] >> i % 2 * 4 & 15U) | (high >> 2 * i & 3) << 4;
        b->scale[2 * i] = b->scale[2 * i + 1] = d * (float)((int)scale - 32);
        b->offset[2 * i] = b->offset[2 * i + 1] = -0.0f;
        block_look_up(block_levels, p + 8 + 16 * i, b->q + 32 * i);
    }
}

/* Takes one block of a quantised type apart: dtype_row_size(type, dtype_block(type)) bytes at p. */
static inline void block_unpack(enum dtype type, const unsigned char *p, struct block *b)
{
    switch (type) {
    case DTYPE_Q8_0:
        b->scale[0] = b->scale[1] = block_half(p);
        b->offset[0] = b->offset[1] = -0.0f;
        memcpy(b->q, p + 2, 32);
        break;
    case DTYPE_Q2_K:
        block_unpack_q2_k(p, b);
        break;
    case DTYPE_Q3_K:
        block_unpack_q3_k(p, b);
        break;
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
        block_unpack_q45_k(type == DTYPE_Q5_K, p, b);
        break;
    case DTYPE_Q6_K:
        block_unpack_q6_k(p, b);
        break;
    case DTYPE_IQ4_NL:
    case DTYPE_MXFP4:
        block_unpack_levels(type == DTYPE_MXFP4, p, b);
        break;
    case DTYPE_IQ4_XS:
        block_unpack_iq4_xs(p, b);
        break;
    default:
        block_unpack_32(type, p, b);
    }
}

#endif
