/* k_decl.h - the kernels of one instruction set; K() appends its name. What each does is said at
 * the slots of struct kernels; range_to_f32 is to_f32 of the n elements from `first` on, which need
 * not be whole blocks.
 */
#ifndef LAR_CPU_K_DECL_H
#define LAR_CPU_K_DECL_H

#include "cpu/kernels.h"
#include "cpu/simd.h"

void K(gemm_f32)(const struct gemm_tile *g);
void K(gemm_bf16)(const struct gemm_tile *g);
void K(pack_f32)(const struct pack_tile *p);
void K(pack_bf16)(const struct pack_tile *p);
void K(gemm_int8)(const struct gemm_tile *g);
void K(pack_int8)(const struct pack_tile *p);
void K(to_int8)(const float *x, void *dst, long n);
void K(begin_products)(void);
void K(end_products)(void);
void K(dot)(const struct dot_tile *t);
void K(dot_pack)(const struct dot_pack *p, long begin, long end);
int K(dot_lanes)(enum dtype type, int rows);
long K(dot_packed)(enum dtype type, int lanes, long k);
void K(attend_query)(enum dtype type, const float *x, int d, struct attend_query *q);
void K(attend_scores)(const struct attend_tile *t);
void K(attend_values)(const struct attend_tile *t);
void K(attend_cap)(float *s, long n, float scale, float cap);
void K(attend_pack)(const struct attend_pack *p);
void K(finish)(const struct finish_tile *f);
void K(to_f32)(enum dtype type, const void *src, float *dst, long n);
void K(range_to_f32)(enum dtype type, const void *src, long first, float *dst, long n);
void K(from_f32)(enum dtype type, const float *src, void *dst, long n);
void K(softmax)(const struct softmax_tile *s);
void K(silu)(float *y, const float *x, long n);
void K(gelu)(float *y, const float *x, long n);
void K(quick_gelu)(float *y, const float *x, long n);
void K(relu)(float *y, const float *x, long n);
void K(soft_cap)(float *y, const float *x, float cap, long n);
void K(geglu)(float *y, const float *x, const float *gate, long n);
void K(prelu)(float *y, const float *x, const float *slope, long n);
void K(add)(float *y, const float *a, const float *b, long n);
void K(scale)(float *y, const float *x, float factor, float offset, long n);
void K(scale_by)(float *y, const float *x, const float *w, float factor, long n);
void K(add_scaled)(float *y, const float *x, float factor, long n);
void K(rope)(float *y, const float *x, const float *cos_sin, long pairs, bool interleaved);
void K(glu)(enum glu kind, float *y, const float *gate, const float *up, long n);
void K(affine)(float *y, const float *x, const float *mul, const float *add, long n);
float K(sum)(const float *x, long n);
float K(sum_squared_diff)(const float *x, float mean, long n);
void K(moments)(const struct norm_rows *r);
void K(normalize)(const struct norm_rows *r);

/* Elements i .. i + n of a row of activations, f32 or bf16. */
SIMD vf load_activations(const char *p, enum dtype type, long i, int n)
{
    if (type == DTYPE_F32)
        return n == VF_N ? vf_load((const float *)p + i) : vf_load_n((const float *)p + i, n);
    if (n == VF_N)
        return vf_load_bf16(p + 2 * i);
    uint16_t tmp[VF_N] = {0};
    memcpy(tmp, p + 2 * i, (size_t)n * sizeof(*tmp));
    return vf_load_bf16(tmp);
}

SIMD void store_activations(char *p, enum dtype type, long i, int n, vf x)
{
    uint16_t tmp[VF_N];
    if (type == DTYPE_F32) {
        if (n == VF_N)
            vf_store((float *)p + i, x);
        else
            vf_store_n((float *)p + i, x, n);
    } else if (n == VF_N) {
        vf_store_bf16(p + 2 * i, x);
    } else {
        vf_store_bf16(tmp, x);
        memcpy(p + 2 * i, tmp, (size_t)n * sizeof(*tmp));
    }
}

extern const struct kernels K(kernels);

#endif
