/* kernels.h - the table of kernels that each instruction set provides.
 *
 * Kernels work on floats and know no tensors; the drivers (gemm.c, attention.c, norm.c,
 * elementwise.c) cut ops into rows and tiles, convert other types and share out the work. No
 * pointer needs alignment, no kernel reads or writes outside what its comment says.
 */
#ifndef LAR_CPU_KERNELS_H
#define LAR_CPU_KERNELS_H

#include "tensor/dtype.h"
#include "tensor/tape.h"

#include <stdbool.h>
#include <stdint.h>

/* One tile of a product: c[m][nv * width] (+)= sum over taps and k of a[tap][row][k] * w[..].
 * w is packed [taps][k][nv * width] (f32), [taps][k / 2][nv * width][2] (bf16) or as k_int8.c says.
 */
struct gemm_tile {
    /* Rows of k elements: for each tap, mr pointers, the first m used; where product.group > 1, for
     * each tap mr / group pointers to the first row of each group. */
    const void *const *a;
    const long *a_step; /* group > 1: bytes from row to row in each group, indexed as `a` */
    const void *w;
    enum dtype type; /* int8: of the weights in the file */
    float *c;        /* row stride ldc; rows up to a multiple of the group are written, int8: mr */
    long ldc;
    long k;    /* elements per tap, a multiple of product.k_step */
    long part; /* <= k: elements taken at a time, each part under all taps while it is in L1; w is
                * packed part by part */
    int taps;
    int m;           /* rows, 1 .. mr */
    int nv;          /* vectors of columns, 1 .. nr / width */
    bool accumulate; /* add to c instead of replacing it */
};

/* Products of quantised weights and rows of f32 in whole numbers, k_int8.c: activations as blocks
 * of INT8_STEP, x = scale (q - 128), with the sums of x over both halves. */
#define INT8_STEP 32
struct int8_row {
    uint8_t q[INT8_STEP];
    float scale, sum[2];
};

/* How a type's blocks enter: 0 parts if they do not. */
struct int8_form {
    int parts;       /* of INT8_STEP channels with a scale of their own: 1 or 2 */
    bool has_offset; /* blocks.h */
    int most;        /* |q| is no larger */
};

static inline struct int8_form int8_form(enum dtype type)
{
    static const struct int8_form forms[] = {
        [DTYPE_Q4_0] = {1, false, 8},     [DTYPE_Q4_1] = {1, true, 15},
        [DTYPE_Q5_0] = {1, false, 16},    [DTYPE_Q5_1] = {1, true, 31},
        [DTYPE_Q8_0] = {1, false, 128},   [DTYPE_Q2_K] = {2, true, 3},
        [DTYPE_Q3_K] = {2, false, 4},     [DTYPE_Q4_K] = {1, true, 15},
        [DTYPE_Q5_K] = {1, true, 31},     [DTYPE_Q6_K] = {2, false, 32},
        [DTYPE_IQ4_NL] = {1, false, 127}, [DTYPE_IQ4_XS] = {1, false, 127},
        [DTYPE_MXFP4] = {1, false, 12},   [DTYPE_OTHER] = {0, false, 0},
    };
    return forms[type];
}

/* Bytes of INT8_STEP channels of one column in a tile of weights. */
static inline int int8_tile_bytes(enum dtype type)
{
    const struct int8_form f = int8_form(type);
    return INT8_STEP + f.parts * (f.has_offset ? 3 : 2) * 4;
}

/* Packs weights of rows n, channels c0 .. c0 + k, all taps, for gemm_tile. Element (n, c, tap) lies
 * at src row n0 + n, column c * taps + tap. Columns beyond n and channels up to a multiple of
 * k_step are filled with 0. */
struct pack_tile {
    enum dtype type;
    const char *src; /* of row 0; blocks run over the ends of rows */
    long row;        /* elements from row to row */
    long n0;         /* first row */
    long c0, k;
    int taps;
    int n; /* rows present, 1 .. nv * width */
    int nv;
    void *dst;
    float *scratch; /* 2 * (k + 1) * taps * width floats */
};

/* Products in one type of operands. */
struct product {
    void (*gemm)(const struct gemm_tile *g);
    void (*pack)(const struct pack_tile *p);
    int mr, nr; /* largest tile: rows, columns */
    int k_step; /* k is a multiple of it */
    int group;  /* rows that lie equally far apart */
    int part;   /* of a tap's elements; a multiple of k_step, INT_MAX for all */
    long cache; /* bytes of packed weights that a task keeps in L2 */
    int n;      /* columns of a task */
};

/* Products of a few rows of activations with rows of weights as they lie in the file; k_dot.c.
 * sums[row][n] = x[row] w[n] for the first `rows` of the lanes, row stride lds. */
struct dot_tile {
    enum dtype type;
    const char *w; /* row 0, w_row bytes from row to row */
    long w_row;
    long n, k;
    int rows, lanes;
    const char *x;              /* quantised types: of dot_pack() */
    const float *const *floats; /* others: rows of k floats */
    float *sums;
    long lds;
};

/* Rounds activations to bytes for dot(): `rows` rows of k floats, k a multiple of the block. */
struct dot_pack {
    enum dtype type; /* of the weights, quantised */
    const float *const *x;
    int rows, lanes;
    long k;
    char *dst; /* dot_packed() bytes */
};

/* A query for a quantised cache; see k_attend.c. */
#define ATTEND_MAX_D 512
struct attend_query {
    float scale[ATTEND_MAX_D / 32];
    int32_t start[ATTEND_MAX_D / 32], start_low[ATTEND_MAX_D / 32];
    int8_t high[ATTEND_MAX_D], low[ATTEND_MAX_D];
};

/* Queries against one head of a block of the cache. attend_scores: s[query][0 .. KV_BLOCK) = q k,
 * whatever lies in slots not written yet; attend_values: o[query] += the sum over n_token tokens of
 * s[query][token] * v[token], d rounded up to 16, or to 32 where quantised. */
struct attend_tile {
    enum dtype type;
    const char *block; /* the head's keys or values */
    int d, n_q, n_token;
    const float *const *floats;         /* [n_q] rows of d, for f32 and f16 */
    const struct attend_query *queries; /* [n_q], for others */
    float *s, *o;
    long lds, ldo;
};

/* Unpacks a head's keys or values of a block for struct product: KV_BLOCK columns of d rows (keys)
 * or n_token rows of d columns (values). What is beyond d and n_token becomes 0. */
struct attend_pack {
    enum dtype type;
    bool values, bf16;
    const char *block;
    int d, n_token;
    int n_rows; /* keys: d up to k_step; values: KV_BLOCK */
    int n_cols; /* keys: KV_BLOCK; values: d up to a multiple of 32 */
    char *dst;  /* panels of panel_rows rows and nr columns, the last with what is left of total */
    int nr;
    long panel_rows, total;
    long row, column; /* where the block begins in them; rows of bf16 come in pairs */
};

/* out = sums + bias + residual, in the type of the activations (f32 or bf16). */
struct finish_tile {
    const float *sums; /* row stride lds */
    long lds;
    const float *bias;    /* [n] or NULL */
    const char *residual; /* row 0's first column, in residual_type; or NULL */
    long residual_stride; /* bytes */
    enum dtype residual_type, type;
    char *out; /* row stride out_stride bytes */
    long out_stride;
    long rows, n;
    bool stream; /* out is too large for the caches; end_products() makes it visible */
};

/* One block of keys in online softmax (Milakov and Gimelshein, arXiv:1805.02867): replaces
 * s[row][0 .. n) by exp(scale * (s - max)), with columns from valid[row] on set to 0; updates the
 * running max and sum and stores by what earlier sums have to be scaled. */
struct softmax_tile {
    float *s; /* row stride lds */
    long lds;
    long n;
    int rows;
    float scale; /* > 0 */
    const long *valid;
    float *max, *sum, *rescale; /* [rows]; max starts at -FLT_MAX, sum at 0 */
    uint16_t *p; /* not NULL: the results go here as bf16, row stride lds, s becomes undefined */
};

/* Pixels of GroupNorm. moments: sum[i] and sum2[i] = over the rows of x[i] - pivot[i] and of its
 * square. normalize: y = x * mul + add, then SiLU if asked. */
struct norm_rows {
    const char *x; /* rows of n elements of x_type, f32 or bf16, one after the other */
    char *y;
    enum dtype x_type, y_type;
    long rows, n;
    const float *pivot, *mul, *add; /* [n] */
    float *sum, *sum2;              /* [n] */
    bool silu;
};

typedef void unary_kernel(float *y, const float *x, long n); /* y may be x */

struct kernels {
    const char *name;
    int width;                /* floats per vector */
    struct product f32, bf16; /* bf16.gemm is NULL without bf16 instructions */
    struct product int8;      /* gemm is NULL where others are quicker */
    int int8_most;            /* the largest |q| of weights it can take */
    void (*to_int8)(const float *x, void *dst, long n); /* -> struct int8_row [n / INT8_STEP] */
    /* Around a thread's calls of gemm: sets up and gives back what it needs of the processor. */
    void (*begin_products)(void);
    void (*end_products)(void);
    void (*dot)(const struct dot_tile *t);
    void (*dot_pack)(const struct dot_pack *p, long begin, long end); /* 256 channels each */
    int (*dot_lanes)(enum dtype type, int rows);                      /* rows <= width */
    long (*dot_packed)(enum dtype type, int lanes, long k);           /* bytes */
    void (*attend_query)(enum dtype type, const float *x, int d, struct attend_query *q);
    void (*attend_scores)(const struct attend_tile *t);
    void (*attend_values)(const struct attend_tile *t);
    void (*attend_pack)(const struct attend_pack *p);
    /* s = cap * tanh(s * scale / cap); n is a multiple of the width. */
    void (*attend_cap)(float *s, long n, float scale, float cap);
    void (*finish)(const struct finish_tile *f);
    void (*to_f32)(enum dtype type, const void *src, float *dst, long n);
    void (*from_f32)(enum dtype type, const float *src, void *dst, long n); /* f32, f16, bf16 */
    void (*softmax)(const struct softmax_tile *s);
    unary_kernel *silu, *gelu, *quick_gelu, *relu;
    void (*soft_cap)(float *y, const float *x, float cap, long n);      /* tanh(x / cap) * cap */
    void (*geglu)(float *y, const float *x, const float *gate, long n); /* x * gelu(gate) */
    void (*prelu)(float *y, const float *x, const float *slope, long n);
    void (*add)(float *y, const float *a, const float *b, long n);
    void (*scale)(float *y, const float *x, float factor, float offset, long n);
    void (*scale_by)(float *y, const float *x, const float *w, float factor,
                     long n);                                           /* x w factor */
    void (*add_scaled)(float *y, const float *x, float factor, long n); /* y += x f */
    /* The first 2 * pairs elements of a head; y is not x. */
    void (*rope)(float *y, const float *x, const float *cos_sin, long pairs, bool interleaved);
    void (*glu)(enum glu kind, float *y, const float *gate, const float *up, long n);
    void (*affine)(float *y, const float *x, const float *mul, const float *add, long n);
    float (*sum)(const float *x, long n);
    float (*sum_squared_diff)(const float *x, float mean, long n);
    void (*moments)(const struct norm_rows *r);
    void (*normalize)(const struct norm_rows *r);
};

/* The table named by LAR_CPU, else the best this machine can run. NULL with an error that lists
 * the choices when the name is unknown or the machine cannot run it. */
struct err;
const struct kernels *kernels_pick(const char *name, struct err *e);

/* Table i of this build that this machine can run, best first; NULL at the end. For tests. */
const struct kernels *kernels_at(int i);

#endif
