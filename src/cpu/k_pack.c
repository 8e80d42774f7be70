/* k_pack.c - unpacks a tile of weights of any type into the layout of the product kernels.
 *
 *   file: row n = output channel, columns (c, tap), the type's blocks along the row
 *   tile: [tap][c][n], n contiguous: one vector load gives the weights of VF_N outputs
 *
 * The tile lives in L2 and serves all rows of activations before the next one is unpacked.
 */
#include "cpu/k_decl.h"

#include <stddef.h>

/* The index of the tile's first element in row n of it. */
static long first_of(const struct pack_tile *p, int n)
{
    return (p->n0 + n) * p->row + p->c0 * p->taps;
}

/* Converts VF_N rows from row n0 of the tile on into rows[VF_N][length]; rows beyond the last
 * become 0. */
static void convert_rows(const struct pack_tile *p, int n0, float *rows, long length)
{
    for (int i = 0; i < VF_N; i++) {
        if (n0 + i < p->n)
            K(range_to_f32)(p->type, p->src, first_of(p, n0 + i), rows + i * length, length);
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
#if defined(SIMD_AMX)
#define PAIR_STEP AMX_K
#else
#define PAIR_STEP 2
#endif

/* The 2 * VF_N elements from `p` on, of which n are there, as bf16; the rest is 0. Of Q8_0 that is
 * one block: its scale in f16 and 32 numbers. */
SIMD vp load_bf16(enum dtype type, const char *p, long n)
{
    float tmp[2 * VF_N] = {0};
    if (n >= 2 * VF_N) {
        if (type == DTYPE_F16)
            return vp_from_f32(vf_load_f16(p), vf_load_f16(p + 2 * VF_N));
        if (type == DTYPE_BF16)
            return vp_load((const uint16_t *)p);
        if (type == DTYPE_F32)
            return vp_from_f32(vf_load((const float *)p), vf_load((const float *)p + VF_N));
        if (type == DTYPE_Q8_0) {
            const int8_t *q = (const int8_t *)p + sizeof(uint16_t);
            uint16_t d;
            memcpy(&d, p, sizeof(d));
            vf scale = vf_set1(half_to_f32(d));
            return vp_from_f32(vf_mul(scale, vf_load_i8(q)), vf_mul(scale, vf_load_i8(q + VF_N)));
        }
        n = 2 * VF_N;
    }
    K(to_f32)(type, p, tmp, n);
    return vp_from_f32(vf_load(tmp), vf_load(tmp + VF_N));
}

/* VF_N rows from row n0 on, transposed: dst[q][i] = elements 2 q and 2 q + 1 of row i, for q below
 * n_q; vectors of pairs `stride` apart. */
static void transpose_pairs(const struct pack_tile *p, int n0, uint16_t *dst, long n_q, long stride)
{
    long length = p->k * p->taps;
    bool direct = p->type == DTYPE_F32 || p->type == DTYPE_F16 || p->type == DTYPE_BF16 ||
                  (p->type == DTYPE_Q8_0 && (p->row | p->c0 | length) % (2 * VF_N) == 0);
    enum dtype type = direct ? p->type : DTYPE_F32;
    size_t bytes = dtype_row_size(type, 2 * VF_N); /* of one load */
    const char *row[VF_N];
    if (!direct)
        convert_rows(p, n0, p->scratch, length);
    for (int i = 0; i < VF_N; i++)
        row[i] = direct ? (const char *)p->src + dtype_row_size(type, first_of(p, n0 + i))
                        : (const char *)(p->scratch + i * length);
    for (long q = 0; q < n_q; q += VF_N) {
        vp r[VF_N];
        for (int i = 0; i < VF_N; i++)
            r[i] = n0 + i < p->n && 2 * q < length
                       ? load_bf16(type, row[i] + (size_t)(q / VF_N) * bytes, length - 2 * q)
                       : vp_zero();
        vp_transpose(r);
        for (int j = 0; j < VF_N && q + j < n_q; j++)
            vp_store(dst + (q + j) * stride, r[j]);
    }
}

/* From pairs of neighbours in the file, (c, tap) with taps innermost, to pairs of channels: flat[q]
 * into dst[tap][c / 2]. */
static void pair_channels(const struct pack_tile *p, const uint16_t *flat, uint16_t *dst, long k2,
                          long stride)
{
    for (int tap = 0; tap < p->taps; tap++)
        for (long c2 = 0; c2 < k2; c2++, dst += stride) {
            long even = 2 * c2 * p->taps + tap, odd = even + p->taps;
            vp x = vp_zero(), y = vp_zero();
            if (2 * c2 < p->k)
                x = vp_load(flat + even / 2 * 2 * VF_N);
            if (2 * c2 + 1 < p->k)
                y = vp_load(flat + odd / 2 * 2 * VF_N);
            vp_store(dst, vp_merge(x, even % 2, y, odd % 2));
        }
}

void K(pack_bf16)(const struct pack_tile *p)
{
    long length = p->k * p->taps, k2 = (p->k + PAIR_STEP - 1) / PAIR_STEP * PAIR_STEP / 2;
    long stride = p->nv * 2 * VF_N;
    for (int v = 0; v < p->nv; v++) {
        uint16_t *dst = (uint16_t *)p->dst + v * 2 * VF_N;
        uint16_t *flat = (uint16_t *)(p->scratch + length * VF_N); /* [(c, tap) / 2][VF_N][2] */
        if (p->taps == 1) {
            transpose_pairs(p, v * VF_N, dst, k2, stride);
        } else {
            transpose_pairs(p, v * VF_N, flat, (length + 1) / 2, 2 * VF_N);
            pair_channels(p, flat, dst, k2, stride);
        }
    }
}
#endif
