/* ops.c - shape checks and recording; see ops.h. */
#include "tensor/ops.h"

#include "tensor/kv.h"

#include <string.h>

static const char *shape(const struct tensor *x, char out[TENSOR_SHAPE_TEXT])
{
    return x ? tensor_shape_text(x, out) : "nothing";
}

/* Fails the tape over two operands that do not fit; `w` may be a weight whose name helps. */
static struct tensor *misfit(struct tape *t, enum op_kind kind, const struct tensor *x,
                             const struct tensor *w)
{
    char sx[TENSOR_SHAPE_TEXT], sw[TENSOR_SHAPE_TEXT];
    return tape_fail(t, kind, "%s %s does not fit %s %s", x && x->name ? x->name : "input",
                     shape(x, sx), w && w->name ? w->name : "operand", shape(w, sw));
}

static bool is_vector(const struct tensor *b, int64_t n)
{
    return !b || (b->n_dim == 1 && b->dim[0] == n && b->type == DTYPE_F32);
}

/* Records an op whose result has x's shape. */
static struct tensor *record_like(struct tape *t, const struct op *op, const struct tensor *x)
{
    return tape_record(t, op, x->type, x->n_dim, x->dim);
}

/* Records an op whose result has x's shape with another last dimension. */
static struct tensor *record_cols(struct tape *t, const struct op *op, const struct tensor *x,
                                  int64_t cols)
{
    int64_t dim[TENSOR_MAX_DIM];
    memcpy(dim, x->dim, sizeof(dim));
    dim[x->n_dim - 1] = cols;
    return tape_record(t, op, x->type, x->n_dim, dim);
}

struct tensor *op_reshape(struct tape *t, struct tensor *x, int n_dim, const int64_t *dim)
{
    int64_t d[TENSOR_MAX_DIM], known = 1;
    int free_dim = -1;
    if (tape_failed(t))
        return x;
    for (int i = 0; i < n_dim; i++) {
        d[i] = dim[i];
        if (d[i] == -1)
            free_dim = i;
        else
            known *= d[i];
    }
    if (free_dim >= 0 && known > 0)
        d[free_dim] = tensor_n(x) / known;
    struct tensor *v = tape_view(t, x, n_dim, d);
    if (tensor_n(v) != tensor_n(x))
        return misfit(t, N_OP, x, v);
    return v;
}

struct tensor *op_rows(struct tape *t, struct tensor *table, struct tensor *ids)
{
    struct op op = {.kind = OP_ROWS, .src = {table, ids}};
    if (table->n_dim != 2 || ids->n_dim > 2 || ids->type != DTYPE_I32 ||
        table->dim[1] % dtype_block(table->type))
        return misfit(t, OP_ROWS, ids, table);
    int64_t dim[3] = {ids->dim[0], ids->n_dim == 2 ? ids->dim[1] : table->dim[1], table->dim[1]};
    return tape_record(t, &op, tape_type(t), ids->n_dim + 1, dim);
}

/* Records an op that adds src[3], if any, to its result. */
static struct tensor *record_add(struct tape *t, const struct op *op, int n_dim, const int64_t *dim)
{
    const struct tensor *r = op->src[3];
    struct tensor *out = tape_record(t, op, op->src[0]->type, n_dim, dim);
    if (!r || tape_failed(t) || tensor_same_shape(r, out))
        return out;
    if (r->n_dim == 2 && r->dim[0] == dim[0] && r->dim[1] == dim[n_dim - 1])
        return out; /* one row per sample */
    return misfit(t, op->kind, out, r);
}

struct tensor *op_linear(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *b)
{
    return op_linear_add(t, x, w, b, NULL);
}

struct tensor *op_linear_add(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *b,
                             struct tensor *residual)
{
    struct op op = {.kind = OP_LINEAR, .src = {x, w, b, residual}, .fast = tape_fast(t)};
    int64_t dim[TENSOR_MAX_DIM];
    if (tape_failed(t))
        return x;
    if (w->n_dim != 2 || w->dim[1] != tensor_n_cols(x))
        return misfit(t, OP_LINEAR, x, w);
    if (!is_vector(b, w->dim[0]))
        return misfit(t, OP_LINEAR, w, b);
    memcpy(dim, x->dim, sizeof(dim));
    dim[x->n_dim - 1] = w->dim[0];
    return record_add(t, &op, x->n_dim, dim);
}

struct tensor *op_conv2d(struct tape *t, struct tensor *x, struct tensor *kernel, struct tensor *b,
                         struct conv2d p)
{
    struct op op = {.kind = OP_CONV2D, .src = {x, kernel, b, p.residual}, .stride = p.stride};
    if (tape_failed(t))
        return x;
    if (x->n_dim != 4 || kernel->n_dim != 4 || kernel->dim[1] != x->dim[3])
        return misfit(t, OP_CONV2D, x, kernel);
    if (!is_vector(b, kernel->dim[0]))
        return misfit(t, OP_CONV2D, kernel, b);
    memcpy(op.pad, p.pad, sizeof(op.pad));
    op.wrap = p.wrap;
    if (((p.wrap & WRAP_Y) && (p.pad[0] > x->dim[1] || p.pad[2] > x->dim[1])) ||
        ((p.wrap & WRAP_X) && (p.pad[1] > x->dim[2] || p.pad[3] > x->dim[2])))
        return misfit(t, OP_CONV2D, x, kernel);
    int64_t h = x->dim[1] + p.pad[0] + p.pad[2] - kernel->dim[2];
    int64_t w = x->dim[2] + p.pad[1] + p.pad[3] - kernel->dim[3];
    if (h < 0 || w < 0)
        return misfit(t, OP_CONV2D, x, kernel);
    int64_t dim[4] = {x->dim[0], h / p.stride + 1, w / p.stride + 1, kernel->dim[0]};
    return record_add(t, &op, 4, dim);
}

struct tensor *op_add(struct tape *t, struct tensor *a, struct tensor *b)
{
    struct op op = {.kind = OP_ADD, .src = {a, b}};
    if (tape_failed(t))
        return a;
    int skip = a->n_dim - b->n_dim;
    if (skip < 0 || memcmp(a->dim + skip, b->dim, (size_t)b->n_dim * sizeof(*b->dim)) != 0)
        return misfit(t, OP_ADD, a, b);
    return record_like(t, &op, a);
}

struct tensor *op_scale(struct tape *t, struct tensor *x, float factor, float offset)
{
    struct op op = {.kind = OP_SCALE, .src = {x}, .factor = factor, .offset = offset};
    return record_like(t, &op, x);
}

static struct tensor *unary(struct tape *t, enum op_kind kind, struct tensor *x)
{
    struct op op = {.kind = kind, .src = {x}};
    return record_like(t, &op, x);
}

struct tensor *op_silu(struct tape *t, struct tensor *x)
{
    return unary(t, OP_SILU, x);
}

struct tensor *op_gelu(struct tape *t, struct tensor *x)
{
    return unary(t, OP_GELU, x);
}

struct tensor *op_quick_gelu(struct tape *t, struct tensor *x)
{
    return unary(t, OP_QUICK_GELU, x);
}

struct tensor *op_relu(struct tape *t, struct tensor *x)
{
    return unary(t, OP_RELU, x);
}

struct tensor *op_leaky_relu(struct tape *t, struct tensor *x, float slope)
{
    struct op op = {.kind = OP_LEAKY_RELU, .src = {x}, .factor = slope};
    return record_like(t, &op, x);
}

struct tensor *op_prelu(struct tape *t, struct tensor *x, struct tensor *slope)
{
    struct op op = {.kind = OP_LEAKY_RELU, .src = {x, slope}};
    if (tape_failed(t))
        return x;
    if (!slope || !is_vector(slope, tensor_n_cols(x)))
        return misfit(t, OP_LEAKY_RELU, x, slope);
    return record_like(t, &op, x);
}

struct tensor *op_soft_cap(struct tape *t, struct tensor *x, float cap)
{
    struct op op = {.kind = OP_SOFT_CAP, .src = {x}, .factor = cap};
    return record_like(t, &op, x);
}

struct tensor *op_geglu(struct tape *t, struct tensor *x)
{
    struct op op = {.kind = OP_GEGLU, .src = {x}};
    if (tape_failed(t))
        return x;
    if (tensor_n_cols(x) % 2)
        return misfit(t, OP_GEGLU, x, x);
    return record_cols(t, &op, x, tensor_n_cols(x) / 2);
}

struct tensor *op_layernorm(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *b,
                            float eps)
{
    struct op op = {.kind = OP_LAYERNORM, .src = {x, w, b}, .eps = eps};
    if (tape_failed(t))
        return x;
    if (!is_vector(w, tensor_n_cols(x)) || !is_vector(b, tensor_n_cols(x)))
        return misfit(t, OP_LAYERNORM, x, is_vector(w, tensor_n_cols(x)) ? b : w);
    return record_like(t, &op, x);
}

static bool is_moments(const struct tensor *m, const struct tensor *x, int n_group)
{
    return !m || (m->type == DTYPE_F32 && m->n_dim == 3 && m->dim[0] == x->dim[0] &&
                  m->dim[1] == n_group && m->dim[2] == 2);
}

struct tensor *op_groupnorm(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *b,
                            struct groupnorm p)
{
    struct op op = {.kind = OP_GROUPNORM,
                    .src = {x, w, b, p.moments},
                    .eps = p.eps,
                    .n_group = p.n_group,
                    .silu = p.silu};
    if (tape_failed(t))
        return x;
    int64_t c = tensor_n_cols(x);
    if (!is_vector(w, c) || !is_vector(b, c) || p.n_group < 1 || c % p.n_group)
        return misfit(t, OP_GROUPNORM, x, is_vector(w, c) && !is_vector(b, c) ? b : w);
    if (!is_moments(p.moments, x, p.n_group))
        return misfit(t, OP_GROUPNORM, x, p.moments);
    return record_like(t, &op, x);
}

struct tensor *op_moments(struct tape *t, struct tensor *x, int n_group, int top, int bottom)
{
    struct op op = {.kind = OP_MOMENTS, .src = {x}, .n_group = n_group, .pad = {top, 0, bottom, 0}};
    if (tape_failed(t))
        return x;
    if (x->n_dim != 4 || n_group < 1 || tensor_n_cols(x) % n_group || top < 0 || bottom < 0 ||
        (int64_t)top + bottom >= x->dim[1])
        return misfit(t, OP_MOMENTS, x, x);
    return tape_record(t, &op, DTYPE_F32, 3, (int64_t[]){x->dim[0], n_group, 2});
}

struct tensor *op_attention(struct tape *t, struct tensor *q, struct tensor *k, struct tensor *v,
                            int n_head, bool causal)
{
    struct op op = {.kind = OP_ATTENTION, .src = {q, k, v}, .n_head = n_head, .causal = causal};
    if (tape_failed(t))
        return q;
    if (q->n_dim != 3 || k->n_dim != 3 || q->dim[0] != k->dim[0] || q->dim[2] != k->dim[2])
        return misfit(t, OP_ATTENTION, q, k);
    if (!tensor_same_shape(k, v) || n_head < 1 || q->dim[2] % n_head)
        return misfit(t, OP_ATTENTION, k, v);
    return record_like(t, &op, q);
}

struct tensor *op_attend(struct tape *t, struct tensor *q, struct tensor *k, struct tensor *v,
                         struct attend p)
{
    const struct kv_layer *c = p.cache;
    struct op op = {.kind = OP_ATTEND,
                    .src = {q, k, v, p.sinks},
                    .n_head = p.n_head,
                    .factor = p.scale,
                    .softcap = p.softcap,
                    .window = p.window,
                    .cache = c,
                    .batch = p.batch,
                    .fast = tape_fast(t)};
    if (tape_failed(t))
        return q;
    if (!kv_can(c->type) || c->n_head_kv < 1 || p.n_head < 1 || p.n_head % c->n_head_kv)
        return tape_fail(t, OP_ATTEND, "%d heads of queries on %d heads of keys as %s", p.n_head,
                         c->n_head_kv, dtype_name(c->type));
    if (q->n_dim != 2 || q->dim[1] != (int64_t)p.n_head * c->d_k || k->n_dim != 2 ||
        k->dim[0] != q->dim[0] || k->dim[1] != (int64_t)c->n_head_kv * c->d_k)
        return misfit(t, OP_ATTEND, q, k);
    if (v->n_dim != 2 || v->dim[0] != q->dim[0] || v->dim[1] != (int64_t)c->n_head_kv * c->d_v)
        return misfit(t, OP_ATTEND, q, v);
    if (!is_vector(p.sinks, p.n_head))
        return misfit(t, OP_ATTEND, q, p.sinks);
    return record_cols(t, &op, q, (int64_t)p.n_head * c->d_v);
}

struct tensor *op_upsample(struct tape *t, struct tensor *x, int64_t h_out, int64_t w_out)
{
    struct op op = {.kind = OP_UPSAMPLE, .src = {x}};
    if (tape_failed(t))
        return x;
    if (x->n_dim != 4 || h_out < 1 || w_out < 1)
        return misfit(t, OP_UPSAMPLE, x, x);
    int64_t dim[4] = {x->dim[0], h_out, w_out, x->dim[3]};
    return tape_record(t, &op, x->type, 4, dim);
}

struct tensor *op_pixel_shuffle(struct tape *t, struct tensor *x, int r)
{
    struct op op = {.kind = OP_PIXEL_SHUFFLE, .src = {x}, .stride = r};
    if (tape_failed(t))
        return x;
    if (x->n_dim != 4 || r < 1 || x->dim[3] % (r * r))
        return misfit(t, OP_PIXEL_SHUFFLE, x, NULL);
    int64_t dim[4] = {x->dim[0], x->dim[1] * r, x->dim[2] * r, x->dim[3] / (r * r)};
    return tape_record(t, &op, x->type, 4, dim);
}

struct tensor *op_pixel_unshuffle(struct tape *t, struct tensor *x, int r)
{
    struct op op = {.kind = OP_PIXEL_UNSHUFFLE, .src = {x}, .stride = r};
    if (tape_failed(t))
        return x;
    if (x->n_dim != 4 || r < 1 || x->dim[1] % r || x->dim[2] % r)
        return misfit(t, OP_PIXEL_UNSHUFFLE, x, NULL);
    int64_t dim[4] = {x->dim[0], x->dim[1] / r, x->dim[2] / r, x->dim[3] * r * r};
    return tape_record(t, &op, x->type, 4, dim);
}

struct tensor *op_concat(struct tape *t, struct tensor *a, struct tensor *b)
{
    struct op op = {.kind = OP_CONCAT, .src = {a, b}};
    if (tape_failed(t))
        return a;
    if (a->n_dim != b->n_dim ||
        memcmp(a->dim, b->dim, (size_t)(a->n_dim - 1) * sizeof(*a->dim)) != 0)
        return misfit(t, OP_CONCAT, a, b);
    return record_cols(t, &op, a, tensor_n_cols(a) + tensor_n_cols(b));
}

struct tensor *op_cast(struct tape *t, struct tensor *x, enum dtype type)
{
    struct op op = {.kind = OP_CAST, .src = {x}};
    if (x->type == type)
        return x;
    return tape_record(t, &op, type, x->n_dim, x->dim);
}

struct tensor *op_rmsnorm(struct tape *t, struct tensor *x, struct tensor *w, float eps)
{
    struct op op = {.kind = OP_RMSNORM, .src = {x, w}, .eps = eps};
    if (tape_failed(t))
        return x;
    if (!is_vector(w, tensor_n_cols(x)))
        return misfit(t, OP_RMSNORM, x, w);
    return record_like(t, &op, x);
}

struct tensor *op_rope_angles(struct tape *t, struct tensor *positions, struct tensor *freq,
                              float factor)
{
    struct op op = {.kind = OP_ROPE_ANGLES, .src = {positions, freq}, .factor = factor};
    if (positions->n_dim != 1 || positions->type != DTYPE_I32 || !is_vector(freq, freq->dim[0]))
        return misfit(t, OP_ROPE_ANGLES, positions, freq);
    return tape_record(t, &op, DTYPE_F32, 2, (int64_t[]){positions->dim[0], 2 * freq->dim[0]});
}

struct tensor *op_rope(struct tape *t, struct tensor *x, struct tensor *angles, int n_head,
                       bool interleaved)
{
    struct op op = {
        .kind = OP_ROPE, .src = {x, angles}, .n_head = n_head, .interleaved = interleaved};
    if (tape_failed(t))
        return x;
    if (x->n_dim != 2 || angles->n_dim != 2 || angles->type != DTYPE_F32 ||
        angles->dim[0] != x->dim[0] || n_head < 1 || x->dim[1] % n_head ||
        angles->dim[1] > x->dim[1] / n_head || angles->dim[1] % 2)
        return misfit(t, OP_ROPE, x, angles);
    return record_like(t, &op, x);
}

struct tensor *op_glu(struct tape *t, enum glu kind, struct tensor *gate, struct tensor *up)
{
    struct op op = {.kind = OP_GLU, .src = {gate, up}, .glu = kind};
    if (tape_failed(t))
        return gate;
    if (up ? !tensor_same_shape(gate, up) : tensor_n_cols(gate) % 2 != 0)
        return misfit(t, OP_GLU, gate, up);
    return record_cols(t, &op, gate, tensor_n_cols(gate) / (up ? 1 : 2));
}

struct tensor *op_top_k(struct tape *t, struct tensor *logits, int k)
{
    struct op op = {.kind = OP_TOP_K, .src = {logits}};
    if (tape_failed(t))
        return logits;
    if (logits->n_dim != 2 || k < 1 || k > logits->dim[1])
        return tape_fail(t, OP_TOP_K, "no %d of %lld elements", k, (long long)logits->dim[1]);
    return tape_record(t, &op, DTYPE_I32, 2, (int64_t[]){logits->dim[0], k});
}

static bool is_ids(const struct tensor *ids, const struct tensor *x)
{
    return ids->n_dim == 2 && ids->type == DTYPE_I32 && ids->dim[0] == x->dim[0];
}

struct tensor *op_gates(struct tape *t, struct tensor *logits, struct tensor *ids, bool norm)
{
    struct op op = {.kind = OP_GATES, .src = {logits, ids}, .norm = norm};
    if (tape_failed(t))
        return logits;
    if (logits->n_dim != 2 || !is_ids(ids, logits))
        return misfit(t, OP_GATES, logits, ids);
    return tape_record(t, &op, DTYPE_F32, 2, ids->dim);
}

struct tensor *op_experts(struct tape *t, struct tensor *x, struct tensor *ids,
                          const struct experts *w)
{
    struct op op = {
        .kind = OP_EXPERTS, .src = {x, ids, w->w, w->b}, .each = w->each, .fast = tape_fast(t)};
    if (tape_failed(t))
        return x;
    if (!is_ids(ids, x) || x->n_dim > 3 || (x->n_dim == 3 && x->dim[1] != ids->dim[1]))
        return misfit(t, OP_EXPERTS, x, ids);
    if (w->w->n_dim != 3 || w->w->dim[2] != tensor_n_cols(x) ||
        w->w->dim[1] * w->w->dim[2] % dtype_block(w->w->type))
        return misfit(t, OP_EXPERTS, x, w->w);
    if (w->b && (w->b->n_dim != 2 || w->b->type != DTYPE_F32 || w->b->dim[0] != w->w->dim[0] ||
                 w->b->dim[1] != w->w->dim[1]))
        return misfit(t, OP_EXPERTS, w->w, w->b);
    return tape_record(t, &op, x->type, 3, (int64_t[]){x->dim[0], ids->dim[1], w->w->dim[1]});
}

struct tensor *op_mix(struct tape *t, struct tensor *x, struct tensor *gates,
                      struct tensor *residual)
{
    struct op op = {.kind = OP_MIX, .src = {x, gates, residual}};
    if (tape_failed(t))
        return x;
    if (x->n_dim != 3 || gates->n_dim != 2 || gates->type != DTYPE_F32 ||
        gates->dim[0] != x->dim[0] || gates->dim[1] != x->dim[1])
        return misfit(t, OP_MIX, x, gates);
    if (residual &&
        (residual->n_dim != 2 || residual->dim[0] != x->dim[0] || residual->dim[1] != x->dim[2]))
        return misfit(t, OP_MIX, x, residual);
    return tape_record(t, &op, x->type, 2, (int64_t[]){x->dim[0], x->dim[2]});
}
