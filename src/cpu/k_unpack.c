/* k_unpack.c - see k_unpack.h; tensor/blocks.h draws the blocks. */
#include "cpu/k_unpack.h"

#include "tensor/blocks.h"

/* Vectors of the compiler's own. They are never passed to functions, which would differ with the
 * instruction set. */
typedef uint16_t halves16 __attribute__((vector_size(32)));
typedef uint64_t longs2 __attribute__((vector_size(16)));

/* scale[i] = the float16 at p + i * stride, for eight i. */
SIMD void halves(float *scale, const unsigned char *p, long stride)
{
    uint16_t h[8];
    for (int i = 0; i < 8; i++)
        memcpy(&h[i], p + i * stride, sizeof(h[i]));
    halves16 all = {h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]};
    for (int i = 0; i < 8; i += VF_N)
        vf_store(scale + i, vf_load_f16((const char *)&all + 2 * i));
}

/* scale[i] = d * (p[i] - bias) for i < n, 8 or 16; p has 16 bytes. */
SIMD void scales(float *scale, const void *p, int n, float d, float bias)
{
    for (int i = 0; i < n; i += VF_N)
        vf_store(scale + i,
                 vf_mul(vf_set1(d), vf_sub(vf_load_i8((const int8_t *)p + i), vf_set1(bias))));
}

/* The types of 32 elements and 4 or 5 bits. */
SIMD void unpack_45(const unsigned char *p, struct unpacked *u, const bool has_min, const bool five)
{
    const long at = (has_min ? 4 : 2) + (five ? 4 : 0), bytes = at + 16;
    halves(u->scale, p, bytes);
    if (has_min)
        halves(u->offset, p + 2, bytes);
    for (int g = 0; g < 8; g += 2, p += 2 * bytes) {
        struct b64 q = b64_nibbles(p + at, p + at + bytes);
        if (five) {
            uint32_t a, b;
            memcpy(&a, p + at - 4, sizeof(a));
            memcpy(&b, p + at - 4 + bytes, sizeof(b));
            q = b64_sixteens(q, a | (uint64_t)b << 32);
        }
        b64_store(u->q + 32 * g, q);
    }
}

SIMD void unpack_q4_0(const unsigned char *p, struct unpacked *u)
{
    unpack_45(p, u, false, false);
}

SIMD void unpack_q4_1(const unsigned char *p, struct unpacked *u)
{
    unpack_45(p, u, true, false);
}

SIMD void unpack_q5_0(const unsigned char *p, struct unpacked *u)
{
    unpack_45(p, u, false, true);
}

SIMD void unpack_q5_1(const unsigned char *p, struct unpacked *u)
{
    unpack_45(p, u, true, true);
}

SIMD void unpack_q8_0(const unsigned char *p, struct unpacked *u)
{
    halves(u->scale, p, 34);
    for (int g = 0; g < 8; g += 2, p += 68)
        b64_store(u->q + 32 * g, b64_xor(b64_load(p + 2, p + 36), (char)VB_BIAS));
}

/* Eight 6-bit scales and minima, as tensor/blocks.h has them one by one. */
SIMD void scales_45_k(const unsigned char *p, struct unpacked *u)
{
    const uint64_t six = UINT64_C(0x3f3f3f3f), four = UINT64_C(0x0f0f0f0f);
    const uint64_t two = UINT64_C(0x03030303);
    uint32_t a, b, c;
    memcpy(&a, p + 4, sizeof(a));
    memcpy(&b, p + 8, sizeof(b));
    memcpy(&c, p + 12, sizeof(c));
    longs2 scale = {(a & six) | ((c & four) | (a >> 6 & two) << 4) << 32};
    longs2 min = {(b & six) | ((c >> 4 & four) | (b >> 6 & two) << 4) << 32};
    scales(u->scale, &scale, 8, simd_half(p), 0);
    scales(u->offset, &min, 8, -simd_half(p + 2), 0);
}

SIMD void unpack_q4_k(const unsigned char *p, struct unpacked *u)
{
    scales_45_k(p, u);
    for (int i = 0; i < 4; i++) {
        const unsigned char *x = p + 16 + 32 * i;
        b64_store(u->q + 64 * i, b64_field(b64_load(x, x), 0, 4, 15));
    }
}

SIMD void unpack_q5_k(const unsigned char *p, struct unpacked *u)
{
    const struct b64 fifth = b64_load(p + 16, p + 16);
    scales_45_k(p, u);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const unsigned char *x = p + 48 + 32 * i;
        struct b64 q = b64_field(b64_load(x, x), 0, 4, 15);
        b64_store(u->q + 64 * i, b64_add(q, fifth, 2 * i - 4, 2 * i - 3, 16));
    }
}

SIMD void unpack_q6_k(const unsigned char *p, struct unpacked *u)
{
    scales(u->scale, p + 192, 16, simd_half(p + 208), 0);
    for (int h = 0; h < 2; h++) {
        const unsigned char *two = p + 128 + 32 * h;
        const struct b64 x = b64_load(p + 64 * h, p + 64 * h + 32), high = b64_load(two, two);
        b64_store(u->q + 128 * h, b64_add(b64_field(x, 0, 0, 15), high, -4, -2, 48));
        b64_store(u->q + 128 * h + 64, b64_add(b64_field(x, 4, 4, 15), high, 0, 2, 48));
    }
}

SIMD void unpack_q2_k(const unsigned char *p, struct unpacked *u)
{
    longs2 both;
    memcpy(&both, p, sizeof(both));
    const longs2 four = {UINT64_C(0x0f0f0f0f0f0f0f0f), UINT64_C(0x0f0f0f0f0f0f0f0f)};
    longs2 scale = both & four, min = both >> 4 & four;
    scales(u->scale, &scale, 16, simd_half(p + 80), 0);
    scales(u->offset, &min, 16, -simd_half(p + 82), 0);
    for (int h = 0; h < 2; h++) {
        const struct b64 x = b64_load(p + 16 + 32 * h, p + 16 + 32 * h);
        b64_store(u->q + 128 * h, b64_field(x, 0, 2, 3));
        b64_store(u->q + 128 * h + 64, b64_field(x, 4, 6, 3));
    }
}

SIMD void unpack_q3_k(const unsigned char *p, struct unpacked *u)
{
    const uint64_t four = UINT64_C(0x0f0f0f0f), two = UINT64_C(0x03030303);
    uint32_t a, b, c;
    const struct b64 third = b64_load(p, p);
    memcpy(&a, p + 96, sizeof(a));
    memcpy(&b, p + 100, sizeof(b));
    memcpy(&c, p + 104, sizeof(c));
    longs2 scale = {((a & four) | (c & two) << 4) | ((b & four) | (c >> 2 & two) << 4) << 32,
                    ((a >> 4 & four) | (c >> 4 & two) << 4) |
                        ((b >> 4 & four) | (c >> 6 & two) << 4) << 32};
    scales(u->scale, &scale, 16, simd_half(p + 108), 32);
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const struct b64 x = b64_load(p + 32 + 32 * h, p + 32 + 32 * h);
        const int bit = 4 * h - 2; /* goes to bit 2 */
        b64_store(u->q + 128 * h, b64_add(b64_field(x, 0, 2, 3), third, bit, bit + 1, 4));
        b64_store(u->q + 128 * h + 64, b64_add(b64_field(x, 4, 6, 3), third, bit + 2, bit + 3, 4));
    }
}

/* 256 nibbles that stand for levels, `bias` above them: eight pieces of 16 bytes, `stride` apart.
 */
SIMD void look_up(const int8_t *levels, uint8_t bias, const unsigned char *p, long stride,
                  struct unpacked *u)
{
    uint8_t biased[16];
    for (int i = 0; i < 16; i++)
        biased[i] = (uint8_t)(levels[i] + bias);
    for (int g = 0; g < 8; g += 2, p += 2 * stride)
        b64_store(u->q + 32 * g, b64_look_up(biased, b64_nibbles(p, p + stride)));
}

SIMD void unpack_iq4_nl(const unsigned char *p, struct unpacked *u)
{
    halves(u->scale, p, 18);
    look_up(block_levels, VB_BIAS, p + 2, 18, u);
}

/* Six bits of a scale: four in a nibble, two in a pair of bits, brought to a byte each. */
SIMD void unpack_iq4_xs(const unsigned char *p, struct unpacked *u)
{
    uint64_t low = p[4] | p[5] << 8 | p[6] << 16 | (uint64_t)p[7] << 24, high = p[2] | p[3] << 8;
    low = (low | low << 16) & UINT64_C(0x0000ffff0000ffff);
    low = (low | low << 8) & UINT64_C(0x00ff00ff00ff00ff);
    low = (low | low << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    high = (high | high << 24) & UINT64_C(0x000000ff000000ff);
    high = (high | high << 12) & UINT64_C(0x000f000f000f000f);
    high = (high | high << 6) & UINT64_C(0x0303030303030303);
    longs2 scale = {low | high << 4};
    scales(u->scale, &scale, 8, simd_half(p), 32);
    look_up(block_levels, VB_BIAS, p + 8, 16, u);
}

#define E2M1_BIAS 12 /* the largest */

SIMD void unpack_mxfp4(const unsigned char *p, struct unpacked *u)
{
    for (int g = 0; g < 8; g++)
        u->scale[g] = block_e8m0_half(p[17 * g]);
    look_up(block_e2m1, E2M1_BIAS, p + 1, 17, u);
}

#define FOR_EACH_TYPE(X) \
    X(Q4_0, q4_0)        \
    X(Q4_1, q4_1)        \
    X(Q5_0, q5_0)        \
    X(Q5_1, q5_1)        \
    X(Q8_0, q8_0)        \
    X(Q2_K, q2_k)        \
    X(Q3_K, q3_k)        \
    X(Q4_K, q4_k)        \
    X(Q5_K, q5_k)        \
    X(Q6_K, q6_k)        \
    X(IQ4_NL, iq4_nl)    \
    X(IQ4_XS, iq4_xs)    \
    X(MXFP4, mxfp4)

/* A row's end that is shorter than a chunk, with zeros behind it. */
struct piece {
    unsigned char bytes[UNPACK_MAX * 2];
};

static const unsigned char *whole(enum dtype type, const unsigned char *p, long n,
                                  struct piece *end)
{
    memset(end, 0, sizeof(*end));
    return memcpy(end->bytes, p, dtype_row_size(type, n));
}

#define FUNCTIONS(TYPE, type)                                                                 \
    static void one_##type(const unsigned char *p, long n, struct unpacked *u)                \
    {                                                                                         \
        struct piece end;                                                                     \
        unpack_##type(n < UNPACK_MAX ? whole(DTYPE_##TYPE, p, n, &end) : p, u);               \
    }                                                                                         \
    static void rows_##type(const unsigned char *const *p, long n, struct unpacked *u)        \
    {                                                                                         \
        struct piece end;                                                                     \
        for (int r = 0; r < UNPACK_ROWS; r++)                                                 \
            unpack_##type(n < UNPACK_MAX ? whole(DTYPE_##TYPE, p[r], n, &end) : p[r], u + r); \
    }
FOR_EACH_TYPE(FUNCTIONS)

static const struct unpack_format formats[DTYPE_OTHER + 1] = {
    [DTYPE_Q4_0] = {32, 8, false, false},          [DTYPE_Q4_1] = {32, 0, false, true},
    [DTYPE_Q5_0] = {32, 16, false, false},         [DTYPE_Q5_1] = {32, 0, false, true},
    [DTYPE_Q8_0] = {32, VB_BIAS, true, false},     [DTYPE_Q2_K] = {16, 0, false, true},
    [DTYPE_Q3_K] = {16, 4, false, false},          [DTYPE_Q4_K] = {32, 0, false, true},
    [DTYPE_Q5_K] = {32, 0, false, true},           [DTYPE_Q6_K] = {16, 32, false, false},
    [DTYPE_IQ4_NL] = {32, VB_BIAS, true, false},   [DTYPE_IQ4_XS] = {32, VB_BIAS, true, false},
    [DTYPE_MXFP4] = {32, E2M1_BIAS, false, false},
};

struct unpack_format K(unpack_format)(enum dtype type)
{
    return formats[type];
}

unpack_fn *K(unpacker)(enum dtype type)
{
#define ONE(TYPE, type) [DTYPE_##TYPE] = one_##type,
    static unpack_fn *const functions[DTYPE_OTHER + 1] = {FOR_EACH_TYPE(ONE)};
    return functions[type];
}

unpack_rows_fn *K(rows_unpacker)(enum dtype type)
{
#define ROWS(TYPE, type) [DTYPE_##TYPE] = rows_##type,
    static unpack_rows_fn *const functions[DTYPE_OTHER + 1] = {FOR_EACH_TYPE(ROWS)};
    return functions[type];
}
