/* k_table.c - the kernel table of one instruction set. */
#include "cpu/k_decl.h"

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

const struct kernels K(kernels) = {
    .name = TEXT(LAR_ISA),
    .width = VF_N,
    .f32 = {K(gemm_f32), K(pack_f32), GEMM_MR, GEMM_NV *VF_N, 1, 1, 192 * 1024, GEMM_NV *VF_N},
#if defined(SIMD_AMX)
    .bf16 = {K(gemm_bf16), K(pack_bf16), 2 * AMX_ROWS, 2 * VF_N, AMX_K, AMX_ROWS, 768 * 1024, 128},
#elif defined(SIMD_BF16)
    .bf16 = {K(gemm_bf16), K(pack_bf16), GEMM_MR, GEMM_NV *VF_N, 2, 1, 192 * 1024, GEMM_NV *VF_N},
#endif
    .begin_products = K(begin_products),
    .end_products = K(end_products),
    .finish = K(finish),
    .to_f32 = K(to_f32),
    .from_f32 = K(from_f32),
    .softmax = K(softmax),
    .silu = K(silu),
    .gelu = K(gelu),
    .quick_gelu = K(quick_gelu),
    .relu = K(relu),
    .soft_clamp = K(soft_clamp),
    .geglu = K(geglu),
    .prelu = K(prelu),
    .add = K(add),
    .scale = K(scale),
    .affine = K(affine),
    .sum = K(sum),
    .sum_squared_diff = K(sum_squared_diff),
    .add_moments = K(add_moments),
};
