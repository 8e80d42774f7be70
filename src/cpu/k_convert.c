/* k_convert.c - rows of elements between float and the storage types; same results as
 * tensor/quant.c.
 */
#include "cpu/k_decl.h"

#include "tensor/quant.h"

#define Q8_BLOCK 32
#define Q8_BYTES 34

static void q8_0_to_f32(const char *src, float *dst, long n)
{
    for (long b = 0; b < n; b += Q8_BLOCK, src += Q8_BYTES) {
        uint16_t d;
        memcpy(&d, src, sizeof(d));
        vf scale = vf_set1(half_to_f32(d));
        for (int i = 0; i < Q8_BLOCK; i += VF_N)
            vf_store(dst + b + i, vf_mul(scale, vf_load_i8((const int8_t *)src + 2 + i)));
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
    case DTYPE_Q8_0:
        q8_0_to_f32(p, dst, n);
        i = n;
        break;
    default:
        break;
    }
    if (i < n)
        quant_to_f32(type, p + dtype_row_size(type, i), dst + i, n - i);
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
