/* experts.c - see experts.h. */
#include "nn/experts.h"

#include "base/arena.h"
#include "base/err.h"
#include "format/checkpoint.h"

#include <stdio.h>
#include <string.h>

#define NAME_SIZE 64

void mlp_load(struct loader *l, struct mlp *m, int64_t n_embd)
{
    int64_t n_ff = load_dim(l, "ffn_down.weight", 1);
    if (load_has(l, "ffn_gate.weight"))
        linear_load_plain(l, &m->gate, "ffn_gate", n_ff, n_embd);
    linear_load_plain(l, &m->up, "ffn_up", m->gate.w ? n_ff : 2 * n_ff, n_embd);
    linear_load_plain(l, &m->down, "ffn_down", n_embd, n_ff);
}

struct tensor *mlp(struct tape *t, const struct mlp *m, struct tensor *x, struct tensor *residual)
{
    struct tensor *up = linear(t, &m->up, x);
    struct tensor *h = m->gate.w ? op_glu(t, m->glu, linear(t, &m->gate, x), up)
                                 : op_glu(t, m->glu, up, NULL);
    return linear_add(t, &m->down, h, residual);
}

/* One tensor for each expert, "<stem>.<i>.weight". */
static void load_apart(struct loader *l, struct experts *x, const char *stem, const int64_t dim[3])
{
    char name[NAME_SIZE];
    const void **each = arena_try_array(l->arena, (size_t)dim[0], sizeof(*each), stem, l->err);
    if (!each) {
        l->rc = ERR_NOMEM;
        return;
    }
    for (int64_t i = 0; i < dim[0]; i++) {
        snprintf(name, sizeof(name), "%s.%d.weight", stem, (int)i);
        struct tensor *w = load_matrix(l, name, dim[1], dim[2]);
        if (!w)
            return;
        if (!x->w) {
            x->w = w;
        } else if (w->type != x->w->type) {
            load_fail(l, "tensor %s is of type %s, but %s of %s: convert the file first", w->name,
                      dtype_name(w->type), x->w->name, dtype_name(x->w->type));
            return;
        }
        each[i] = w->data;
    }
    if (!x->w)
        return;
    x->each = each;
    x->w->n_dim = 3;
    memcpy(x->w->dim, dim, 3 * sizeof(*dim));
}

static void load_experts(struct loader *l, struct experts *x, const char *stem,
                         const int64_t dim[3])
{
    char name[NAME_SIZE];
    if (load_has(l, "%s.0.weight", stem)) {
        load_apart(l, x, stem, dim);
        return;
    }
    snprintf(name, sizeof(name), "%s_exps.weight", stem);
    x->w = load_weight(l, name, 3, dim);
    snprintf(name, sizeof(name), "%s_exps.bias", stem);
    if (load_has(l, "%s", name))
        x->b = load_floats(l, name, 2, dim);
}

/* ---- gpt-oss in Hugging Face folders ---- */

/* Where the rows of an expert come from: all in order, or every second of gate and up in turn. */
struct choice {
    int first, step;
};

/* Of [n_expert, in, out] in a plain type: an f32 copy of the chosen columns as [n_expert, n, in].
 */
static void turn(const struct tensor *stored, float *out, const int64_t dim[3], struct choice c)
{
    int64_t cols = dim[1] * c.step, k = dim[2];
    const float *in = stored->data;
    for (int64_t e = 0; e < dim[0]; e++, in += cols * k, out += dim[1] * k)
        for (int64_t i = 0; i < dim[1]; i++)
            for (int64_t j = 0; j < k; j++)
                out[i * k + j] = in[j * cols + i * c.step + c.first];
}

/* Blocks of 16 bytes with pairs of neighbours become ggml's: a scale, then 16 bytes with elements
 * i and i + 16. */
static void repack(const unsigned char *blocks, const unsigned char *scales, unsigned char *out)
{
    *out++ = *scales;
    for (int i = 0; i < 16; i++) {
        unsigned char a = blocks[i / 2], b = blocks[8 + i / 2];
        out[i] = (unsigned char)(i % 2 ? a >> 4 | (b & 0xf0) : (a & 15) | b << 4);
    }
}

static struct tensor *load_mxfp4(struct loader *l, const char *stem, const int64_t dim[3],
                                 struct choice c)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof(name), "%s.blocks", stem);
    const struct ckpt_tensor *blocks = load_raw(l, name);
    snprintf(name, sizeof(name), "%s.scales", stem);
    const struct ckpt_tensor *scales = load_raw(l, name);
    if (!blocks || !scales)
        return NULL;
    const int64_t want[4] = {dim[0], dim[1] * c.step, dim[2] / 32, 16};
    if (dim[2] % 32 || strcmp(blocks->type_name, "U8") != 0 || blocks->n_dim != 4 ||
        memcmp(blocks->dim, want, sizeof(want)) != 0 || strcmp(scales->type_name, "U8") != 0 ||
        scales->n_dim != 3 || memcmp(scales->dim, want, 3 * sizeof(*want)) != 0) {
        load_fail(l, "tensor %s has not the blocks of MXFP4 that the model needs", blocks->name);
        return NULL;
    }
    size_t n = (size_t)(dim[0] * dim[1] * want[2]);
    struct tensor *w = arena_alloc(l->arena, sizeof(*w));
    *w = (struct tensor){.type = DTYPE_MXFP4, .n_dim = 3, .name = blocks->name};
    memcpy(w->dim, dim, 3 * sizeof(*dim));
    w->dim[3] = 1;
    unsigned char *out = arena_try_array(l->arena, n, 17, blocks->name, l->err);
    w->data = out;
    if (!out) {
        l->rc = ERR_NOMEM;
        return NULL;
    }
    size_t row = (size_t)dim[2] / 32;
    for (size_t i = 0; i < n; i++) {
        size_t from = (i / row * (size_t)c.step + (size_t)c.first) * row + i % row;
        repack((const unsigned char *)blocks->data + 16 * from,
               (const unsigned char *)scales->data + from, out + 17 * i);
    }
    return w;
}

/* dim is what the chosen rows make: [n_expert, n, k]. */
static void load_turned(struct loader *l, struct experts *x, const char *stem, const int64_t dim[3],
                        struct choice c)
{
    char name[NAME_SIZE];
    int64_t all[3] = {dim[0], dim[1] * c.step, dim[2]};
    snprintf(name, sizeof(name), "%s.bias", stem);
    struct tensor *b = load_floats(l, name, 2, all);
    if (load_has(l, "%s.blocks", stem)) {
        x->w = load_mxfp4(l, stem, dim, c);
    } else {
        snprintf(name, sizeof(name), "%s.weight", stem);
        x->w = load_floats(l, name, 3, all);
    }
    if (!x->w || !b)
        return;
    size_t n = (size_t)(dim[0] * dim[1]);
    if (x->w->type == DTYPE_F32) {
        float *out = arena_try_array(l->arena, n, (size_t)dim[2] * sizeof(*out), name, l->err);
        if (!out) {
            l->rc = ERR_NOMEM;
            return;
        }
        turn(x->w, out, dim, c);
        x->w->data = out;
        x->w->dim[1] = dim[1];
    }
    float *chosen = arena_try_array(l->arena, n, sizeof(*chosen), b->name, l->err);
    if (!chosen) {
        l->rc = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < n; i++)
        chosen[i] = ((float *)b->data)[i * (size_t)c.step + (size_t)c.first];
    b->data = chosen;
    b->dim[1] = dim[1];
    x->b = b;
}

static int64_t expert_width(const struct loader *l)
{
    int64_t n = load_dim(l, "ffn_down_exps.weight", 2);
    n = n ? n : load_dim(l, "ffn_down.0.weight", 1);
    return n ? n : 32 * load_dim(l, "ffn_down_exps.blocks", 2);
}

void moe_load(struct loader *l, struct moe *m, int64_t n_embd)
{
    linear_load_plain(l, &m->router, "ffn_gate_inp", LOAD_ANY, n_embd);
    if (!m->router.w)
        return;
    int64_t n = m->router.w->dim[0], n_ff = expert_width(l);
    int64_t in[3] = {n, n_ff, n_embd}, out[3] = {n, n_embd, n_ff};
    if (n_ff < 1) {
        load_fail(l, "tensor %s.ffn_down_exps.weight is missing", l->scope);
        return;
    }
    if (m->n_used < 1 || m->n_used > n) {
        load_fail(l, "%d of %d experts cannot be used for a token", m->n_used, (int)n);
        return;
    }
    if (load_has_any(l, "ffn_gate_up_exps")) {
        load_turned(l, &m->gate, "ffn_gate_up_exps", in, (struct choice){0, 2});
        load_turned(l, &m->up, "ffn_gate_up_exps", in, (struct choice){1, 2});
        load_turned(l, &m->down, "ffn_down_exps", out, (struct choice){0, 1});
        return;
    }
    load_experts(l, &m->gate, "ffn_gate", in);
    load_experts(l, &m->up, "ffn_up", in);
    load_experts(l, &m->down, "ffn_down", out);
}

struct tensor *moe(struct tape *t, const struct moe *m, struct tensor *x, struct tensor *residual)
{
    struct tensor *logits = linear(t, &m->router, x);         /* [n, n_expert] */
    struct tensor *ids = op_top_k(t, logits, m->n_used);      /* [n, n_used] */
    struct tensor *gates = op_gates(t, logits, ids, m->norm); /* [n, n_used] */
    struct tensor *gate = op_experts(t, x, ids, &m->gate);    /* [n, n_used, n_ff] */
    struct tensor *h = op_glu(t, m->glu, gate, op_experts(t, x, ids, &m->up));
    return op_mix(t, op_experts(t, h, ids, &m->down), gates, residual); /* [n, n_embd] */
}
