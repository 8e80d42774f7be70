/* k_attend.c - queries against one head of one block of the paged cache (tensor/kv.h draws it).
 *
 * A vector holds the scores of VF_N tokens. Where the cache is quantised, a query is rounded to two
 * bytes per dimension, high + low / 254 in units of its group's scale: what that loses is below the
 * rounding of f32 sums over long rows, and products of bytes stay four times as fast. Keys and
 * values are loaded once for up to QUERIES queries: those of the heads that share them.
 */
#include "cpu/k_decl.h"

#include "tensor/kv.h"

#include <math.h>

#define GROUP   32
#define QUERIES 4
#define LOW     254 /* low bytes count 1 / LOW */

SIMD int groups(int d)
{
    return (d + GROUP - 1) / GROUP;
}

/* What products of bytes are too large by, per unit of the query: what the stored numbers are above
 * those they stand for. */
SIMD int bias_of(enum dtype type)
{
    return type == DTYPE_Q4_0 ? 8 : VB_BIAS;
}

void K(attend_query)(enum dtype type, const float *x, int d, struct attend_query *q)
{
    for (int g = 0; g < groups(d); g++) {
        float most = 0, sum = 0;
        int n = d - g * GROUP < GROUP ? d - g * GROUP : GROUP;
        const float *y = x + g * GROUP;
        for (int i = 0; i < n; i++) {
            most = fabsf(y[i]) > most ? fabsf(y[i]) : most;
            sum += y[i];
        }
        float inverse = most > 0 ? 127 / most : 0;
        int8_t *high = q->high + g * GROUP, *low = q->low + g * GROUP;
        int sums[2] = {0};
        q->scale[g] = most / 127 + 0 * sum; /* NaN stays NaN */
        memset(high, 0, GROUP);
        memset(low, 0, GROUP);
        for (int i = 0; i < n; i++) {
            float v = y[i] * inverse, h = v == v ? rintf(v) : 0;
            high[i] = (int8_t)h;
            low[i] = (int8_t)(v == v ? rintf((v - h) * LOW) : 0);
            sums[0] += high[i];
            sums[1] += low[i];
        }
        q->start[g] = -bias_of(type) * sums[0];
        q->start_low[g] = -bias_of(type) * sums[1];
    }
}

/* Scores of VF_N tokens: f32 and f16 keys [d][KV_BLOCK]. */
SIMD void score_floats(const struct attend_tile *t, const bool half, const int n_q, int q0, int at)
{
    vf s[QUERIES];
    for (int i = 0; i < n_q; i++)
        s[i] = vf_zero();
    for (int j = 0; j < t->d; j++) {
        vf k = half ? vf_load_f16(t->block + 2 * (j * KV_BLOCK + at))
                    : vf_load((const float *)t->block + j * KV_BLOCK + at);
        for (int i = 0; i < n_q; i++)
            s[i] = vf_fma(k, vf_set1(t->floats[q0 + i][j]), s[i]);
    }
    for (int i = 0; i < n_q; i++)
        vf_store(t->s + (q0 + i) * t->lds + at, s[i]);
}

/* The bytes of four dimensions, number `four` of a head, of VF_N tokens. */
SIMD vb load_keys(const char *q, const bool nibbles, int four, int at)
{
    if (!nibbles)
        return vb_wide(vb_load(q + (four * KV_BLOCK + at) * 4));
    vb x = vb_load(q + (four / 2 * KV_BLOCK + at) * 4);
    return four % 2 ? vb_high(x) : vb_low(x);
}

SIMD void score_bytes(const struct attend_tile *t, const bool nibbles, const int n_q, int q0,
                      int at)
{
    const int n = groups(t->d);
    const char *bytes = t->block + n * KV_BLOCK * 2;
    vf s[QUERIES];
    for (int i = 0; i < n_q; i++)
        s[i] = vf_zero();
    for (int g = 0; g < n; g++) {
        vi high[QUERIES], low[QUERIES];
        for (int i = 0; i < n_q; i++) {
            high[i] = vi_set1(t->queries[q0 + i].start[g]);
            low[i] = vi_set1(t->queries[q0 + i].start_low[g]);
        }
        for (int j = 0; j < GROUP / 4; j++) {
            vb k = load_keys(bytes, nibbles, g * 8 + j, at);
            for (int i = 0; i < n_q; i++) {
                const struct attend_query *q = &t->queries[q0 + i];
                vb h = vb_spread(q->high + g * GROUP + 4 * j, 4);
                vb l = vb_spread(q->low + g * GROUP + 4 * j, 4);
                high[i] = nibbles ? vi_dot(high[i], k, h) : vi_dot_wide(high[i], k, h);
                low[i] = nibbles ? vi_dot(low[i], k, l) : vi_dot_wide(low[i], k, l);
            }
        }
        vf d = vf_load_f16(t->block + (g * KV_BLOCK + at) * 2);
        for (int i = 0; i < n_q; i++) {
            vf sum = vf_fma(vf_from_vi(low[i]), vf_set1(1.0f / LOW), vf_from_vi(high[i]));
            s[i] = vf_fma(sum, vf_mul(d, vf_set1(t->queries[q0 + i].scale[g])), s[i]);
        }
    }
    for (int i = 0; i < n_q; i++)
        vf_store(t->s + (q0 + i) * t->lds + at, s[i]);
}

SIMD void score_queries(const struct attend_tile *t, const int n_q, int q0)
{
    for (int at = 0; at < KV_BLOCK; at += VF_N) {
        if (t->type == DTYPE_F32)
            score_floats(t, false, n_q, q0, at);
        else if (t->type == DTYPE_F16)
            score_floats(t, true, n_q, q0, at);
        else
            score_bytes(t, t->type == DTYPE_Q4_0, n_q, q0, at);
    }
}

void K(attend_scores)(const struct attend_tile *t)
{
    int q = 0;
    for (; q + QUERIES <= t->n_q; q += QUERIES)
        score_queries(t, QUERIES, q);
    for (; q < t->n_q; q++)
        score_queries(t, 1, q);
}

void K(attend_cap)(float *s, long n, float scale, float cap)
{
    vf a = vf_set1(scale / cap), b = vf_set1(cap);
    for (long i = 0; i < n; i += VF_N)
        vf_store(s + i, vf_mul(b, vf_tanh(vf_mul(a, vf_load(s + i)))));
}

/* VF_N dimensions of a token's values, without the scale of its group. */
SIMD vf load_values(const enum dtype type, const char *p, int token, int at, int row)
{
    float nibble[VF_N];
    switch (type) {
    case DTYPE_F32:
        return vf_load((const float *)p + token * row + at);
    case DTYPE_F16:
        return vf_load_f16(p + 2 * (token * row + at));
    case DTYPE_Q8_0:
        return vf_load_i8((const int8_t *)p + (at / GROUP * KV_BLOCK + token) * GROUP + at % GROUP);
    default:
        p += (at / GROUP * KV_BLOCK + token) * (GROUP / 2) + at % 16;
        for (int i = 0; i < VF_N; i++)
            nibble[i] = (float)(((unsigned char)p[i] >> (at % GROUP < 16 ? 0 : 4) & 15) - 8);
        return vf_load(nibble);
    }
}

#define VECTORS 2 /* of a token's values at a time */

/* o[query][at ..] += weights * values for dimensions from `at` on. */
SIMD void add_values(const struct attend_tile *t, const enum dtype type, const int n_q,
                     const int n_v, int q0, int at)
{
    const bool quantised = type == DTYPE_Q8_0 || type == DTYPE_Q4_0;
    const int row = (t->d + 15) / 16 * 16;
    const char *p = t->block + (quantised ? groups(t->d) * KV_BLOCK * 2 : 0);
    float weights[QUERIES][KV_BLOCK];
    const float *w[QUERIES];
    vf o[QUERIES][VECTORS];
    for (int i = 0; i < n_q; i++) {
        w[i] = t->s + (q0 + i) * t->lds;
        for (int j = 0; quantised && j < KV_BLOCK; j += VF_N)
            vf_store(
                weights[i] + j,
                vf_mul(vf_load(w[i] + j), vf_load_f16(t->block + (at / GROUP * KV_BLOCK + j) * 2)));
        if (quantised)
            w[i] = weights[i];
        for (int v = 0; v < n_v; v++)
            o[i][v] = vf_load(t->o + (q0 + i) * t->ldo + at + v * VF_N);
    }
    for (int token = 0; token < t->n_token; token++) {
        vf x[VECTORS];
        for (int v = 0; v < n_v; v++)
            x[v] = load_values(type, p, token, at + v * VF_N, row);
        for (int i = 0; i < n_q; i++) {
            vf weight = vf_set1(w[i][token]);
            for (int v = 0; v < n_v; v++)
                o[i][v] = vf_fma(weight, x[v], o[i][v]);
        }
    }
    for (int i = 0; i < n_q; i++)
        for (int v = 0; v < n_v; v++)
            vf_store(t->o + (q0 + i) * t->ldo + at + v * VF_N, o[i][v]);
}

SIMD void value_queries(const struct attend_tile *t, const enum dtype type, const int n_q, int q0)
{
    const bool quantised = type == DTYPE_Q8_0 || type == DTYPE_Q4_0;
    const int unit = quantised ? GROUP : 16, end = (t->d + unit - 1) / unit * unit;
    int at = 0;
    for (; at + VECTORS * VF_N <= end; at += VECTORS * VF_N)
        add_values(t, type, n_q, VECTORS, q0, at);
    for (; at < end; at += VF_N)
        add_values(t, type, n_q, 1, q0, at);
}

SIMD void values(const struct attend_tile *t, const enum dtype type)
{
    int q = 0;
    for (; q + QUERIES <= t->n_q; q += QUERIES)
        value_queries(t, type, QUERIES, q);
    for (; q < t->n_q; q++)
        value_queries(t, type, 1, q);
}

void K(attend_values)(const struct attend_tile *t)
{
    if (t->type == DTYPE_F32)
        values(t, DTYPE_F32);
    else if (t->type == DTYPE_F16)
        values(t, DTYPE_F16);
    else if (t->type == DTYPE_Q8_0)
        values(t, DTYPE_Q8_0);
    else
        values(t, DTYPE_Q4_0);
}

/* VF_N tokens of one dimension. */
SIMD vf key_row(const struct attend_pack *p, const enum dtype type, int row, int at)
{
    static const int8_t unit[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    if (row >= p->d)
        return vf_zero();
    if (type == DTYPE_F32)
        return vf_load((const float *)p->block + row * KV_BLOCK + at);
    if (type == DTYPE_F16)
        return vf_load_f16(p->block + 2 * (row * KV_BLOCK + at));
    const bool nibbles = type == DTYPE_Q4_0;
    vb k = load_keys(p->block + groups(p->d) * KV_BLOCK * 2, nibbles, row / 4, at);
    vb one = vb_spread(unit[row % 4], 4);
    vi zero = vi_set1(-bias_of(type));
    vi q = nibbles ? vi_dot(zero, k, one) : vi_dot_wide(zero, k, one);
    return vf_mul(vf_from_vi(q), vf_load_f16(p->block + (row / GROUP * KV_BLOCK + at) * 2));
}

/* VF_N dimensions of one token. */
SIMD vf value_row(const struct attend_pack *p, const enum dtype type, int row, int at)
{
    const bool quantised = type == DTYPE_Q8_0 || type == DTYPE_Q4_0;
    const int stride = (p->d + 15) / 16 * 16;
    if (row >= p->n_token || (!quantised && at >= stride))
        return vf_zero();
    if (!quantised)
        return load_values(type, p->block, row, at, stride);
    vf x = load_values(type, p->block + groups(p->d) * KV_BLOCK * 2, row, at, stride);
    return vf_mul(x, vf_set1(simd_half(p->block + (at / GROUP * KV_BLOCK + row) * 2)));
}

SIMD void pack_block(const struct attend_pack *p, const enum dtype type, const bool values)
{
    for (int at = 0; at < p->n_cols; at += VF_N) {
        const long column = p->column + at, panel = column / p->nr * p->nr;
        const long cols = p->total - panel < p->nr ? p->total - panel : p->nr;
        char *dst = p->dst + (panel * p->panel_rows + p->row * cols) * (p->bf16 ? 2 : 4);
        for (int row = 0; row < p->n_rows; row++) {
            vf x = values ? value_row(p, type, row, at) : key_row(p, type, row, at);
#if defined(SIMD_BF16)
            if (p->bf16) {
                row++;
                vf y = values ? value_row(p, type, row, at) : key_row(p, type, row, at);
                vp_store((uint16_t *)dst + (row - 1) * cols + 2 * (column - panel), vp_zip(x, y));
                continue;
            }
#endif
            vf_store((float *)dst + row * cols + column - panel, x);
        }
    }
}

void K(attend_pack)(const struct attend_pack *p)
{
    if (p->type == DTYPE_F32)
        p->values ? pack_block(p, DTYPE_F32, true) : pack_block(p, DTYPE_F32, false);
    else if (p->type == DTYPE_F16)
        p->values ? pack_block(p, DTYPE_F16, true) : pack_block(p, DTYPE_F16, false);
    else if (p->type == DTYPE_Q8_0)
        p->values ? pack_block(p, DTYPE_Q8_0, true) : pack_block(p, DTYPE_Q8_0, false);
    else
        p->values ? pack_block(p, DTYPE_Q4_0, true) : pack_block(p, DTYPE_Q4_0, false);
}
