/* half.h - scalar conversions between float and the 16-bit types, in plain integer C.
 *
 * All rounding is to nearest, ties to even; NaN stays NaN (made quiet), infinities and the sign of
 * zero are kept. The results are those of the F16C, NEON and AVX512-BF16 instructions, except that
 * the latter flush denormals.
 */
#ifndef LAR_TENSOR_HALF_H
#define LAR_TENSOR_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t half_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    return u;
}

static inline float half_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof(x));
    return x;
}

/* IEEE binary16 -> float, exact. */
static inline float half_to_f32(uint16_t h)
{
    uint32_t magnitude = h & 0x7fffu, sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t normal = (magnitude << 13) + (112u << 23); /* bias 15 -> 127 */
    uint32_t special = normal + (112u << 23);           /* inf and NaN */
    uint32_t denormal = half_bits((float)(int32_t)magnitude * (1.0f / (1 << 24))); /* and zero */
    return half_float(sign | (magnitude < 0x400    ? denormal
                              : magnitude < 0x7c00 ? normal
                                                   : special));
}

/* float -> IEEE binary16; from 65520 on, infinity. */
static inline uint16_t half_from_f32(float x)
{
    uint32_t u = half_bits(x), magnitude = u & 0x7fffffffu, h;
    if (magnitude > 0x7f800000u)
        h = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    else if (magnitude >= 0x47800000u) /* 65536 */
        h = 0x7c00u;
    else if (magnitude < 0x38800000u) /* 2^-14: the sum has the spacing of half's denormals */
        h = half_bits(half_float(magnitude) + 0.5f) - 0x3f000000u;
    else
        h = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1)) >> 13;
    return (uint16_t)(u >> 16 & 0x8000u) | (uint16_t)h;
}

static inline float bf16_to_f32(uint16_t b)
{
    return half_float((uint32_t)b << 16);
}

static inline uint16_t bf16_from_f32(float x)
{
    uint32_t u = half_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40u); /* rounding could turn NaN into infinity */
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

#endif
