/* k_gemm.c - the tile product behind every linear layer, convolution and attention.
 *
 *              nv vectors of columns
 *             [ w k=0  |      |      |      ]
 *             [ w k=1  |      |      |      ]   packed, streamed from L1/L2
 *   a row 0 * [ acc    |  ..  |  ..  |  ..  ]
 *   a row 1 * [ acc    |  ..  |  ..  |  ..  ]   accumulators stay in registers over all k and taps
 *
 * Rows of `a` are plain pointers, so a convolution passes the pixels under each tap where they lie
 * and needs no im2col buffer.
 */
#include "cpu/k_decl.h"

#include "cpu/simd.h"

SIMD void load_tile(vf acc[GEMM_MR][GEMM_NV], const struct gemm_tile *g, int m, int nv)
{
    const float *c = g->c;
    if (g->accumulate) {
        for (int i = 0; i < m; i++, c += g->ldc)
            for (int v = 0; v < nv; v++)
                acc[i][v] = vf_load(c + v * VF_N);
    } else {
        for (int i = 0; i < m; i++)
            for (int v = 0; v < nv; v++)
                acc[i][v] = vf_zero();
    }
}

SIMD void store_tile(vf acc[GEMM_MR][GEMM_NV], const struct gemm_tile *g, int m, int nv)
{
    float *c = g->c;
    for (long i = 0, ldc = g->ldc; i < m; i++, c += ldc)
        for (int v = 0; v < nv; v++)
            vf_store(c + v * VF_N, acc[i][v]);
}

/* m and nv are constants where this is inlined, so that the accumulators become registers; loops
 * that run at least once keep them there on the way in and out. */
SIMD void tile_f32(const struct gemm_tile *g, const int m, const int nv)
{
    vf acc[GEMM_MR][GEMM_NV];
    const float *w = g->w;
    const long n_k = g->k;
    int tap = 0;
    load_tile(acc, g, m, nv);
    do {
        const float *a[GEMM_MR];
        long k = 0;
        for (int i = 0; i < m; i++)
            a[i] = g->a[tap * GEMM_MR + i];
        do {
            vf b[GEMM_NV];
            for (int v = 0; v < nv; v++)
                b[v] = vf_load(w + v * VF_N);
            for (int i = 0; i < m; i++) {
                vf x = vf_set1(a[i][k]);
                for (int v = 0; v < nv; v++)
                    acc[i][v] = vf_fma(x, b[v], acc[i][v]);
            }
            w += nv * VF_N;
        } while (++k < n_k);
    } while (++tap < g->taps);
    store_tile(acc, g, m, nv);
}

#if defined(SIMD_BF16) && !defined(SIMD_AMX)
SIMD void tile_bf16(const struct gemm_tile *g, const int m, const int nv)
{
    vf acc[GEMM_MR][GEMM_NV];
    const uint16_t *w = g->w;
    const long n_k = g->k;
    int tap = 0;
    load_tile(acc, g, m, nv);
    do {
        const uint16_t *a[GEMM_MR];
        long k = 0;
        for (int i = 0; i < m; i++)
            a[i] = g->a[tap * GEMM_MR + i];
        do {
            vp b[GEMM_NV];
            for (int v = 0; v < nv; v++)
                b[v] = vp_load(w + 2 * v * VF_N);
            for (int i = 0; i < m; i++) {
                vp x = vp_set1(a[i] + k);
                for (int v = 0; v < nv; v++)
                    acc[i][v] = vp_dot(acc[i][v], x, b[v]);
            }
            w += 2 * nv * VF_N;
            k += 2;
        } while (k < n_k);
    } while (++tap < g->taps);
    store_tile(acc, g, m, nv);
}
#endif

/* Calls body(g, m, nv) with constants for every tile size up to GEMM_MR x GEMM_NV. */
#define ROWS(body, nv)                        \
    switch (g->m) {                           \
    case 1:                                   \
        body(g, 1, nv);                       \
        break;                                \
    case 2:                                   \
        body(g, 2, nv);                       \
        break;                                \
    case 3:                                   \
        body(g, 3, nv);                       \
        break;                                \
    case 4:                                   \
        body(g, 4, nv);                       \
        break;                                \
    default:                                  \
        if (GEMM_MR > 4 && g->m == 5)         \
            body(g, GEMM_MR > 4 ? 5 : 1, nv); \
        else                                  \
            body(g, GEMM_MR, nv);             \
        break;                                \
    }

#define TILES(body)                             \
    do {                                        \
        if (g->nv == 1) {                       \
            ROWS(body, 1)                       \
        } else if (g->nv == 2) {                \
            ROWS(body, 2)                       \
        } else if (GEMM_NV > 2 && g->nv == 3) { \
            ROWS(body, (GEMM_NV > 2 ? 3 : 1))   \
        } else {                                \
            ROWS(body, GEMM_NV)                 \
        }                                       \
    } while (0)

void K(gemm_f32)(const struct gemm_tile *g)
{
    TILES(tile_f32);
}

void K(begin_products)(void)
{
#if defined(SIMD_AMX)
    amx_begin();
#endif
}

void K(end_products)(void)
{
#if defined(SIMD_BF16)
    vp_stream_end();
#endif
#if defined(SIMD_AMX)
    amx_end();
#endif
}

#if defined(SIMD_AMX)
/* 32 x 32 sums in four tile registers; each step of 32 products per sum reads two tiles of `a` and
 * two of w. With 16 rows or columns, half or a quarter of that. */
SIMD void tile_amx(const struct gemm_tile *g, const bool two_rows, const bool two_cols)
{
    const long ldc = g->ldc * (long)sizeof(float), ldw = g->nv * 64L, w_step = AMX_ROWS * ldw;
    char *c0 = (char *)g->c, *c1 = c0 + AMX_ROWS * ldc;
    const char *w = g->w;
    if (g->accumulate) {
        AMX_LOAD(0, c0, ldc);
        if (two_cols)
            AMX_LOAD(1, c0 + 64, ldc);
        if (two_rows)
            AMX_LOAD(2, c1, ldc);
        if (two_rows && two_cols)
            AMX_LOAD(3, c1 + 64, ldc);
    } else {
        AMX_ZERO(0);
        AMX_ZERO(1);
        AMX_ZERO(2);
        AMX_ZERO(3);
    }
    for (long k0 = 0; k0 < g->k; k0 += g->part) {
        const long steps = (g->k - k0 < g->part ? g->k - k0 : g->part) / AMX_K;
        for (int tap = 0; tap < g->taps; tap++) {
            const uint16_t *a0 = (const uint16_t *)g->a[2 * tap] + k0;
            const uint16_t *a1 = two_rows ? (const uint16_t *)g->a[2 * tap + 1] + k0 : a0;
            const long step0 = g->a_step[2 * tap], step1 = g->a_step[2 * tap + 1];
            for (long i = 0; i < steps; i++, a0 += AMX_K, a1 += AMX_K, w += w_step) {
                AMX_LOAD(4, a0, step0);
                AMX_LOAD(6, w, ldw);
                AMX_DOT(0, 4, 6);
                if (two_cols) {
                    AMX_LOAD(7, w + 64, ldw);
                    AMX_DOT(1, 4, 7);
                }
                if (two_rows) {
                    AMX_LOAD(5, a1, step1);
                    AMX_DOT(2, 5, 6);
                }
                if (two_rows && two_cols)
                    AMX_DOT(3, 5, 7);
            }
        }
    }
    AMX_STORE(0, c0, ldc);
    if (two_cols)
        AMX_STORE(1, c0 + 64, ldc);
    if (two_rows)
        AMX_STORE(2, c1, ldc);
    if (two_rows && two_cols)
        AMX_STORE(3, c1 + 64, ldc);
}

void K(gemm_bf16)(const struct gemm_tile *g)
{
    if (g->m > AMX_ROWS && g->nv > 1)
        tile_amx(g, true, true);
    else if (g->m > AMX_ROWS)
        tile_amx(g, true, false);
    else if (g->nv > 1)
        tile_amx(g, false, true);
    else
        tile_amx(g, false, false);
}
#elif defined(SIMD_BF16)
void K(gemm_bf16)(const struct gemm_tile *g)
{
    TILES(tile_bf16);
}
#endif

enum added { NOTHING, FLOATS, BF16S };

/* sums + bias + residual of n columns from column i on. */
SIMD vf finished(const struct finish_tile *f, const enum added residual, long row, long i, int n)
{
    const float *sums = f->sums + row * f->lds + i;
    const char *r = f->residual + row * f->residual_stride;
    vf x = n == VF_N ? vf_load(sums) : vf_load_n(sums, n);
    if (f->bias)
        x = vf_add(x, n == VF_N ? vf_load(f->bias + i) : vf_load_n(f->bias + i, n));
    if (residual != NOTHING)
        x = vf_add(x, load_activations(r, residual == FLOATS ? DTYPE_F32 : DTYPE_BF16, i, n));
    return x;
}

#if defined(SIMD_BF16)
/* Two vectors at a time, lines of 64 bytes. Returns how many columns that were. */
SIMD long finish_lines(const struct finish_tile *f, const enum added residual, long row)
{
    uint16_t *out = (uint16_t *)(f->out + row * f->out_stride);
    const bool stream = f->stream && (uintptr_t)out % 64 == 0;
    long i = 0;
    for (; i + 2 * VF_N <= f->n; i += 2 * VF_N) {
        vp x = vp_from_f32(finished(f, residual, row, i, VF_N),
                           finished(f, residual, row, i + VF_N, VF_N));
        if (stream)
            vp_stream(out + i, x);
        else
            vp_store(out + i, x);
    }
    return i;
}
#endif

/* `residual` and `to_f32` are constants where this is inlined. */
SIMD void finish_rows(const struct finish_tile *tile, const enum added residual, const bool to_f32)
{
    const struct finish_tile f = *tile;
    const enum dtype type = to_f32 ? DTYPE_F32 : DTYPE_BF16;
    for (long row = 0; row < f.rows; row++) {
        char *out = f.out + row * f.out_stride;
        long i = 0;
#if defined(SIMD_BF16)
        if (!to_f32)
            i = finish_lines(&f, residual, row);
#endif
        for (; i + VF_N <= f.n; i += VF_N)
            store_activations(out, type, i, VF_N, finished(&f, residual, row, i, VF_N));
        int n = (int)(f.n - i);
        if (n)
            store_activations(out, type, i, n, finished(&f, residual, row, i, n));
    }
}

void K(finish)(const struct finish_tile *f)
{
    bool to_f32 = f->type == DTYPE_F32;
    if (!f->residual && to_f32)
        finish_rows(f, NOTHING, true);
    else if (!f->residual)
        finish_rows(f, NOTHING, false);
    else if (f->residual_type == DTYPE_F32 && to_f32)
        finish_rows(f, FLOATS, true);
    else if (f->residual_type == DTYPE_F32)
        finish_rows(f, FLOATS, false);
    else if (to_f32)
        finish_rows(f, BF16S, true);
    else
        finish_rows(f, BF16S, false);
}
