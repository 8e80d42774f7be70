/* quantise.c - see quantise.h; the layouts are those of tensor/blocks.h. */
#include "tensor/quantise.h"

#include "tensor/blocks.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define MAX_GROUP 32
#define STEPS     5 /* scales tried on either side of the one that just covers the values */
#define STEP      0.2f

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
        struct sums s = group_sums(g, (high - low) / (g->high + STEP * (float)k), -low);
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

/* ---- blocks of 32 ---- */

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

static void quantise_q45_k(bool five, const float *src, unsigned char *dst)
{
    int high = five ? 31 : 15;
    unsigned char *fifth = dst + 16, *low = five ? dst + 48 : dst + 16;
    struct fit fit[8];
    struct group g;
    float most_scale = 0, most_min = 0;
    memset(dst, 0, five ? 176 : 144);
    for (int i = 0; i < 8; i++) {
        group_init(&g, src + 32 * i, 32, 0, high);
        fit[i] = fit_affine(&g, true);
        most_scale = fit[i].scale > most_scale ? fit[i].scale : most_scale;
        most_min = fit[i].min > most_min ? fit[i].min : most_min;
    }
    float d = store_half(dst, most_scale / 63), dmin = store_half(dst + 2, most_min / 63);
    for (int i = 0; i < 8; i++) {
        int scale = (int)nearest(fit[i].scale * inverse(d), 0, 63);
        int min = (int)nearest(fit[i].min * inverse(dmin), 0, 63);
        float inv = inverse(d * (float)scale), m = dmin * (float)min;
        put_scale_min(dst + 4, i, scale, min);
        for (int j = 0; j < 32; j++) {
            int q = (int)nearest((src[32 * i + j] + m) * inv, 0, (float)high);
            low[i / 2 * 32 + j] |= (unsigned char)((q & 15) << (i % 2 * 4));
            if (five)
                fifth[j] |= (unsigned char)((q >> 4) << i);
        }
    }
}

static void quantise_q6_k(const float *src, unsigned char *dst)
{
    float scale[16], largest = 0;
    struct group g;
    memset(dst, 0, 210);
    for (int i = 0; i < 16; i++) {
        group_init(&g, src + 16 * i, 16, -32, 31);
        scale[i] = fit_symmetric(&g);
        largest = fabsf(scale[i]) > fabsf(largest) ? scale[i] : largest;
    }
    float d = store_half(dst + 208, largest / -128);
    for (int i = 0; i < 16; i++) {
        int s = (int)nearest(scale[i] * inverse(d), -128, 127);
        float inv = inverse(d * (float)s);
        dst[192 + i] = (unsigned char)s;
        for (int j = 0; j < 16; j++) {
            int at = 16 * i + j, half = at / 128, quarter = at % 128 / 32, k = at % 32;
            int q = (int)nearest(src[at] * inv, -32, 31) + 32;
            dst[64 * half + quarter % 2 * 32 + k] |= (unsigned char)((q & 15)
                                                                     << (quarter < 2 ? 0 : 4));
            dst[128 + 32 * half + k] |= (unsigned char)((q >> 4) << (2 * quarter));
        }
    }
}

bool quantise_can(enum dtype type)
{
    return dtype_block(type) > 1 && type != DTYPE_Q2_K && type != DTYPE_Q3_K && type < DTYPE_IQ4_NL;
}

void quantise(enum dtype type, const float *src, unsigned char *dst, int64_t n)
{
    int block = dtype_block(type);
    size_t bytes = dtype_row_size(type, block);
    assert(quantise_can(type));
    for (; n > 0; n -= block, src += block, dst += bytes) {
        if (type == DTYPE_Q8_0)
            quantise_q8_0(src, dst);
        else if (type == DTYPE_Q4_K || type == DTYPE_Q5_K)
            quantise_q45_k(type == DTYPE_Q5_K, src, dst);
        else if (type == DTYPE_Q6_K)
            quantise_q6_k(src, dst);
        else
            quantise_32(type, src, dst);
    }
}
