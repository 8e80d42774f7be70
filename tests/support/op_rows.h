/* op_rows.h - one operation with its shapes and operands, for the op tests and the benchmarks. */
#ifndef LAR_TESTS_SUPPORT_OP_ROWS_H
#define LAR_TESTS_SUPPORT_OP_ROWS_H

#include "tensor/tape.h"

struct err;

/* One row of a table of cases. Shapes end at the first 0. */
struct op_row {
    enum op_kind kind;
    int64_t x[TENSOR_MAX_DIM]; /* the first operand; of OP_ROWS the ids */
    int64_t y[TENSOR_MAX_DIM]; /* the second: weights, table, addend, keys and values;
                                * OP_UPSAMPLE's new height and width; OP_GROUPNORM's moments;
                                * OP_ROPE's angles, OP_GATES' ids, OP_MIX's gates */
    enum dtype weight;         /* type of weights, of OP_ROWS' table and, if not f32, of addends */
    int param;                 /* n_head, n_group, stride, r, k, experts per row or enum glu */
    int pad[4];                /* conv2d, moments */
    bool flag;                 /* causal, silu, interleaved, norm */
    enum wrap wrap;            /* conv2d */
    int64_t residual[TENSOR_MAX_DIM]; /* of linear, conv2d, mix; none if it starts with 0 */
    bool bare;                        /* without bias; norms without scale and bias */
    bool fast;                        /* linear: activations may be rounded */
};

/* A tape of one op. All operands are inputs of the tape. */
struct op_case {
    struct tape *tape;
    const struct op *op;
    struct tensor *src[OP_MAX_SRC];
    struct tensor *out;
};

int op_case_init(struct op_case *c, const struct op_row *r, enum dtype activation, struct err *e);
void op_case_release(struct op_case *c);

/* Fills all operands: values in [-1, 1] that bf16 and f16 represent exactly (before a type's own
 * rounding), scaled by `scale`, ids within the table; the same on every machine. What is
 * normalised lies around 64, where a naive variance cancels. */
void op_case_fill(struct op_case *c, float scale);

/* "conv2d [1, 8, 8, 320] * [640, 320, 3, 3] f16" into out; returns out. */
#define OP_CASE_TEXT 256
const char *op_case_text(const struct op_case *c, char out[OP_CASE_TEXT]);

/* Multiplications and additions of products (0 for other ops); bytes of all operands and the
 * result. */
double op_case_flops(const struct op_case *c);
double op_case_bytes(const struct op_case *c);

#endif
