/* k_pack.c - unpacks a tile of weights of any type into the layout of the product kernels.
 *
 *   file: row n = output channel, columns (c, tap), the type's blocks along the row
 *   tile: [tap][c][n], n contiguous: one vector load gives the weights of VF_N outputs
 *
 * The tile lives in L2 and serves all rows of activations before the next one is unpacked.
 */
#include "cpu/k_decl.h"

#include <stddef.h>

/* Converts VF_N rows from row n0 of the tile on into rows[VF_N][length]; rows beyond the last
 * become 0. */
static void convert_rows(const struct pack_tile *p, int n0, float *rows, long length)
{
    for (int i = 0; i < VF_N; i++) {
        long first = (p->n0 + n0 + i) * p->row + p->c0 * p->taps;
        if (n0 + i < p->n)
            K(range_to_f32)(p->type, p->src, first, rows + i * length, length);
        else
            memset(rows + i * length, 0, (size_t)length * sizeof(*rows));
    }
}

/* Transposes rows[VF_N][(c, tap)] into dst[tap][c] of vectors `stride` floats apart. `k` is the
 * number of c per tap in dst. */
static void transpose_rows(const float *rows, long length, int taps, float *dst, long k,
                           long stride)
{
    int tap = 0;
    long c = 0;
    for (long p = 0; p < length; p += VF_N) {
        vf r[VF_N];
        int n = length - p < VF_N ? (int)(length - p) : VF_N;
        for (int i = 0; i < VF_N; i++)
            r[i] = n == VF_N ? vf_load(rows + i * length + p) : vf_load_n(rows + i * length + p, n);
        vf_transpose(r);
        for (int j = 0; j < n; j++) {
            vf_store(dst + (tap * k + c) * stride, r[j]);
            if (++tap == taps) {
                tap = 0;
                c++;
            }
        }
    }
}

void K(pack_f32)(const struct pack_tile *p)
{
    long length = p->k * p->taps;
    for (int v = 0; v < p->nv; v++) {
        convert_rows(p, v * VF_N, p->scratch, length);
        transpose_rows(p->scratch, length, p->taps, (float *)p->dst + v * VF_N, p->k, p->nv * VF_N);
    }
}

#if defined(SIMD_BF16)
void K(pack_bf16)(const struct pack_tile *p)
{
    long length = p->k * p->taps, k2 = (p->k + 1) / 2;
    float *flat = p->scratch + length * VF_N; /* [tap][c][VF_N] */
    for (int v = 0; v < p->nv; v++) {
        convert_rows(p, v * VF_N, p->scratch, length);
        transpose_rows(p->scratch, length, p->taps, flat, p->k, VF_N);
        for (int tap = 0; tap < p->taps; tap++) {
            const float *x = flat + tap * p->k * VF_N;
            uint16_t *dst = (uint16_t *)p->dst + (tap * k2 * p->nv + v) * 2 * VF_N;
            for (long c = 0; c < p->k; c += 2, dst += p->nv * 2 * VF_N) {
                vf odd = c + 1 < p->k ? vf_load(x + (c + 1) * VF_N) : vf_zero();
                vp_store(dst, vp_pair(vf_load(x + c * VF_N), odd));
            }
        }
    }
}
#endif
