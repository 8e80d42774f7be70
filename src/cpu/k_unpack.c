/* k_unpack.c - see k_unpack.h; tensor/blocks.h draws the blocks. */
#include "cpu/k_unpack.h"

#include "tensor/blocks.h"

/* Sixteen bytes at p: the low nibbles, then the high ones. */
SIMD void nibbles16(const unsigned char *restrict p, uint8_t *restrict q)
{
    for (int i = 0; i < 16; i++) {
        q[i] = p[i] & 15;
        q[i + 16] = p[i] >> 4;
    }
}

/* The fifth bits of 32 elements, added as 16. */
SIMD void add_fifth(uint32_t bits, uint8_t *restrict q)
{
    static const uint8_t mask[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    uint8_t byte[32];
    for (int i = 0; i < 32; i++)
        byte[i] = (uint8_t)(bits >> i / 8 * 8);
    for (int i = 0; i < 32; i++)
        q[i] = (uint8_t)(q[i] | (byte[i] & mask[i % 8] ? 16 : 0));
}

/* The types of 32 elements and 4 or 5 bits. */
SIMD void unpack_45(const unsigned char *p, long n, struct unpacked *u, const bool has_min,
                    const bool five)
{
    for (long g = 0; g < n / 32; g++) {
        uint32_t fifth;
        u->scale[g] = simd_half(p);
        if (has_min)
            u->offset[g] = simd_half(p + 2);
        p += has_min ? 4 : 2;
        memcpy(&fifth, p, sizeof(fifth));
        p += five ? 4 : 0;
        nibbles16(p, u->q + 32 * g);
        if (five)
            add_fifth(fifth, u->q + 32 * g);
        p += 16;
    }
}

static void unpack_q4_0(const unsigned char *p, long n, struct unpacked *u)
{
    unpack_45(p, n, u, false, false);
}

static void unpack_q4_1(const unsigned char *p, long n, struct unpacked *u)
{
    unpack_45(p, n, u, true, false);
}

static void unpack_q5_0(const unsigned char *p, long n, struct unpacked *u)
{
    unpack_45(p, n, u, false, true);
}

static void unpack_q5_1(const unsigned char *p, long n, struct unpacked *u)
{
    unpack_45(p, n, u, true, true);
}

static void unpack_q8_0(const unsigned char *restrict p, long n, struct unpacked *restrict u)
{
    for (long g = 0; g < n / 32; g++, p += 34) {
        u->scale[g] = simd_half(p);
        for (int i = 0; i < 32; i++)
            u->q[32 * g + i] = (uint8_t)(p[2 + i] ^ VB_BIAS);
    }
}

/* Eight 6-bit scales and minima, as tensor/blocks.h has them one by one. */
SIMD void scales_45_k(const unsigned char *p, struct unpacked *u)
{
    const uint64_t six = UINT64_C(0x3f3f3f3f), four = UINT64_C(0x0f0f0f0f);
    const uint64_t two = UINT64_C(0x03030303);
    uint32_t a, b, c;
    uint8_t scale[8], min[8];
    float d = simd_half(p), dmin = -simd_half(p + 2);
    memcpy(&a, p + 4, sizeof(a));
    memcpy(&b, p + 8, sizeof(b));
    memcpy(&c, p + 12, sizeof(c));
    uint64_t scales = (a & six) | ((c & four) | (a >> 6 & two) << 4) << 32;
    uint64_t mins = (b & six) | ((c >> 4 & four) | (b >> 6 & two) << 4) << 32;
    memcpy(scale, &scales, sizeof(scale));
    memcpy(min, &mins, sizeof(min));
    for (int i = 0; i < 8; i++) {
        u->scale[i] = d * (float)scale[i];
        u->offset[i] = dmin * (float)min[i];
    }
}

static void unpack_q4_k(const unsigned char *restrict p, long n, struct unpacked *restrict u)
{
    (void)n;
    scales_45_k(p, u);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 32; j++) {
            u->q[64 * i + j] = p[16 + 32 * i + j] & 15;
            u->q[64 * i + 32 + j] = p[16 + 32 * i + j] >> 4;
        }
}

static void unpack_q5_k(const unsigned char *restrict p, long n, struct unpacked *restrict u)
{
    const unsigned char *fifth = p + 16, *low = p + 48;
    (void)n;
    scales_45_k(p, u);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 32; j++) {
            unsigned char two = (unsigned char)(fifth[j] >> 2 * i);
            u->q[64 * i + j] = (uint8_t)((low[32 * i + j] & 15) | (two & 1) << 4);
            u->q[64 * i + 32 + j] = (uint8_t)(low[32 * i + j] >> 4 | (two & 2) << 3);
        }
}

static void unpack_q6_k(const unsigned char *restrict p, long n, struct unpacked *restrict u)
{
    float d = simd_half(p + 208);
    (void)n;
    for (int i = 0; i < 16; i++)
        u->scale[i] = d * (float)(int8_t)p[192 + i];
    for (int h = 0; h < 2; h++) {
        const unsigned char *low = p + 64 * h, *high = p + 128 + 32 * h;
        uint8_t *q = u->q + 128 * h;
        for (int j = 0; j < 32; j++) {
            q[j] = (uint8_t)((low[j] & 15) | (high[j] & 3) << 4);
            q[32 + j] = (uint8_t)((low[32 + j] & 15) | (high[j] & 12) << 2);
            q[64 + j] = (uint8_t)(low[j] >> 4 | (high[j] & 48));
            q[96 + j] = (uint8_t)(low[32 + j] >> 4 | (high[j] & 192) >> 2);
        }
    }
}

static void unpack_q2_k(const unsigned char *restrict p, long n, struct unpacked *restrict u)
{
    float d = simd_half(p + 80), dmin = -simd_half(p + 82);
    (void)n;
    for (int i = 0; i < 16; i++) {
        u->scale[i] = d * (float)(p[i] & 15);
        u->offset[i] = dmin * (float)(p[i] >> 4);
    }
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 32; j++)
                u->q[128 * h + 32 * i + j] = p[16 + 32 * h + j] >> 2 * i & 3;
}

static void unpack_q3_k(const unsigned char *restrict p, long n, struct unpacked *restrict u)
{
    const unsigned char *scales = p + 96;
    float d = simd_half(p + 108);
    (void)n;
    for (int i = 0; i < 16; i++) {
        int low = scales[i % 8] >> (i < 8 ? 0 : 4) & 15;
        int high = scales[8 + i % 4] >> 2 * (i / 4) & 3;
        u->scale[i] = d * (float)((low | high << 4) - 32);
    }
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 32; j++) {
                unsigned char third = (unsigned char)(p[j] >> (4 * h + i) & 1);
                u->q[128 * h + 32 * i + j] = (uint8_t)((p[32 + 32 * h + j] >> 2 * i & 3) |
                                                       third << 2);
            }
}

/* Nibbles that stand for `levels`, with VB_BIAS or another bias added to these. */
SIMD void look_up16(const uint8_t *levels, const unsigned char *restrict p, uint8_t *restrict q)
{
    uint8_t index[32];
    nibbles16(p, index);
    simd_look_up(levels, index, q);
    simd_look_up(levels, index + 16, q + 16);
}

static void iq4_levels(uint8_t *levels)
{
    for (int i = 0; i < 16; i++)
        levels[i] = (uint8_t)(block_levels[i] + VB_BIAS);
}

static void unpack_iq4_nl(const unsigned char *p, long n, struct unpacked *u)
{
    uint8_t levels[16];
    iq4_levels(levels);
    for (long g = 0; g < n / 32; g++, p += 18) {
        u->scale[g] = simd_half(p);
        look_up16(levels, p + 2, u->q + 32 * g);
    }
}

static void unpack_iq4_xs(const unsigned char *p, long n, struct unpacked *u)
{
    uint8_t levels[16];
    float d = simd_half(p);
    unsigned high = p[2] | (unsigned)p[3] << 8;
    (void)n;
    iq4_levels(levels);
    for (int i = 0; i < 8; i++) {
        unsigned scale = (p[4 + i / 2] >> i % 2 * 4 & 15U) | (high >> 2 * i & 3) << 4;
        u->scale[i] = d * (float)((int)scale - 32);
        look_up16(levels, p + 8 + 16 * i, u->q + 32 * i);
    }
}

#define E2M1_BIAS 12 /* the largest */

static void unpack_mxfp4(const unsigned char *p, long n, struct unpacked *u)
{
    uint8_t levels[16];
    for (int i = 0; i < 16; i++)
        levels[i] = (uint8_t)(block_e2m1[i] + E2M1_BIAS);
    for (long g = 0; g < n / 32; g++, p += 17) {
        u->scale[g] = block_e8m0_half(p[0]);
        look_up16(levels, p + 1, u->q + 32 * g);
    }
}

struct row {
    struct unpack_format format;
    unpack_fn *unpack;
};

static const struct row rows[DTYPE_OTHER + 1] = {
    [DTYPE_Q4_0] = {{32, 8, false, false}, unpack_q4_0},
    [DTYPE_Q4_1] = {{32, 0, false, true}, unpack_q4_1},
    [DTYPE_Q5_0] = {{32, 16, false, false}, unpack_q5_0},
    [DTYPE_Q5_1] = {{32, 0, false, true}, unpack_q5_1},
    [DTYPE_Q8_0] = {{32, VB_BIAS, true, false}, unpack_q8_0},
    [DTYPE_Q2_K] = {{16, 0, false, true}, unpack_q2_k},
    [DTYPE_Q3_K] = {{16, 4, false, false}, unpack_q3_k},
    [DTYPE_Q4_K] = {{32, 0, false, true}, unpack_q4_k},
    [DTYPE_Q5_K] = {{32, 0, false, true}, unpack_q5_k},
    [DTYPE_Q6_K] = {{16, 32, false, false}, unpack_q6_k},
    [DTYPE_IQ4_NL] = {{32, VB_BIAS, true, false}, unpack_iq4_nl},
    [DTYPE_IQ4_XS] = {{32, VB_BIAS, true, false}, unpack_iq4_xs},
    [DTYPE_MXFP4] = {{32, E2M1_BIAS, false, false}, unpack_mxfp4},
};

struct unpack_format K(unpack_format)(enum dtype type)
{
    return rows[type].format;
}

unpack_fn *K(unpacker)(enum dtype type)
{
    return rows[type].unpack;
}
