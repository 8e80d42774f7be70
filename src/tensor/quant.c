/* quant.c - see quant.h. */
#include "tensor/quant.h"

#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

#include <assert.h>
#include <string.h>

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

static void blocks_to_f32(enum dtype type, const unsigned char *src, float *dst, int64_t n)
{
    struct block b;
    int size = dtype_block(type);
    size_t bytes = dtype_row_size(type, size);
    for (; n > 0; n -= size, src += bytes, dst += size) {
        block_unpack(type, src, &b);
        for (int i = 0; i < size; i++) {
            float product = b.scale[i / BLOCK_GROUP] * (float)b.q[i];
            dst[i] = product + b.offset[i / BLOCK_GROUP];
        }
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
    case DTYPE_I32:
    case DTYPE_OTHER:
        assert(!"no conversion for this type");
        break;
    default:
        blocks_to_f32(type, p, dst, n);
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
    case DTYPE_I32:
    case DTYPE_OTHER:
        assert(!"no conversion for this type");
        break;
    default:
        quantise(type, src, p, n);
    }
}
