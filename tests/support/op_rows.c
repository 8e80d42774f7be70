/* op_rows.c - see op_rows.h. */
#include "support/op_rows.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tensor/half.h"
#include "tensor/ops.h"
#include "tensor/quant.h"

#include <stdio.h>
#include <stdlib.h>

static int n_dim(const int64_t *dim)
{
    int n = 0;
    while (n < TENSOR_MAX_DIM && dim[n])
        n++;
    return n;
}

static struct tensor *operand(struct op_case *c, int i, enum dtype type, const int64_t *dim)
{
    static const char *const names[OP_MAX_SRC] = {"x", "y", "z", "u"};
    c->src[i] = tape_input(c->tape, type, names[i], n_dim(dim), dim);
    return c->src[i];
}

static struct tensor *vector(struct op_case *c, const struct op_row *r, int i, int64_t n)
{
    return r->bare ? NULL : operand(c, i, DTYPE_F32, (int64_t[TENSOR_MAX_DIM]){n});
}

/* Ops with one operand. */
static struct tensor *record_unary(struct op_case *c, const struct op_row *r)
{
    enum dtype type = tape_type(c->tape);
    struct tensor *x = operand(c, 0, type, r->x);
    switch (r->kind) {
    case OP_SCALE:
        return op_scale(c->tape, x, -0.3f, 0.7f);
    case OP_SILU:
        return op_silu(c->tape, x);
    case OP_GELU:
        return op_gelu(c->tape, x);
    case OP_QUICK_GELU:
        return op_quick_gelu(c->tape, x);
    case OP_RELU:
        return op_relu(c->tape, x);
    case OP_LEAKY_RELU:
        return op_leaky_relu(c->tape, x, 0.2f);
    case OP_PIXEL_SHUFFLE:
        return op_pixel_shuffle(c->tape, x, r->param);
    case OP_PIXEL_UNSHUFFLE:
        return op_pixel_unshuffle(c->tape, x, r->param);
    case OP_SOFT_CAP:
        return op_soft_cap(c->tape, x, 3);
    case OP_TOP_K:
        return op_top_k(c->tape, x, r->param);
    case OP_GEGLU:
        return op_geglu(c->tape, x);
    case OP_MOMENTS:
        return op_moments(c->tape, x, r->param, r->pad[0], r->pad[2]);
    case OP_UPSAMPLE:
        return op_upsample(c->tape, x, r->y[0], r->y[1]);
    case OP_CAST:
        return op_cast(c->tape, x, type == DTYPE_F32 ? DTYPE_BF16 : DTYPE_F32);
    default:
        return tape_fail(c->tape, r->kind, "no recording function here");
    }
}

static bool is_decoder(enum op_kind kind)
{
    return kind >= OP_RMSNORM && kind <= OP_MIX && kind != OP_TOP_K;
}

/* Ops of language models. */
static struct tensor *record_decoder(struct op_case *c, const struct op_row *r)
{
    struct tape *t = c->tape;
    bool angles = r->kind == OP_ROPE_ANGLES;
    struct tensor *x = operand(c, 0, angles ? DTYPE_I32 : tape_type(t), r->x);
    if (r->kind == OP_RMSNORM)
        return op_rmsnorm(t, x, vector(c, r, 1, r->x[n_dim(r->x) - 1]), 1e-6f);
    if (r->kind == OP_GLU)
        return op_glu(t, (enum glu)r->param, x, r->y[0] ? operand(c, 1, tape_type(t), r->y) : NULL);
    if (r->kind == OP_EXPERTS) {
        int64_t ids[TENSOR_MAX_DIM] = {r->x[0], r->param};
        struct tensor *id = operand(c, 1, DTYPE_I32, ids);
        struct experts w = {.w = operand(c, 2, r->weight, r->y)};
        w.b = r->bare ? NULL : operand(c, 3, DTYPE_F32, (int64_t[4]){r->y[0], r->y[1]});
        return op_experts(t, x, id, &w);
    }
    struct tensor *y = operand(c, 1, r->kind == OP_GATES ? DTYPE_I32 : DTYPE_F32, r->y);
    if (angles)
        return op_rope_angles(t, x, y, 1.5f);
    if (r->kind == OP_ROPE)
        return op_rope(t, x, y, r->param, r->flag);
    if (r->kind == OP_GATES)
        return op_gates(t, x, y, r->flag);
    return op_mix(t, x, y, r->residual[0] ? operand(c, 2, tape_type(t), r->residual) : NULL);
}

static struct tensor *record(struct op_case *c, const struct op_row *r)
{
    struct tape *t = c->tape;
    enum dtype type = tape_type(t);
    int64_t cols = r->x[n_dim(r->x) - 1];
    struct tensor *x, *y;
    if (r->kind == OP_ROWS) {
        y = operand(c, 0, r->weight, r->y);
        return op_rows(t, y, operand(c, 1, DTYPE_I32, r->x));
    }
    if (r->kind == OP_LAYERNORM || r->kind == OP_GROUPNORM) {
        x = operand(c, 0, type, r->x);
        struct tensor *w = vector(c, r, 1, cols), *b = vector(c, r, 2, cols);
        struct tensor *moments = r->y[0] ? operand(c, 3, DTYPE_F32, r->y) : NULL;
        struct groupnorm p = {r->param, 1e-6f, r->flag, moments};
        return r->kind == OP_LAYERNORM ? op_layernorm(t, x, w, b, 1e-5f)
                                       : op_groupnorm(t, x, w, b, p);
    }
    if (is_decoder(r->kind))
        return record_decoder(c, r);
    if (!r->y[0] || r->kind == OP_UPSAMPLE)
        return record_unary(c, r);
    if (r->kind == OP_LEAKY_RELU) {
        x = operand(c, 0, type, r->x);
        return op_prelu(t, x, operand(c, 1, DTYPE_F32, r->y));
    }
    x = operand(c, 0, type, r->x);
    bool weights = r->kind == OP_LINEAR || r->kind == OP_CONV2D || r->weight != DTYPE_F32;
    y = operand(c, 1, weights ? r->weight : type, r->y);
    struct tensor *residual = r->residual[0] ? operand(c, 3, type, r->residual) : NULL;
    struct conv2d conv = {
        r->param, {r->pad[0], r->pad[1], r->pad[2], r->pad[3]}, residual, r->wrap};
    switch (r->kind) {
    case OP_LINEAR:
        return op_linear_add(t, x, y, vector(c, r, 2, r->y[0]), residual);
    case OP_CONV2D:
        return op_conv2d(t, x, y, vector(c, r, 2, r->y[0]), conv);
    case OP_ADD:
        return op_add(t, x, y);
    case OP_CONCAT:
        return op_concat(t, x, y);
    case OP_ATTENTION:
        return op_attention(t, x, y, operand(c, 2, type, r->y), r->param, r->flag);
    default:
        return tape_fail(t, r->kind, "no recording function here");
    }
}

int op_case_init(struct op_case *c, const struct op_row *r, enum dtype activation, struct err *e)
{
    *c = (struct op_case){.tape = tape_new(activation)};
    tape_set_fast(c->tape, r->fast);
    c->out = tape_keep(c->tape, record(c, r));
    int rc = tape_plan(c->tape, e);
    if (rc)
        op_case_release(c);
    else
        c->op = tape_op(c->tape, 0);
    return rc;
}

void op_case_release(struct op_case *c)
{
    tape_free(c->tape);
    *c = (struct op_case){0};
}

/* Seven significant bits fit both 16-bit types. */
static float value(uint64_t seed, int64_t i, float scale, float offset)
{
    uint64_t h = hash_mix64(seed + (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u);
    float v = ((float)(h >> 57) - 64.0f) / 64.0f * scale + offset;
    return bf16_to_f32(bf16_from_f32(v));
}

/* Ids are smaller than this. */
static int64_t id_limit(const struct op_case *c)
{
    const struct tensor *table = c->src[c->op->kind == OP_EXPERTS ? 2 : 0];
    return table->dim[c->op->kind == OP_GATES ? 1 : 0];
}

static void fill(const struct op_case *c, struct tensor *x, uint64_t seed, float scale)
{
    enum op_kind kind = c->op->kind;
    bool norm = kind == OP_LAYERNORM || kind == OP_GROUPNORM || kind == OP_MOMENTS;
    float offset = norm && (x == c->src[0] || x == c->src[3]) ? 64.0f : 0.0f;
    int64_t n_ids = id_limit(c);
    int64_t n = tensor_n(x);
    if (x->type == DTYPE_I32) {
        for (int64_t i = 0; i < n; i++)
            ((int32_t *)x->data)[i] = (int32_t)(hash_mix64(seed + (uint64_t)i) % (uint64_t)n_ids);
        return;
    }
    float *v = mem_alloc((size_t)n * sizeof(*v));
    for (int64_t i = 0; i < n; i++)
        v[i] = value(seed, i, scale, offset);
    quant_from_f32(x->type, v, x->data, n);
    free(v);
}

void op_case_fill(struct op_case *c, float scale)
{
    for (int i = 0; i < OP_MAX_SRC; i++)
        if (c->src[i])
            fill(c, c->src[i], (uint64_t)i << 32, scale);
}

const char *op_case_text(const struct op_case *c, char out[OP_CASE_TEXT])
{
    char x[TENSOR_SHAPE_TEXT], y[TENSOR_SHAPE_TEXT];
    const struct op *op = c->op;
    int param = op->n_head + op->n_group + op->stride;
    int n = snprintf(out, OP_CASE_TEXT, "%s %s", op_name(op->kind),
                     tensor_shape_text(c->src[0], x));
    if (c->src[1] && c->src[1]->n_dim > 1)
        n += snprintf(out + n, OP_CASE_TEXT - (size_t)n, " * %s %s",
                      tensor_shape_text(c->src[1], y), dtype_name(c->src[1]->type));
    if (param)
        n += snprintf(out + n, OP_CASE_TEXT - (size_t)n, " /%d", param);
    if (op->causal || op->silu || op->wrap || op->fast)
        snprintf(out + n, OP_CASE_TEXT - (size_t)n,
                 op->causal ? " causal"
                 : op->silu ? " silu"
                 : op->fast ? " fast"
                            : " wrapped");
    return out;
}

double op_case_flops(const struct op_case *c)
{
    double out = (double)tensor_n(c->out);
    switch (c->op->kind) {
    case OP_LINEAR:
    case OP_CONV2D:
        return 2 * out * (double)tensor_n(c->src[1]) / (double)c->src[1]->dim[0];
    case OP_ATTENTION:
        return 4 * out * (double)c->src[1]->dim[1];
    default:
        return 0;
    }
}

double op_case_bytes(const struct op_case *c)
{
    double n = (double)tensor_size(c->out);
    for (int i = 0; i < OP_MAX_SRC; i++)
        n += c->src[i] ? (double)tensor_size(c->src[i]) : 0;
    return n;
}
