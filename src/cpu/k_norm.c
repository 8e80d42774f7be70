/* k_norm.c - the passes of GroupNorm over its pixels; see struct norm_rows. */
#include "cpu/k_decl.h"

#define NV 4 /* vectors of channels whose sums are in registers */

/* Channels i .. i + n; n is at most nv vectors, and only the last of them not whole. */
SIMD void sum_channels(const struct norm_rows *r, enum dtype type, long i, int n, const int nv)
{
    size_t row = dtype_row_size(type, r->n);
    vf sum[NV], sum2[NV], pivot[NV];
    const char *x = r->x;
    int len = nv == 1 ? n : VF_N;
    for (int v = 0; v < nv; v++) {
        sum[v] = sum2[v] = vf_zero();
        pivot[v] = load_activations((const char *)r->pivot, DTYPE_F32, i + v * VF_N, len);
    }
    for (long k = 0; k < r->rows; k++, x += row)
        for (int v = 0; v < nv; v++) {
            vf d = vf_sub(load_activations(x, type, i + v * VF_N, len), pivot[v]);
            sum[v] = vf_add(sum[v], d);
            sum2[v] = vf_fma(d, d, sum2[v]);
        }
    for (int v = 0; v < nv; v++) {
        store_activations((char *)r->sum, DTYPE_F32, i + v * VF_N, len, sum[v]);
        store_activations((char *)r->sum2, DTYPE_F32, i + v * VF_N, len, sum2[v]);
    }
}

SIMD void sum_rows(const struct norm_rows *r, const enum dtype type)
{
    long i = 0;
    for (; i + NV * VF_N <= r->n; i += NV * VF_N)
        sum_channels(r, type, i, NV * VF_N, NV);
    for (; i + VF_N <= r->n; i += VF_N)
        sum_channels(r, type, i, VF_N, 1);
    if (i < r->n)
        sum_channels(r, type, i, (int)(r->n - i), 1);
}

void K(moments)(const struct norm_rows *r)
{
    if (r->x_type == DTYPE_F32)
        sum_rows(r, DTYPE_F32);
    else
        sum_rows(r, DTYPE_BF16);
}

SIMD void normalize_vector(const struct norm_rows *r, const char *x, char *y, long i, int n)
{
    vf m = load_activations((const char *)r->mul, DTYPE_F32, i, n);
    vf a = load_activations((const char *)r->add, DTYPE_F32, i, n);
    vf v = vf_fma(load_activations(x, r->x_type, i, n), m, a);
    if (r->silu)
        v = vf_mul(v, r->y_type == DTYPE_BF16 ? vf_sigmoid_bf16(v) : vf_sigmoid(v));
    store_activations(y, r->y_type, i, n, v);
}

/* The types are constants where this is inlined. */
SIMD void normalize_rows(struct norm_rows r)
{
    for (long k = 0; k < r.rows; k++) {
        const char *x = r.x + (size_t)k * dtype_row_size(r.x_type, r.n);
        char *y = r.y + (size_t)k * dtype_row_size(r.y_type, r.n);
        long i = 0;
        for (; i + VF_N <= r.n; i += VF_N)
            normalize_vector(&r, x, y, i, VF_N);
        if (i < r.n)
            normalize_vector(&r, x, y, i, (int)(r.n - i));
    }
}

void K(normalize)(const struct norm_rows *rows)
{
    struct norm_rows r = *rows;
    if (r.x_type == DTYPE_BF16 && r.y_type == DTYPE_BF16) {
        r.x_type = r.y_type = DTYPE_BF16; /* the compiler knows them from here on */
        normalize_rows(r);
    } else {
        normalize_rows(r);
    }
}
