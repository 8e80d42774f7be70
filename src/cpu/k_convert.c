/* k_convert.c - rows of elements between float and the storage types; same results as
 * tensor/quant.c, but that scale and offset of a quantised block may be applied with one rounding.
 */
#include "cpu/k_decl.h"

#include "tensor/blocks.h"
#include "tensor/quant.h"

SIMD void blocks_to_f32(enum dtype type, const char *src, float *dst, long n)
{
    struct block b;
    int size = dtype_block(type);
    size_t bytes = dtype_row_size(type, size);
    for (; n > 0; n -= size, src += bytes) {
        block_unpack(type, (const unsigned char *)src, &b);
        for (int g = 0; g < size / BLOCK_GROUP; g++) {
            vf scale = vf_set1(b.scale[g]), offset = vf_set1(b.offset[g]);
            for (int i = 0; i < BLOCK_GROUP; i += VF_N, dst += VF_N)
                vf_store(dst, vf_fma(scale, vf_load_i8(b.q + g * BLOCK_GROUP + i), offset));
        }
    }
}

void K(to_f32)(enum dtype type, const void *src, float *dst, long n)
{
    const char *p = src;
    long i = 0;
    switch (type) {
    case DTYPE_F16:
        for (; i + VF_N <= n; i += VF_N)
            vf_store(dst + i, vf_load_f16(p + 2 * i));
        break;
    case DTYPE_BF16:
        for (; i + VF_N <= n; i += VF_N)
            vf_store(dst + i, vf_load_bf16(p + 2 * i));
        break;
    case DTYPE_F32:
        break;
    default:
        blocks_to_f32(type, p, dst, n);
        i = n;
    }
    if (i < n)
        quant_to_f32(type, p + dtype_row_size(type, i), dst + i, n - i);
}

void K(range_to_f32)(enum dtype type, const void *src, long first, float *dst, long n)
{
    float tmp[BLOCK_MAX];
    int block = dtype_block(type);
    while (n > 0) {
        long skip = first % block, len = n - n % block;
        const char *p = (const char *)src + dtype_row_size(type, first - skip);
        if (skip || n < block) {
            len = n < block - skip ? n : block - skip;
            K(to_f32)(type, p, tmp, block);
            memcpy(dst, tmp + skip, (size_t)len * sizeof(*dst));
        } else {
            K(to_f32)(type, p, dst, len);
        }
        first += len;
        dst += len;
        n -= len;
    }
}

void K(from_f32)(enum dtype type, const float *src, void *dst, long n)
{
    char *p = dst;
    long i = 0;
    if (type == DTYPE_F16)
        for (; i + VF_N <= n; i += VF_N)
            vf_store_f16(p + 2 * i, vf_load(src + i));
    if (type == DTYPE_BF16)
        for (; i + VF_N <= n; i += VF_N)
            vf_store_bf16(p + 2 * i, vf_load(src + i));
    if (i < n)
        quant_from_f32(type, src + i, p + dtype_row_size(type, i), n - i);
}
