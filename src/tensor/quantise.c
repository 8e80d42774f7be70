/* quantise.c - see quantise.h; the layouts are those of tensor/blocks.h. */
#include "tensor/quantise.h"

#include "tensor/blocks.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define MAX_GROUP   32
#define STEPS       5 /* scales tried on either side of the one that just covers the values */
#define STEP        0.2f
#define LEVEL_STEPS 5

static float store_half(unsigned char *p, float x)
{
    uint16_t h = half_from_f32(x);
    memcpy(p, &h, sizeof(h));
    return half_to_f32(h);
}

static float inverse(float x)
{
    return x != 0 ? 1.0f / x : 0;
}

/* The nearest integer within low .. high; low for a NaN. Adding 1.5 x 2^23 leaves no fraction. */
static float nearest(float x, float low, float high)
{
    const float shift = 12582912.0f;
    x = x > low ? x : low;
    x = x < high ? x : high;
    return x + shift - shift;
}

/* What is quantised together: x ~ scale q - min. */
struct group {
    const float *x;
    float weight[MAX_GROUP];
    int n;
    float low, high;  /* of q */
    float w, wx, wxx; /* weighted sums */
};

static void group_init(struct group *g, const float *x, int n, int low, int high)
{
    float sum2 = 0;
    *g = (struct group){.x = x, .n = n, .low = (float)low, .high = (float)high};
    for (int i = 0; i < n; i++)
        sum2 += x[i] * x[i];
    float level = sqrtf(sum2 / (float)n);
    for (int i = 0; i < n; i++) {
        g->weight[i] = level + fabsf(x[i]);
        g->w += g->weight[i];
        g->wx += g->weight[i] * x[i];
        g->wxx += g->weight[i] * x[i] * x[i];
    }
}

/* Weighted sums over the integers that a scale and a minimum lead to. */
struct sums {
    float q, qq, qx;
};

static struct sums group_sums(const struct group *g, float scale, float min)
{
    float inv = inverse(scale);
    struct sums s = {0};
    for (int i = 0; i < g->n; i++) {
        float q = nearest((g->x[i] + min) * inv, g->low, g->high), wq = g->weight[i] * q;
        s.q += wq;
        s.qq += wq * q;
        s.qx += wq * g->x[i];
    }
    return s;
}

struct fit {
    float scale, min, error;
};

/* Keeps scale and minimum if they suit the integers of `s` better. */
static void keep_better(const struct group *g, struct fit *best, const struct sums *s, float scale,
                        float min)
{
    float error = scale * (scale * s->qq - 2 * min * s->q - 2 * s->qx) +
                  min * (min * g->w + 2 * g->wx) + g->wxx;
    if (error < best->error)
        *best = (struct fit){scale, min, error};
}

/* x ~ scale q: the scale, whose sign makes the value of largest magnitude use the longer side. */
static float fit_symmetric(const struct group *g)
{
    float largest = 0;
    for (int i = 0; i < g->n; i++)
        largest = fabsf(g->x[i]) > fabsf(largest) ? g->x[i] : largest;
    struct fit best = {largest / g->low, 0, INFINITY};
    for (int k = -STEPS; k <= STEPS; k++) {
        struct sums s = group_sums(g, largest / (g->low + STEP * (float)k), 0);
        if (s.qq > 0)
            keep_better(g, &best, &s, s.qx / s.qq, 0);
    }
    return best.scale;
}

/* x ~ scale q - min, with min >= 0 if asked. */
static struct fit fit_affine(const struct group *g, bool positive)
{
    float low = g->x[0], high = g->x[0];
    for (int i = 1; i < g->n; i++) {
        low = g->x[i] < low ? g->x[i] : low;
        high = g->x[i] > high ? g->x[i] : high;
    }
    if (positive && low > 0)
        low = 0;
    struct fit best = {(high - low) / g->high, -low, INFINITY};
    for (int k = -STEPS; k <= STEPS; k++) {
        /* From the best minimum so far: it is seldom the lowest value. */
        struct sums s = group_sums(g, (high + best.min) / (g->high + STEP * (float)k), best.min);
        float det = g->w * s.qq - s.q * s.q;
        if (!(det > 0))
            continue;
        float min = (s.q * s.qx - s.qq * g->wx) / det;
        if (positive && min < 0)
            keep_better(g, &best, &s, s.qx / s.qq, 0);
        else
            keep_better(g, &best, &s, (g->w * s.qx - s.q * g->wx) / det, min);
    }
    return best;
}

/* The index of the nearest of `n` ascending levels. */
static unsigned nearest_level(const int8_t *levels, int n, float x)
{
    unsigned i = 0;
    for (int k = 1; k < n; k++)
        i += x > 0.5f * (float)(levels[k - 1] + levels[k]);
    return i;
}

/* x ~ scale * one of block_levels; the value of largest magnitude may be at either end. */
static float fit_levels(const struct group *g)
{
    float largest = 0;
    for (int i = 0; i < g->n; i++)
        largest = fabsf(g->x[i]) > fabsf(largest) ? g->x[i] : largest;
    struct fit best = {0, 0, INFINITY};
    for (int k = -LEVEL_STEPS; largest != 0 && k <= LEVEL_STEPS; k++)
        for (int end = 0; end < 16; end += 15) {
            float inv = ((float)block_levels[end] + 2 * (float)k) / largest;
            struct sums s = {0};
            for (int i = 0; i < g->n; i++) {
                float q = (float)block_levels[nearest_level(block_levels, 16, g->x[i] * inv)];
                s.qq += g->weight[i] * q * q;
                s.qx += g->weight[i] * q * g->x[i];
            }
            if (s.qq > 0)
                keep_better(g, &best, &s, s.qx / s.qq, 0);
        }
    return best.scale;
}

/* 32 values as levels of this scale: element i in the low half of byte i, i + 16 in the high. */
static void put_levels(const float *x, float scale, unsigned char *dst)
{
    float inv = inverse(scale);
    for (int i = 0; i < 16; i++)
        dst[i] = (unsigned char)(nearest_level(block_levels, 16, x[i] * inv) |
                                 nearest_level(block_levels, 16, x[i + 16] * inv) << 4);
}

/* ---- blocks of 32 ---- */

static void quantise_iq4_nl(const float *src, unsigned char *dst)
{
    struct group g;
    group_init(&g, src, 32, 0, 0);
    put_levels(src, store_half(dst, fit_levels(&g)), dst + 2);
}

/* The error of MXFP4 with this exponent, whose nibbles go to dst[16]. */
static double put_e2m1(const float *x, unsigned exponent, unsigned char *dst)
{
    float scale = block_e8m0_half(exponent), inv = inverse(scale);
    double error = 0;
    memset(dst, 0, 16);
    for (int i = 0; i < 32; i++) {
        unsigned q = nearest_level(block_e2m1, 8, fabsf(x[i]) * inv);
        double d = (double)fabsf(x[i]) - (double)block_e2m1[q] * (double)scale;
        error += d * d;
        dst[i % 16] |= (unsigned char)((q | (x[i] < 0 ? 8 : 0)) << (i < 16 ? 0 : 4));
    }
    return error;
}

/* The largest magnitude becomes 4 to 8 times a power of two, of which 6 can be stored; or, where
 * that loses less, half as much. */
static void quantise_mxfp4(const float *src, unsigned char *dst)
{
    unsigned char other[16];
    float max = 0;
    int exponent = 0;
    for (int i = 0; i < 32; i++)
        max = fabsf(src[i]) > max ? fabsf(src[i]) : max;
    if (max > 0 && isfinite(max)) {
        frexpf(max, &exponent); /* max = 0.5 .. 1 x 2^exponent */
        exponent += 127 - 3;
    }
    exponent = exponent < 0 ? 0 : exponent;
    dst[0] = (unsigned char)exponent;
    double error = put_e2m1(src, (unsigned)exponent, dst + 1);
    if (exponent < 254 && put_e2m1(src, (unsigned)exponent + 1, other) < error) {
        dst[0]++;
        memcpy(dst + 1, other, sizeof(other));
    }
}

static void quantise_q8_0(const float *src, unsigned char *dst)
{
    float max = 0;
    for (int i = 0; i < 32; i++)
        max = fabsf(src[i]) > max ? fabsf(src[i]) : max;
    float d = max / 127.0f, inv = inverse(d);
    store_half(dst, d);
    for (int i = 0; i < 32; i++) {
        float x = src[i] * inv, a = fabsf(x);
        int q = a < 128.0f ? (int)a : 0; /* not for NaN, which has no integer */
        q += a - (float)q >= 0.5f;
        dst[2 + i] = (unsigned char)(x < 0 ? -q : q);
    }
}

static void quantise_32(enum dtype type, const float *src, unsigned char *dst)
{
    bool has_min = type == DTYPE_Q4_1 || type == DTYPE_Q5_1;
    bool five = type == DTYPE_Q5_0 || type == DTYPE_Q5_1;
    int levels = five ? 32 : 16, bias = has_min ? 0 : levels / 2;
    uint32_t fifth = 0;
    struct group g;
    struct fit f = {0};
    group_init(&g, src, 32, -bias, levels - 1 - bias);
    if (has_min)
        f = fit_affine(&g, false);
    else
        f.scale = fit_symmetric(&g);
    float d = store_half(dst, f.scale), inv = inverse(d), min = 0;
    dst += 2;
    if (has_min) {
        min = -store_half(dst, -f.min);
        dst += 2;
    }
    unsigned char *nibbles = five ? dst + 4 : dst;
    memset(nibbles, 0, 16);
    for (int i = 0; i < 32; i++) {
        unsigned q = (unsigned)((int)nearest((src[i] + min) * inv, g.low, g.high) + bias);
        nibbles[i % 16] |= (unsigned char)((q & 15) << (i < 16 ? 0 : 4));
        fifth |= (uint32_t)(q >> 4) << i;
    }
    if (five)
        memcpy(dst, &fifth, sizeof(fifth));
}

/* ---- blocks of 256 ---- */

/* The inverse of block_scale_min(). */
static void put_scale_min(unsigned char *p, int i, int scale, int min)
{
    if (i < 4) {
        p[i] = (unsigned char)(p[i] | scale);
        p[i + 4] = (unsigned char)(p[i + 4] | min);
    } else {
        p[i + 4] = (unsigned char)((scale & 15) | (min & 15) << 4);
        p[i - 4] = (unsigned char)(p[i - 4] | (scale >> 4) << 6);
        p[i] = (unsigned char)(p[i] | (min >> 4) << 6);
    }
}

/* The squared error, weighted, of x ~ scale q - min. */
static float error_of(const struct group *g, float scale, float min)
{
    float inv = inverse(scale), error = 0;
    for (int i = 0; i < g->n; i++) {
        float q = nearest((g->x[i] + min) * inv, g->low, g->high);
        float d = g->x[i] + min - scale * q;
        error += g->weight[i] * d * d;
    }
    return error;
}

/* A scale and a minimum as whole numbers 0 .. `most` of the block's own. */
struct codes {
    float d, dmin;
    int most;
    int scale, min;
};

/* Rounding scale and minimum apart loses: all pairs around the nearest ones are tried. */
static void fit_codes(const struct group *g, const struct fit *f, struct codes *c)
{
    int s0 = (int)nearest(f->scale * inverse(c->d), 0, (float)c->most);
    int m0 = (int)nearest(f->min * inverse(c->dmin), 0, (float)c->most);
    float least = INFINITY;
    c->scale = s0;
    c->min = m0;
    for (int s = s0 > 0 ? s0 - 1 : 0; s <= s0 + 1 && s <= c->most; s++)
        for (int m = m0 > 0 ? m0 - 1 : 0; m <= m0 + 1 && m <= c->most; m++) {
            float error = error_of(g, c->d * (float)s, c->dmin * (float)m);
            if (error < least) {
                least = error;
                c->scale = s;
                c->min = m;
            }
        }
}

/* The largest scale and minimum of n groups, stored as d and dmin. */
static struct codes store_largest(const struct fit *fit, int n, int most, unsigned char *dst)
{
    float scale = 0, min = 0;
    for (int i = 0; i < n; i++) {
        scale = fit[i].scale > scale ? fit[i].scale : scale;
        min = fit[i].min > min ? fit[i].min : min;
    }
    return (struct codes){.d = store_half(dst, scale / (float)most),
                          .dmin = store_half(dst + 2, min / (float)most),
                          .most = most};
}

static void quantise_q45_k(bool five, const float *src, unsigned char *dst)
{
    int high = five ? 31 : 15;
    unsigned char *fifth = dst + 16, *low = five ? dst + 48 : dst + 16;
    struct fit fit[8];
    struct group g[8];
    memset(dst, 0, five ? 176 : 144);
    for (int i = 0; i < 8; i++) {
        group_init(&g[i], src + 32 * i, 32, 0, high);
        fit[i] = fit_affine(&g[i], true);
    }
    struct codes c = store_largest(fit, 8, 63, dst);
    for (int i = 0; i < 8; i++) {
        fit_codes(&g[i], &fit[i], &c);
        float inv = inverse(c.d * (float)c.scale), m = c.dmin * (float)c.min;
        put_scale_min(dst + 4, i, c.scale, c.min);
        for (int j = 0; j < 32; j++) {
            int q = (int)nearest((src[32 * i + j] + m) * inv, 0, (float)high);
            low[i / 2 * 32 + j] |= (unsigned char)((q & 15) << (i % 2 * 4));
            if (five)
                fifth[j] |= (unsigned char)((q >> 4) << i);
        }
    }
}

/* Two bits of element `at` of 256: the inverse of block_pairs(). */
static void put_pair(unsigned char *p, int at, unsigned q)
{
    p[at / 128 * 32 + at % 32] |= (unsigned char)(q << at % 128 / 32 * 2);
}

static void quantise_q2_k(const float *src, unsigned char *dst)
{
    struct fit fit[16];
    struct group g[16];
    memset(dst, 0, 84);
    for (int i = 0; i < 16; i++) {
        group_init(&g[i], src + 16 * i, 16, 0, 3);
        fit[i] = fit_affine(&g[i], true);
    }
    struct codes c = store_largest(fit, 16, 15, dst + 80);
    for (int i = 0; i < 16; i++) {
        fit_codes(&g[i], &fit[i], &c);
        float inv = inverse(c.d * (float)c.scale), m = c.dmin * (float)c.min;
        dst[i] = (unsigned char)(c.scale | c.min << 4);
        for (int j = 16 * i; j < 16 * i + 16; j++)
            put_pair(dst + 16, j, (unsigned)nearest((src[j] + m) * inv, 0, 3));
    }
}

/* Scales of `n` groups as whole numbers -half .. half - 1 times what is stored at `p`. */
static float round_scales(const float *scale, int n, int half, unsigned char *p, int *out)
{
    float largest = 0;
    for (int i = 0; i < n; i++)
        largest = fabsf(scale[i]) > fabsf(largest) ? scale[i] : largest;
    float d = store_half(p, largest / (float)-half);
    for (int i = 0; i < n; i++)
        out[i] = (int)nearest(scale[i] * inverse(d), (float)-half, (float)(half - 1));
    return d;
}

static void quantise_q3_k(const float *src, unsigned char *dst)
{
    unsigned char *codes = dst + 96;
    float scale[16];
    int code[16];
    struct group g;
    memset(dst, 0, 110);
    for (int i = 0; i < 16; i++) {
        group_init(&g, src + 16 * i, 16, -4, 3);
        scale[i] = fit_symmetric(&g);
    }
    float d = round_scales(scale, 16, 32, dst + 108, code);
    for (int i = 0; i < 16; i++) {
        float inv = inverse(d * (float)code[i]);
        unsigned c = (unsigned)(code[i] + 32);
        codes[i % 8] |= (unsigned char)((c & 15) << (i < 8 ? 0 : 4));
        codes[8 + i % 4] |= (unsigned char)((c >> 4) << 2 * (i / 4));
        for (int j = 16 * i; j < 16 * i + 16; j++) {
            unsigned q = (unsigned)(nearest(src[j] * inv, -4, 3) + 4);
            put_pair(dst + 32, j, q & 3);
            dst[j % 32] |= (unsigned char)((q >> 2) << j / 32);
        }
    }
}

static void quantise_q6_k(const float *src, unsigned char *dst)
{
    float scale[16];
    int code[16];
    struct group g;
    memset(dst, 0, 210);
    for (int i = 0; i < 16; i++) {
        group_init(&g, src + 16 * i, 16, -32, 31);
        scale[i] = fit_symmetric(&g);
    }
    float d = round_scales(scale, 16, 128, dst + 208, code);
    for (int i = 0; i < 16; i++) {
        float inv = inverse(d * (float)code[i]);
        dst[192 + i] = (unsigned char)code[i];
        for (int j = 16 * i; j < 16 * i + 16; j++) {
            unsigned q = (unsigned)(nearest(src[j] * inv, -32, 31) + 32);
            dst[j / 128 * 64 + j % 64] |= (unsigned char)((q & 15) << (j % 128 < 64 ? 0 : 4));
            put_pair(dst + 128, j, q >> 4);
        }
    }
}

static void quantise_iq4_xs(const float *src, unsigned char *dst)
{
    float scale[8];
    int code[8];
    struct group g;
    memset(dst, 0, 8);
    for (int i = 0; i < 8; i++) {
        group_init(&g, src + 32 * i, 32, 0, 0);
        scale[i] = fit_levels(&g);
    }
    float d = round_scales(scale, 8, 32, dst, code);
    for (int i = 0; i < 8; i++) {
        unsigned c = (unsigned)(code[i] + 32);
        dst[4 + i / 2] |= (unsigned char)((c & 15) << i % 2 * 4);
        dst[2 + i / 4] |= (unsigned char)((c >> 4) << i % 4 * 2);
        put_levels(src + 32 * i, d * (float)code[i], dst + 8 + 16 * i);
    }
}

bool quantise_can(enum dtype type)
{
    return dtype_block(type) > 1;
}

static void quantise_block(enum dtype type, const float *src, unsigned char *dst)
{
    switch (type) {
    case DTYPE_Q8_0:
        quantise_q8_0(src, dst);
        break;
    case DTYPE_Q2_K:
        quantise_q2_k(src, dst);
        break;
    case DTYPE_Q3_K:
        quantise_q3_k(src, dst);
        break;
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
        quantise_q45_k(type == DTYPE_Q5_K, src, dst);
        break;
    case DTYPE_Q6_K:
        quantise_q6_k(src, dst);
        break;
    case DTYPE_IQ4_NL:
        quantise_iq4_nl(src, dst);
        break;
    case DTYPE_IQ4_XS:
        quantise_iq4_xs(src, dst);
        break;
    case DTYPE_MXFP4:
        quantise_mxfp4(src, dst);
        break;
    default:
        quantise_32(type, src, dst);
    }
}

void quantise(enum dtype type, const float *src, unsigned char *dst, int64_t n)
{
    int block = dtype_block(type);
    size_t bytes = dtype_row_size(type, block);
    assert(quantise_can(type));
    for (; n > 0; n -= block, src += block, dst += bytes)
        quantise_block(type, src, dst);
}
