/* k_unpack.c - see k_unpack.h; tensor/blocks.h draws the blocks. */
#include "cpu/k_unpack.h"

#include "tensor/blocks.h"

/* Vectors of the compiler's own: what loops over bytes become is not left to chance. They are never
 * passed to functions, which would differ with the instruction set. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint8_t bytes32 __attribute__((vector_size(32)));
typedef uint64_t longs2 __attribute__((vector_size(16)));

/* Sixteen bytes at p: the low nibbles, then the high ones. */
SIMD void nibbles16(const unsigned char *p, uint8_t *q)
{
    bytes16 x, low, high;
    memcpy(&x, p, sizeof(x));
    low = x & 15;
    high = x >> 4;
    memcpy(q, &low, sizeof(low));
    memcpy(q + 16, &high, sizeof(high));
}

/* The fifth bits of 32 elements, added as 16. */
SIMD void add_fifth(const unsigned char *p, uint8_t *q)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    for (int i = 0; i < 4; i++) {
        uint64_t x, bits = p[i] * ones & UINT64_C(0x8040201008040201); /* bit j in byte j */
        memcpy(&x, q + 8 * i, sizeof(x));
        x |= (bits + 0x7f * ones) >> 3 & 0x10 * ones;
        memcpy(q + 8 * i, &x, sizeof(x));
    }
}

/* scale[i] = d * (p[i] - bias) for i < n, 8 or 16; p has 16 bytes. */
SIMD void scales(float *scale, const void *p, int n, float d, float bias)
{
    for (int i = 0; i < n; i += VF_N)
        vf_store(scale + i,
                 vf_mul(vf_set1(d), vf_sub(vf_load_i8((const int8_t *)p + i), vf_set1(bias))));
}

/* The types of 32 elements and 4 or 5 bits. */
SIMD void unpack_45(const unsigned char *p, long n, struct unpacked *u, const bool has_min,
                    const bool five)
{
    for (long g = 0; g < n / 32; g++) {
        u->scale[g] = simd_half(p);
        if (has_min)
            u->offset[g] = simd_half(p + 2);
        p += has_min ? 4 : 2;
        nibbles16(p + (five ? 4 : 0), u->q + 32 * g);
        if (five)
            add_fifth(p, u->q + 32 * g);
        p += five ? 20 : 16;
    }
}

SIMD void unpack_q4_0(const unsigned char *p, long n, struct unpacked *u)
{
    unpack_45(p, n, u, false, false);
}

SIMD void unpack_q4_1(const unsigned char *p, long n, struct unpacked *u)
{
    unpack_45(p, n, u, true, false);
}

SIMD void unpack_q5_0(const unsigned char *p, long n, struct unpacked *u)
{
    unpack_45(p, n, u, false, true);
}

SIMD void unpack_q5_1(const unsigned char *p, long n, struct unpacked *u)
{
    unpack_45(p, n, u, true, true);
}

SIMD void unpack_q8_0(const unsigned char *p, long n, struct unpacked *u)
{
    for (long g = 0; g < n / 32; g++, p += 34) {
        bytes32 x;
        u->scale[g] = simd_half(p);
        memcpy(&x, p + 2, sizeof(x));
        x ^= VB_BIAS;
        memcpy(u->q + 32 * g, &x, sizeof(x));
    }
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

SIMD void unpack_q4_k(const unsigned char *p, long n, struct unpacked *u)
{
    (void)n;
    scales_45_k(p, u);
    for (int i = 0; i < 4; i++) {
        bytes32 x, low, high;
        memcpy(&x, p + 16 + 32 * i, sizeof(x));
        low = x & 15;
        high = x >> 4;
        memcpy(u->q + 64 * i, &low, sizeof(low));
        memcpy(u->q + 64 * i + 32, &high, sizeof(high));
    }
}

SIMD void unpack_q5_k(const unsigned char *p, long n, struct unpacked *u)
{
    bytes32 fifth;
    (void)n;
    scales_45_k(p, u);
    memcpy(&fifth, p + 16, sizeof(fifth));
    for (int i = 0; i < 4; i++, fifth >>= 2) {
        bytes32 x, low, high;
        memcpy(&x, p + 48 + 32 * i, sizeof(x));
        low = (x & 15) | ((fifth & 1) << 4);
        high = (x >> 4) | ((fifth & 2) << 3);
        memcpy(u->q + 64 * i, &low, sizeof(low));
        memcpy(u->q + 64 * i + 32, &high, sizeof(high));
    }
}

SIMD void unpack_q6_k(const unsigned char *p, long n, struct unpacked *u)
{
    (void)n;
    scales(u->scale, p + 192, 16, simd_half(p + 208), 0);
    for (int h = 0; h < 2; h++) {
        bytes32 x, y, high, q[4];
        memcpy(&x, p + 64 * h, sizeof(x));
        memcpy(&y, p + 64 * h + 32, sizeof(y));
        memcpy(&high, p + 128 + 32 * h, sizeof(high));
        q[0] = (x & 15) | ((high & 3) << 4);
        q[1] = (y & 15) | ((high & 12) << 2);
        q[2] = (x >> 4) | (high & 48);
        q[3] = (y >> 4) | ((high & 192) >> 2);
        memcpy(u->q + 128 * h, q, sizeof(q));
    }
}

SIMD void unpack_q2_k(const unsigned char *p, long n, struct unpacked *u)
{
    uint8_t scale[32];
    (void)n;
    nibbles16(p, scale);
    scales(u->scale, scale, 16, simd_half(p + 80), 0);
    scales(u->offset, scale + 16, 16, -simd_half(p + 82), 0);
    for (int h = 0; h < 2; h++) {
        bytes32 x, q;
        memcpy(&x, p + 16 + 32 * h, sizeof(x));
        for (int i = 0; i < 4; i++, x >>= 2) {
            q = x & 3;
            memcpy(u->q + 128 * h + 32 * i, &q, sizeof(q));
        }
    }
}

SIMD void unpack_q3_k(const unsigned char *p, long n, struct unpacked *u)
{
    const uint64_t four = UINT64_C(0x0f0f0f0f), two = UINT64_C(0x03030303);
    uint32_t a, b, c;
    bytes32 third;
    (void)n;
    memcpy(&a, p + 96, sizeof(a));
    memcpy(&b, p + 100, sizeof(b));
    memcpy(&c, p + 104, sizeof(c));
    longs2 scale = {((a & four) | (c & two) << 4) | ((b & four) | (c >> 2 & two) << 4) << 32,
                    ((a >> 4 & four) | (c >> 4 & two) << 4) |
                        ((b >> 4 & four) | (c >> 6 & two) << 4) << 32};
    scales(u->scale, &scale, 16, simd_half(p + 108), 32);
    memcpy(&third, p, sizeof(third));
    for (int h = 0; h < 2; h++) {
        bytes32 x, q;
        memcpy(&x, p + 32 + 32 * h, sizeof(x));
        for (int i = 0; i < 4; i++) {
            q = ((x >> 2 * i) & 3) | (((third >> (4 * h + i)) & 1) << 2);
            memcpy(u->q + 128 * h + 32 * i, &q, sizeof(q));
        }
    }
}

/* Sixteen bytes at p: nibbles that stand for levels, `bias` above them. */
SIMD void look_up16(const int8_t *levels, uint8_t bias, const unsigned char *p, uint8_t *q)
{
    uint8_t index[32];
    bytes16 biased;
    memcpy(&biased, levels, sizeof(biased));
    biased += bias;
    nibbles16(p, index);
    simd_look_up((const uint8_t *)&biased, index, q);
    simd_look_up((const uint8_t *)&biased, index + 16, q + 16);
}

SIMD void unpack_iq4_nl(const unsigned char *p, long n, struct unpacked *u)
{
    for (long g = 0; g < n / 32; g++, p += 18) {
        u->scale[g] = simd_half(p);
        look_up16(block_levels, VB_BIAS, p + 2, u->q + 32 * g);
    }
}

SIMD void unpack_iq4_xs(const unsigned char *p, long n, struct unpacked *u)
{
    float d = simd_half(p);
    unsigned high = p[2] | (unsigned)p[3] << 8;
    (void)n;
    for (int i = 0; i < 8; i++) {
        unsigned scale = (p[4 + i / 2] >> i % 2 * 4 & 15U) | (high >> 2 * i & 3) << 4;
        u->scale[i] = d * (float)((int)scale - 32);
        look_up16(block_levels, VB_BIAS, p + 8 + 16 * i, u->q + 32 * i);
    }
}

#define E2M1_BIAS 12 /* the largest */

SIMD void unpack_mxfp4(const unsigned char *p, long n, struct unpacked *u)
{
    for (long g = 0; g < n / 32; g++, p += 17) {
        u->scale[g] = block_e8m0_half(p[0]);
        look_up16(block_e2m1, E2M1_BIAS, p + 1, u->q + 32 * g);
    }
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

#define FUNCTIONS(TYPE, type)                                                          \
    static void one_##type(const unsigned char *p, long n, struct unpacked *u)         \
    {                                                                                  \
        unpack_##type(p, n, u);                                                        \
    }                                                                                  \
    static void rows_##type(const unsigned char *const *p, long n, struct unpacked *u) \
    {                                                                                  \
        for (int r = 0; r < UNPACK_ROWS; r++)                                          \
            unpack_##type(p[r], n, u + r);                                             \
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
