/* k_int8.c - products of quantised weights and many rows of activations in whole numbers.
 *
 *   activations: blocks of 32, x = scale * (q - 128), q = 1 .. 255          struct int8_row
 *   weights:     w = scale * q + offset for every 32 or 16, as the file's type has it
 *
 *   sum of x w over 32 = scale_x scale_w (sum of (q_x - 128) q_w) + offset_w (sum of x)
 *
 * The inner sums are exact in int32; -128 sum of q_w is what they start with. A tile of weights is
 * unpacked once for all rows: for each 32 channels [8][columns][4] bytes, so that one instruction
 * multiplies four channels of VF_N columns, and behind them for each part of 32 or 16 channels the
 * columns' starting sums, scales and, where the type has them, offsets.
 */
#include "cpu/k_decl.h"
#include "cpu/k_unpack.h"

#if defined(SIMD_INT8)

/* n is a multiple of 32. NaN makes its block NaN. */
void K(to_int8)(const float *x, void *dst, long n)
{
    struct int8_row *r = dst;
    for (long k = 0; k < n; k += INT8_STEP, x += INT8_STEP, r++) {
        vf most = vf_zero(), nan = vf_zero();
        for (int i = 0; i < INT8_STEP; i += VF_N) {
            most = vf_max(most, vf_abs(vf_load(x + i)));
            nan = vf_fma(vf_load(x + i), vf_zero(), nan);
        }
        float peak = vf_maxval(most) + vf_sum(nan), scale = peak / 127;
        vf inverse = vf_set1(peak > 0 ? 127 / peak : 0);
        r->scale = scale;
        for (int half = 0; half < 2; half++) {
            vf sum = vf_zero();
            for (int i = 16 * half; i < 16 * half + 16; i += VF_N) {
                vf q = vf_round(vf_mul(vf_load(x + i), inverse));
                sum = vf_add(sum, q);
                vf_store_i8((int8_t *)r->q + i, q);
            }
            r->sum[half] = scale * vf_sum(sum);
        }
        for (int i = 0; i < INT8_STEP; i++)
            r->q[i] ^= 128;
    }
}

/* UNPACK_MAX channels of VF_N rows of weights, signed; the scales and offsets of their parts. */
struct rows {
    uint8_t q[VF_N][UNPACK_MAX];
    float scale[UNPACK_MAX / 16][VF_N], offset[UNPACK_MAX / 16][VF_N];
};

/* Channels k to k + 4 VF_N, of which there are n, as vectors of four channels of VF_N columns;
 * `step` bytes from INT8_STEP channels to the next, `stride` from four to the next. */
static void interleave(const struct rows *u, long k, long n, char *dst, long step, long stride)
{
    vf r[VF_N];
    for (int i = 0; i < VF_N; i++)
        memcpy(&r[i], u->q[i] + k, sizeof(r[i]));
    vf_transpose(r);
    for (int j = 0; j < VF_N && k + 4 * j < n; j++)
        memcpy(dst + (k + 4 * j) / INT8_STEP * step + j % 8 * stride, &r[j], sizeof(r[j]));
}

/* What the sums of `parts` parts start with and are scaled by, behind their channels at `q`. */
static void put_scales(const struct pack_tile *p, const struct rows *u, long first, char *q)
{
    const struct int8_form f = int8_form(p->type);
    const long stride = p->nv * VF_N * 4L;
    char *out = q + 8 * stride;
    for (int part = 0; part < f.parts; part++) {
        static const int32_t zeros[VF_N];
        vi sum = vi_load(zeros);
        for (int i = 0; i < 8 / f.parts; i++, q += stride)
            sum = vi_dot(sum, vb_spread("\x01\x01\x01\x01", 4), vb_load(q));
        vi_store((int32_t *)out, vi_scale(sum, -128));
        memcpy(out + stride, u->scale[first + part], sizeof(*u->scale));
        if (f.has_offset)
            memcpy(out + 2 * stride, u->offset[first + part], sizeof(*u->offset));
        out += (f.has_offset ? 3 : 2) * stride;
    }
}

/* n channels of the rows of vector v of the tile, from channel c of the tile on. */
static void unpack_rows(const struct pack_tile *p, int v, long c, long n, struct rows *u)
{
    const struct unpack_format f = K(unpack_format)(p->type);
    unpack_fn *const unpack = K(unpacker)(p->type);
    const unsigned char bias[4] = {(unsigned char)f.bias, (unsigned char)f.bias,
                                   (unsigned char)f.bias, (unsigned char)f.bias};
    struct unpacked row;
    for (int i = 0; i < VF_N && v * VF_N + i < p->n; i++) {
        const long first = (p->n0 + v * VF_N + i) * p->row + p->c0 + c;
        unpack((const unsigned char *)p->src + dtype_row_size(p->type, first), n, &row);
        for (int j = 0; j < UNPACK_MAX; j += 4 * VF_N) {
            vb q = vb_sub(vb_load(row.q + j), vb_spread(bias, 4));
            memcpy(u->q[i] + j, &q, sizeof(q));
        }
        for (long j = 0; j < n / f.group; j++) {
            u->scale[j][i] = row.scale[j];
            if (f.offset)
                u->offset[j][i] = row.offset[j];
        }
    }
}

void K(pack_int8)(const struct pack_tile *p)
{
    const int parts = int8_form(p->type).parts;
    const long stride = p->nv * VF_N * 4L, step = (long)int8_tile_bytes(p->type) * p->nv * VF_N;
    struct rows u;
    for (int v = 0; v < p->nv; v++) {
        char *dst = (char *)p->dst + v * VF_N * 4;
        if (p->n < (v + 1) * VF_N)
            memset(&u, 0, sizeof(u));
        for (long c = 0; c < p->k; c += UNPACK_MAX) {
            const long n = p->k - c < UNPACK_MAX ? p->k - c : UNPACK_MAX;
            unpack_rows(p, v, c, n, &u);
            for (long k = 0; k < n; k += 4 * VF_N)
                interleave(&u, k, n, dst, step, stride);
            for (long k = 0; k < n; k += INT8_STEP, dst += step)
                put_scales(p, &u, k / INT8_STEP * parts, dst);
        }
    }
}

/* A part of the channels: what lies behind the bytes, and which half it is. */
struct part {
    const char *behind;
    int nv, half; /* half -1: both */
    bool has_offset;
};

/* A row's sums over a part, scaled, to those in f32 at c. */
SIMD void add_sums(const vi *sums, float *c, const struct int8_row *a, const struct part p)
{
    const float *scales = (const float *)p.behind + p.nv * VF_N, *offsets = scales + p.nv * VF_N;
    const vf scale = vf_set1(a->scale);
    const vf sum = vf_set1(p.half < 0 ? a->sum[0] + a->sum[1] : a->sum[p.half]);
    for (int v = 0; v < p.nv; v++, c += VF_N) {
        vf x = vf_mul(vf_from_vi(sums[v]), scale);
        x = vf_fma(x, vf_load(scales + v * VF_N), vf_load(c));
        if (p.has_offset)
            x = vf_fma(sum, vf_load(offsets + v * VF_N), x);
        vf_store(c, x);
    }
}

/* `nv` and the form are constants where this is inlined, as in tile_f32 of k_gemm.c. The sums of a
 * tile in f32 stay in L1. */
SIMD void tile_int8(const struct gemm_tile *g, const int nv, const struct int8_form form)
{
    const char *w = g->w;
    const long stride = nv * VF_N * 4L, ldc = g->ldc;
    const struct int8_row *a[GEMM_MR];
    float *c = g->c;
    for (int i = 0; i < GEMM_MR; i++)
        a[i] = g->a[i < g->m ? i : 0];
    if (!g->accumulate)
        for (int i = 0; i < GEMM_MR; i++)
            for (int v = 0; v < nv; v++)
                vf_store(c + i * ldc + v * VF_N, vf_zero());
    for (long k = 0; k < g->k; k += INT8_STEP) {
        const char *behind = w + 8 * stride;
        for (int part = 0; part < form.parts; part++) {
            vi acc[GEMM_MR][GEMM_NV];
            const struct part here = {behind, nv, form.parts == 1 ? -1 : part, form.has_offset};
            const long at = 32 / form.parts * part;
            long q = 0;
            for (int i = 0; i < GEMM_MR; i++)
                for (int v = 0; v < nv; v++)
                    acc[i][v] = vi_load((const int32_t *)behind + v * VF_N);
#pragma GCC unroll 1
            do {
                vb b[GEMM_NV];
                for (int v = 0; v < nv; v++)
                    b[v] = vb_load(w + v * VF_N * 4L);
                for (int i = 0; i < GEMM_MR; i++) {
                    vb x = vb_spread(a[i]->q + at + q, 4);
                    for (int v = 0; v < nv; v++)
                        acc[i][v] = vi_dot(acc[i][v], x, b[v]);
                }
                w += stride;
                q += 4;
            } while (q < 32 / form.parts);
            for (int i = 0; i < GEMM_MR; i++)
                add_sums(acc[i], c + i * ldc, a[i], here);
            behind += (form.has_offset ? 3 : 2) * stride;
        }
        w = behind;
        for (int i = 0; i < GEMM_MR; i++)
            a[i]++;
    }
}

/* Rows beyond the last repeat the first; nobody reads what comes of them. */
SIMD void tiles(const struct gemm_tile *g, const struct int8_form form)
{
    switch (g->nv) {
    case 1:
        tile_int8(g, 1, form);
        break;
    case 2:
        tile_int8(g, 2, form);
        break;
    case 3:
        tile_int8(g, GEMM_NV > 2 ? 3 : 1, form);
        break;
    default:
        tile_int8(g, GEMM_NV, form);
    }
}

void K(gemm_int8)(const struct gemm_tile *g)
{
    const struct int8_form f = int8_form(g->type);
    if (f.parts == 1 && !f.has_offset)
        tiles(g, (struct int8_form){1, false, 0});
    else if (f.parts == 1)
        tiles(g, (struct int8_form){1, true, 0});
    else if (!f.has_offset)
        tiles(g, (struct int8_form){2, false, 0});
    else
        tiles(g, (struct int8_form){2, true, 0});
}
#endif
