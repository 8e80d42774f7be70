/* k_dot.c - products of a few rows of activations with weights as they lie in the file.
 *
 * Quantised weights are taken 256 of a row at a time as bytes (k_unpack.c), once for all rows of
 * activations, which were rounded to bytes in groups of 32. A vector of bytes holds `unit` channels
 * of each of `lanes` rows:
 *
 *     lanes 1     x0 .. x63                               times w0 .. w63
 *     lanes 4     x0 .. x15 of rows 0, 1, 2, 3            times w0 .. w15, four times
 *     lanes 16    x0 .. x3 of rows 0 .. 15                times w0 .. w3, sixteen times
 *
 * Sums of products are exact in int32 within a group; scales are applied in f32 and the lanes added
 * up at the end of the row. NR rows of weights are done at a time, so that each vector of
 * activations is loaded once for them.
 */
#include "cpu/k_decl.h"
#include "cpu/k_unpack.h"

#include <math.h>

#define VB_N  (4 * VF_N) /* bytes per vector */
#define NR    UNPACK_ROWS
#define CHUNK UNPACK_MAX
#define GROUP 32 /* activations with one scale */

/* Packed activations of one chunk: bytes, what int32 sums start from because of the weights' bias,
 * scales, and sums of activations, which offsets are multiplied with. With one lane, starts are for
 * each vector, scales and sums for each group; else a vector of each for each group. */
struct layout {
    long start, scale, sum, bytes; /* where they begin; the size of a chunk */
};

SIMD struct layout layout_of(const int lanes, const int group)
{
    const long groups = CHUNK / group, vector = VF_N * (long)sizeof(float);
    struct layout l;
    l.start = (long)lanes * CHUNK;
    l.scale = l.start + (lanes == 1 ? CHUNK / VB_N : groups) * vector;
    l.sum = l.scale + (lanes == 1 ? 16 * (long)sizeof(float) : groups * vector);
    l.bytes = l.sum + (l.sum - l.scale);
    return l;
}

int K(dot_lanes)(enum dtype type, int rows)
{
    int group = K(unpack_format)(type).group, lanes = 1;
    if (dtype_block(type) == 1)
        return rows;
    while (lanes < rows || (lanes > 1 && lanes * group < VB_N))
        lanes *= 2;
    return lanes;
}

long K(dot_packed)(enum dtype type, int lanes, long k)
{
    int group = K(unpack_format)(type).group;
    return (k + CHUNK - 1) / CHUNK * layout_of(lanes, group).bytes;
}

/* GROUP floats rounded to bytes q * scale; NaN and infinity make the scale NaN. */
SIMD float round_group(const float *x, int8_t *q)
{
    vf max = vf_zero(), sum = vf_zero();
    for (int i = 0; i < GROUP; i += VF_N) {
        max = vf_max(max, vf_abs(vf_load(x + i)));
        sum = vf_add(sum, vf_load(x + i));
    }
    float most = vf_maxval(max), scale = most / 127 + 0 * vf_sum(sum);
    vf inverse = vf_set1(most > 0 ? 127 / most : 0);
    for (int i = 0; i < GROUP; i += VF_N)
        vf_store_i8(q + i, vf_mul(vf_load(x + i), inverse));
    return scale;
}

/* Groups of weights that begin in activations i .. i + GROUP of a chunk, of row `lane`. */
static void pack_group(const struct dot_pack *p, char *chunk, int lane, long i, const float *x)
{
    const struct unpack_format f = K(unpack_format)(p->type);
    const struct layout l = layout_of(p->lanes, f.group);
    const int unit = VB_N / p->lanes;
    int8_t q[GROUP];
    float scale = round_group(x, q);
    for (int j = 0; j < GROUP;) {
        int n = unit < GROUP ? unit : GROUP;
        memcpy(chunk + (i + j) / unit * VB_N + lane * unit + (i + j) % unit, q + j, (size_t)n);
        j += n;
    }
    for (int j = 0; j < GROUP; j += f.group) {
        int32_t sum = 0;
        long g = (i + j) / f.group;
        for (int k = 0; k < f.group; k++)
            sum += q[j + k];
        float *scales = (float *)(chunk + l.scale), *sums = (float *)(chunk + l.sum);
        int32_t *start = (int32_t *)(chunk + l.start);
        if (p->lanes == 1) {
            scales[g] = scale;
            sums[g] = scale * (float)sum;
            start[(i + j) / 4] = -f.bias * sum;
        } else {
            long at = g * VF_N + lane * unit / 4;
            for (int k = 0; k < unit / 4; k++)
                scales[at + k] = scale;
            sums[at] = scale * (float)sum;
            start[at] = -f.bias * sum;
        }
    }
}

void K(dot_pack)(const struct dot_pack *p, long begin, long end)
{
    const struct layout l = layout_of(p->lanes, K(unpack_format)(p->type).group);
    for (long c = begin; c < end; c++) {
        char *chunk = p->dst + c * l.bytes;
        memset(chunk, 0, (size_t)l.bytes);
        for (int lane = 0; lane < p->rows; lane++)
            for (long i = 0; i < CHUNK && c * CHUNK + i < p->k; i += GROUP)
                pack_group(p, chunk, lane, i, p->x[lane] + c * CHUNK + i);
    }
}

/* Weights of NR rows: those beyond the last repeat it. While a run of rows is worked on, the next
 * one is asked for line by line: rows follow one another, so memory is read from end to end. */
struct weights {
    const unsigned char *row[NR];
    const char *ahead;
    long bytes; /* of a whole chunk */
    struct unpacked u[NR];
};

SIMD void first_weights(struct weights *w, const struct dot_tile *t, long n)
{
    for (int r = 0; r < NR; r++)
        w->row[r] = (const unsigned char *)t->w + (n + r < t->n ? n + r : t->n - 1) * t->w_row;
    w->ahead = t->w + (n + NR) * t->w_row;
    w->bytes = (long)dtype_row_size(t->type, CHUNK);
}

/* The next chunk of all rows. */
SIMD void next_weights(struct weights *w, unpack_rows_fn *unpack, long left)
{
    long n = left < CHUNK ? left : CHUNK;
    unpack(w->row, n, w->u);
    for (int r = 0; r < NR; r++)
        w->row[r] += w->bytes;
}

/* Asks for what stands in place of channels up to i in the next run of rows, from byte `at` on, and
 * returns where that ends. Lines are asked for between products: many at once would keep the loads
 * behind them waiting for a place among the lines under way. */
SIMD long ask_ahead(const struct weights *w, long at, long i)
{
    for (long upto = NR * w->bytes * i / CHUNK; at < upto; at += 64)
        __builtin_prefetch(w->ahead + at, 0, 2);
    return at;
}

SIMD vi dot(vi acc, vb w, vb x, const bool wide)
{
    return wide ? vi_dot_wide(acc, w, x) : vi_dot(acc, w, x);
}

/* One row of activations. */
SIMD_VARIANT void dot_one(const struct dot_tile *t, const int group, const bool wide,
                          const bool offset)
{
    const struct layout l = layout_of(1, group);
    const int n_scale = (CHUNK / group + VF_N - 1) / VF_N;
    unpack_rows_fn *unpack = K(rows_unpacker)(t->type);
    struct weights w;
    memset(w.u, 0, sizeof(w.u));
    for (long n = 0; n < t->n; n += NR) {
        vf sum[NR], scale[NR][16 / VF_N];
        const char *x = t->x;
        for (int r = 0; r < NR; r++)
            sum[r] = vf_zero();
        first_weights(&w, t, n);
        for (long left = t->k; left > 0; left -= CHUNK, x += l.bytes) {
            next_weights(&w, unpack, left);
            long at = 0;
            for (int r = 0; r < NR; r++)
                for (int i = 0; i < n_scale; i++) {
                    if (offset)
                        sum[r] = vf_fma(vf_load(w.u[r].offset + i * VF_N),
                                        vf_load((const float *)(x + l.sum) + i * VF_N), sum[r]);
                    scale[r][i] = vf_mul(vf_load(w.u[r].scale + i * VF_N),
                                         vf_load((const float *)(x + l.scale) + i * VF_N));
                }
#pragma GCC unroll 16
            for (int i = 0; i < CHUNK; i += VB_N) {
                vb xv = vb_load(x + i);
                vi start = vi_load((const int32_t *)(x + l.start) + i / 4);
                at = ask_ahead(&w, at, i + VB_N);
                for (int r = 0; r < NR; r++) {
                    vi s = dot(start, vb_load(w.u[r].q + i), xv, wide);
                    sum[r] = vf_fma(vf_from_vi(s), vf_spread(scale[r], i / group, group), sum[r]);
                }
            }
            w.ahead += NR * w.bytes;
        }
        for (int r = 0; r < NR && n + r < t->n; r++)
            t->sums[n + r] = vf_sum(sum[r]);
    }
}

/* sums[lane][..] from the lanes of one row of weights. */
SIMD void add_lanes(const struct dot_tile *t, vf sum, long n, const int lanes)
{
    float s[VF_N];
    vf_store(s, sum);
    for (int lane = 0; lane < t->rows; lane++) {
        float total = 0;
        for (int i = 0; i < VF_N / lanes; i++)
            total += s[lane * (VF_N / lanes) + i];
        t->sums[lane * t->lds + n] = total;
    }
}

SIMD_VARIANT void dot_lanes(const struct dot_tile *t, const int lanes, const int group,
                            const bool wide, const bool offset)
{
    const struct layout l = layout_of(lanes, group);
    const int unit = VB_N / lanes, steps = group / unit;
    unpack_rows_fn *unpack = K(rows_unpacker)(t->type);
    struct weights w;
    memset(w.u, 0, sizeof(w.u));
    for (long n = 0; n < t->n; n += NR) {
        vf sum[NR];
        const char *x = t->x;
        for (int r = 0; r < NR; r++)
            sum[r] = vf_zero();
        first_weights(&w, t, n);
        for (long left = t->k; left > 0; left -= CHUNK, x += l.bytes) {
            next_weights(&w, unpack, left);
            const float *scale = (const float *)(x + l.scale), *add = (const float *)(x + l.sum);
            const int32_t *start = (const int32_t *)(x + l.start);
            const char *xq = x;
            long at = 0;
            for (int g = 0; g < CHUNK / group; g++) {
                vi s[NR];
                at = ask_ahead(&w, at, (g + 1) * group);
                for (int r = 0; r < NR; r++)
                    s[r] = vi_load(start + g * VF_N);
                for (int i = 0; i < steps; i++, xq += VB_N) {
                    vb xv = vb_load(xq);
                    for (int r = 0; r < NR; r++)
                        s[r] = dot(s[r], vb_spread(w.u[r].q + g * group + i * unit, unit), xv,
                                   wide);
                }
                vf d = vf_load(scale + g * VF_N);
                for (int r = 0; r < NR; r++)
                    sum[r] = vf_fma(vf_from_vi(s[r]), vf_mul(d, vf_set1(w.u[r].scale[g])), sum[r]);
                if (offset)
                    for (int r = 0; r < NR; r++)
                        sum[r] = vf_fma(vf_load(add + g * VF_N), vf_set1(w.u[r].offset[g]), sum[r]);
            }
            w.ahead += NR * w.bytes;
        }
        for (int r = 0; r < NR && n + r < t->n; r++)
            add_lanes(t, sum[r], n + r, lanes);
    }
}

/* Constants for every number of lanes. */
SIMD void dot_format(const struct dot_tile *t, const int group, const bool wide, const bool offset)
{
    switch (t->lanes) {
    case 1:
        dot_one(t, group, wide, offset);
        break;
    case 2:
        dot_lanes(t, 2, group, wide, offset);
        break;
    case 4:
        dot_lanes(t, 4, group, wide, offset);
        break;
#if VF_N >= 8
    case 8:
        dot_lanes(t, 8, group, wide, offset);
        break;
#endif
#if VF_N >= 16
    case 16:
        dot_lanes(t, 16, group, wide, offset);
        break;
#endif
    default:
        break;
    }
}

#define FLOAT_NR (VF_N == 8 ? 2 : NR) /* as far as registers go */
#define FLOAT_MR 4

SIMD vf load_weights(const enum dtype type, const char *w, long i, int n)
{
    float tmp[VF_N] = {0};
    if (n == VF_N)
        return type == DTYPE_F32   ? vf_load((const float *)w + i)
               : type == DTYPE_F16 ? vf_load_f16(w + 2 * i)
                                   : vf_load_bf16(w + 2 * i);
    for (int j = 0; j < n; j++)
        tmp[j] = type == DTYPE_F32 ? ((const float *)w)[i + j] : 0;
    if (type != DTYPE_F32)
        K(to_f32)(type, w + 2 * i, tmp, n);
    return vf_load(tmp);
}

/* Rows of a tile of floats. */
struct float_rows {
    const char *w[FLOAT_NR];
    const float *x[FLOAT_MR];
};

/* `count` channels from k on. */
SIMD void add_floats(vf sum[FLOAT_NR][FLOAT_MR], const struct float_rows *f, const enum dtype type,
                     const int rows, long k, int count)
{
    vf xv[FLOAT_MR];
    for (int i = 0; i < rows; i++)
        xv[i] = count == VF_N ? vf_load(f->x[i] + k) : vf_load_n(f->x[i] + k, count);
    for (int r = 0; r < FLOAT_NR; r++) {
        vf wv = load_weights(type, f->w[r], k, count);
        for (int i = 0; i < rows; i++)
            sum[r][i] = vf_fma(wv, xv[i], sum[r][i]);
    }
}

/* `rows` rows of activations from number m on. */
SIMD_VARIANT void dot_floats(const struct dot_tile *t, const enum dtype type, const int rows, int m)
{
    const long n_k = t->k / VF_N * VF_N, ahead = FLOAT_NR * t->w_row;
    struct float_rows f;
    for (int i = 0; i < rows; i++)
        f.x[i] = t->floats[m + i];
    for (long n = 0; n < t->n; n += FLOAT_NR) {
        vf sum[FLOAT_NR][FLOAT_MR];
        for (int r = 0; r < FLOAT_NR; r++) {
            f.w[r] = t->w + (n + r < t->n ? n + r : t->n - 1) * t->w_row;
            for (int i = 0; i < rows; i++)
                sum[r][i] = vf_zero();
        }
        for (long k = 0; k < n_k; k += VF_N) {
            for (int r = 0; r < FLOAT_NR; r++)
                __builtin_prefetch(f.w[r] + ahead + k * (type == DTYPE_F32 ? 4 : 2));
            add_floats(sum, &f, type, rows, k, VF_N);
        }
        if (n_k < t->k)
            add_floats(sum, &f, type, rows, n_k, (int)(t->k - n_k));
        for (int r = 0; r < FLOAT_NR && n + r < t->n; r++)
            for (int i = 0; i < rows; i++)
                t->sums[(m + i) * t->lds + n + r] = vf_sum(sum[r][i]);
    }
}

SIMD void dot_float_type(const struct dot_tile *t, const enum dtype type)
{
    int m = 0;
    for (; m + FLOAT_MR <= t->rows; m += FLOAT_MR)
        dot_floats(t, type, FLOAT_MR, m);
    for (; m + 2 <= t->rows; m += 2)
        dot_floats(t, type, 2, m);
    if (m < t->rows)
        dot_floats(t, type, 1, m);
}

void K(dot)(const struct dot_tile *t)
{
    const struct unpack_format f = K(unpack_format)(t->type);
    if (t->type == DTYPE_F32)
        dot_float_type(t, DTYPE_F32);
    else if (t->type == DTYPE_F16)
        dot_float_type(t, DTYPE_F16);
    else if (t->type == DTYPE_BF16)
        dot_float_type(t, DTYPE_BF16);
    else if (f.group == 16 && f.offset)
        dot_format(t, 16, false, true);
    else if (f.group == 16)
        dot_format(t, 16, false, false);
    else if (f.offset)
        dot_format(t, 32, false, true);
    else if (f.wide)
        dot_format(t, 32, true, false);
    else
        dot_format(t, 32, false, false);
}
