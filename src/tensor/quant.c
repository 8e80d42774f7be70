/* quant.c - see quant.h. */
#include "tensor/quant.h"

#include "tensor/half.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define Q8_BLOCK 32
#define Q8_BYTES 34

static uint16_t load16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static void store16(unsigned char *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

static void q8_to_f32(const unsigned char *src, float *dst)
{
    float d = half_to_f32(load16(src));
    for (int i = 0; i < Q8_BLOCK; i++)
        dst[i] = d * (float)(int8_t)src[2 + i];
}

static void q8_from_f32(const float *src, unsigned char *dst)
{
    float max = 0;
    for (int i = 0; i < Q8_BLOCK; i++)
        max = fabsf(src[i]) > max ? fabsf(src[i]) : max;
    float d = max / 127.0f, inverse = d != 0 ? 1.0f / d : 0;
    store16(dst, half_from_f32(d));
    for (int i = 0; i < Q8_BLOCK; i++) {
        float x = src[i] * inverse, a = fabsf(x);
        int q = a < 128.0f ? (int)a : 0; /* not for NaN, which has no integer */
        q += a - (float)q >= 0.5f;
        dst[2 + i] = (unsigned char)(x < 0 ? -q : q);
    }
}

void quant_to_f32(enum dtype type, const void *src, float *dst, int64_t n)
{
    const unsigned char *p = src;
    assert(n % dtype_block(type) == 0);
    switch (type) {
    case DTYPE_F32:
        memcpy(dst, src, (size_t)n * sizeof(*dst));
        break;
    case DTYPE_F16:
        for (int64_t i = 0; i < n; i++)
            dst[i] = half_to_f32(load16(p + 2 * i));
        break;
    case DTYPE_BF16:
        for (int64_t i = 0; i < n; i++)
            dst[i] = bf16_to_f32(load16(p + 2 * i));
        break;
    case DTYPE_Q8_0:
        for (int64_t i = 0; i < n / Q8_BLOCK; i++)
            q8_to_f32(p + i * Q8_BYTES, dst + i * Q8_BLOCK);
        break;
    case DTYPE_I32:
    case DTYPE_OTHER:
        assert(!"no conversion for this type");
    }
}

void quant_from_f32(enum dtype type, const float *src, void *dst, int64_t n)
{
    unsigned char *p = dst;
    assert(n % dtype_block(type) == 0);
    switch (type) {
    case DTYPE_F32:
        memcpy(dst, src, (size_t)n * sizeof(*src));
        break;
    case DTYPE_F16:
        for (int64_t i = 0; i < n; i++)
            store16(p + 2 * i, half_from_f32(src[i]));
        break;
    case DTYPE_BF16:
        for (int64_t i = 0; i < n; i++)
            store16(p + 2 * i, bf16_from_f32(src[i]));
        break;
    case DTYPE_Q8_0:
        for (int64_t i = 0; i < n / Q8_BLOCK; i++)
            q8_from_f32(src + i * Q8_BLOCK, p + i * Q8_BYTES);
        break;
    case DTYPE_I32:
    case DTYPE_OTHER:
        assert(!"no conversion for this type");
    }
}
