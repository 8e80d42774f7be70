/* k_table.c - the kernel table of one instruction set. */
#include "cpu/k_decl.h"

#include <limits.h>

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

const struct kernels K(kernels) = {
    .name = TEXT(LAR_ISA),
    .width = VF_N,
    .f32 = {.gemm = K(gemm_f32),
            .pack = K(pack_f32),
            .mr = GEMM_MR,
            .nr = GEMM_NV * VF_N,
            .n = GEMM_NV * VF_N,
            .k_step = 1,
            .group = 1,
            .part = INT_MAX,
            .cache = 192 * 1024},
#if defined(SIMD_BF16)
    .bf16 = {.gemm = K(gemm_bf16),
             .pack = K(pack_bf16),
#if defined(SIMD_AMX)
             .mr = 2 * AMX_ROWS,
             .nr = 2 * VF_N,
             .n = 20 * VF_N,
             .k_step = AMX_K,
             .group = AMX_ROWS,
             .part = 4 * AMX_K,
             .cache = 1000 * 1024},
#else
             .mr = GEMM_MR,
             .nr = GEMM_NV * VF_N,
             .n = GEMM_NV * VF_N,
             .k_step = 2,
             .group = 1,
             .part = INT_MAX,
             .cache = 192 * 1024},
#endif
#endif
#if defined(SIMD_INT8)
    .int8 = {.gemm = K(gemm_int8),
             .pack = K(pack_int8),
             .mr = GEMM_MR,
             .nr = GEMM_NV * VF_N,
             .n = 4 * GEMM_NV * VF_N,
             .k_step = INT8_STEP,
             .group = 1,
             .part = INT_MAX,
             .cache = 512 * 1024},
    .int8_most = SIMD_INT8,
    .to_int8 = K(to_int8),
#endif
    .begin_products = K(begin_products),
    .end_products = K(end_products),
    .dot = K(dot),
    .dot_pack = K(dot_pack),
    .dot_lanes = K(dot_lanes),
    .dot_packed = K(dot_packed),
    .attend_query = K(attend_query),
    .attend_scores = K(attend_scores),
    .attend_values = K(attend_values),
    .attend_cap = K(attend_cap),
    .attend_pack = K(attend_pack),
    .finish = K(finish),
    .to_f32 = K(to_f32),
    .from_f32 = K(from_f32),
    .softmax = K(softmax),
    .silu = K(silu),
    .gelu = K(gelu),
    .quick_gelu = K(quick_gelu),
    .relu = K(relu),
    .soft_cap = K(soft_cap),
    .geglu = K(geglu),
    .prelu = K(prelu),
    .add = K(add),
    .scale = K(scale),
    .scale_by = K(scale_by),
    .add_scaled = K(add_scaled),
    .rope = K(rope),
    .glu = K(glu),
    .affine = K(affine),
    .sum = K(sum),
    .sum_squared_diff = K(sum_squared_diff),
    .moments = K(moments),
    .normalize = K(normalize),
};
