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

#if defined(SIMD_BF16)
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

#if defined(SIMD_BF16)
void K(gemm_bf16)(const struct gemm_tile *g)
{
    TILES(tile_bf16);
}
#endif
