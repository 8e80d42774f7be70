/* tape_test.c - recording, planning and running, over a backend that only mixes bytes. */
#include "support/test.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tensor/backend.h"
#include "tensor/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes a digest of the op and all its operands to every byte of the result. */
static int mix_run(struct backend *b, const struct op *op, struct err *e)
{
    uint64_t h = (uint64_t)op->kind;
    unsigned char *out = op->out->data;
    (void)b;
    (void)e;
    for (int i = 0; i < OP_MAX_SRC; i++)
        if (op->src[i])
            h = hash_mix64(h + hash_fnv1a(op->src[i]->data, tensor_size(op->src[i])));
    for (size_t i = 0; i < tensor_size(op->out); i++)
        out[i] = (unsigned char)(hash_mix64(h + i) >> 32);
    return 0;
}

static struct backend mix = {.name = "mix", .run = mix_run};

static int fail_run(struct backend *b, const struct op *op, struct err *e)
{
    (void)b;
    (void)op;
    return err_set(e, ERR_NOMEM, "out of dice");
}

static int n_run;

static int count_run(struct backend *b, const struct op *op, struct err *e)
{
    n_run++;
    return mix_run(b, op, e);
}

static uint64_t next(uint64_t *state)
{
    return hash_mix64(*state += 0x9e3779b97f4a7c15u);
}

#define RANDOM_OPS 120

struct random_tape {
    struct tape *t;
    struct tensor *in[2], *out;
};

/* A tape of random shapes, lifetimes and views of views. With `keep_all`, no memory is reused. */
static struct random_tape random_tape(uint64_t seed, bool keep_all)
{
    struct random_tape r = {.t = tape_new(seed % 2 ? DTYPE_F32 : DTYPE_BF16)};
    struct tensor *live[RANDOM_OPS + 2];
    int n = 0;
    for (; n < 2; n++)
        live[n] = r.in[n] = tape_input(r.t, DTYPE_F32, "in", 2, (int64_t[]){3 + n, 5});
    for (int i = 0; i < RANDOM_OPS; i++) {
        struct op op = {.kind = (enum op_kind)(next(&seed) % N_OP)};
        int n_src = 1 + (int)(next(&seed) % OP_MAX_SRC);
        for (int j = 0; j < n_src; j++) { /* mostly recent tensors, some old ones */
            uint64_t back = next(&seed) % (next(&seed) % 8 == 0 ? (uint64_t)n : 4);
            op.src[j] = live[back < (uint64_t)n ? n - 1 - (int)back : 0];
        }
        int64_t dim[2] = {1 + (int64_t)(next(&seed) % 40), 1 + (int64_t)(next(&seed) % 9)};
        struct tensor *x = tape_record(r.t, &op, tape_type(r.t), 2, dim);
        bool keep = next(&seed) % 16 == 0, view = next(&seed) % 3 == 0;
        if (keep || keep_all)
            tape_keep(r.t, x);
        if (view)
            x = op_reshape2(r.t, op_reshape2(r.t, x, -1, 1), dim[1], dim[0]);
        live[n++] = x;
    }
    r.out = tape_keep(r.t, live[n - 1]);
    return r;
}

struct trace {
    uint64_t digest[RANDOM_OPS];
    int n;
};

static int note(const struct op *op, void *ctx)
{
    struct trace *tr = ctx;
    tr->digest[tr->n++] = hash_fnv1a(op->out->data, tensor_size(op->out));
    return 0;
}

/* Runs the random tape of this seed; returns its memory. */
static size_t trace_run(uint64_t seed, bool keep_all, struct trace *tr)
{
    struct err e = {0};
    struct random_tape r = random_tape(seed, keep_all);
    assert_ok(tape_plan(r.t, &e), e);
    for (int i = 0; i < 2; i++)
        memset(r.in[i]->data, 17 + i, tensor_size(r.in[i]));
    tr->n = 0;
    tape_observe(r.t, note, tr);
    assert_ok(tape_run(r.t, &mix, &e), e);
    assert_int_equal(tr->n, RANDOM_OPS);
    assert_true(hash_fnv1a(r.out->data, tensor_size(r.out)) == tr->digest[RANDOM_OPS - 1]);
    size_t memory = tape_memory(r.t);
    tape_free(r.t);
    return memory;
}

/* A plan that reuses memory computes what a plan without any reuse does. */
static void test_plan_random(void **state)
{
    size_t reused = 0, separate = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct trace a, b;
        reused += trace_run(seed, false, &a);
        separate += trace_run(seed, true, &b);
        assert_memory_equal(a.digest, b.digest, sizeof(a.digest));
    }
    assert_true(reused < separate / 2);
}

/* A chain needs two tensors beside its input, however long it is. */
static void test_plan_chain(void **state)
{
    struct err e = {0};
    struct tape *t = tape_new(DTYPE_F32);
    struct tensor *x = tape_input(t, DTYPE_F32, "x", 2, (int64_t[]){16, 16});
    (void)state;
    for (int i = 0; i < 50; i++)
        x = op_silu(t, x);
    assert_ok(tape_plan(t, &e), e);
    assert_int_equal(tape_memory(t), 3 * 16 * 16 * sizeof(float));
    tape_free(t);
}

static void test_plan_no_memory(void **state)
{
    struct err e = {0};
    struct tape *t = tape_new(DTYPE_F32);
    (void)state;
    tape_input(t, DTYPE_F32, "x", 2, (int64_t[]){16, 16});
    mem_fail_nth(1);
    assert_int_equal(tape_plan(t, &e), ERR_NOMEM);
    mem_fail_nth(0);
    assert_err(e, ERR_NOMEM, "activations");
    tape_free(t);
}

static void test_empty(void **state)
{
    struct err e = {0};
    struct tape *t = tape_new(DTYPE_F32);
    (void)state;
    assert_ok(tape_plan(t, &e), e);
    assert_ok(tape_run(t, &mix, &e), e);
    tape_free(t);
    tape_free(NULL);
}

/* Views have memory after planning even when no op reads them, and views of weights at once. */
static void test_views(void **state)
{
    float data[6] = {1, 2, 3, 4, 5, 6};
    struct tensor w = {.type = DTYPE_F32, .n_dim = 2, .dim = {2, 3, 1, 1}, .data = data};
    struct err e = {0};
    struct tape *t = tape_new(DTYPE_F32);
    (void)state;
    struct tensor *flat = op_reshape(t, op_reshape2(t, &w, 1, -1), 1, (int64_t[]){6});
    assert_ptr_equal(flat->data, data);
    assert_int_equal(flat->dim[0], 6);
    struct tensor *x = tape_input(t, DTYPE_F32, "x", 2, (int64_t[]){4, 6});
    struct tensor *y = op_add(t, op_reshape3(t, x, 2, 2, -1), flat);
    assert_null(
        tape_record(t, &(struct op){.kind = OP_SILU, .src = {y}}, DTYPE_F32, 1, (int64_t[]){24})
            ->base);
    struct tensor *seen = tape_keep(t, op_reshape4(t, op_reshape2(t, y, 24, 1), 1, 2, -1, 3));
    assert_true(y->kept);
    assert_ok(tape_plan(t, &e), e);
    assert_ptr_equal(seen->data, y->data);
    assert_int_equal(seen->dim[2], 4);
    assert_int_equal(w.first_op, 0); /* weights are not touched */
    assert_int_equal(w.last_op, 0);
    tape_free(t);
}

static int count_to_three(const struct op *op, void *ctx)
{
    (void)op;
    return ++*(int *)ctx == 3 ? ERR_CANCELLED : 0;
}

static void test_observer_stops(void **state)
{
    struct err e = {0};
    struct tape *t = tape_new(DTYPE_F32);
    struct tensor *x = tape_input(t, DTYPE_F32, "x", 1, (int64_t[]){4});
    int n = 0;
    (void)state;
    tape_push(t, "unet");
    for (int i = 0; i < 9; i++) {
        tape_push(t, "layer.%d", i);
        x = tape_result(t, op_silu(t, x));
        tape_pop(t);
    }
    tape_pop(t);
    assert_ok(tape_plan(t, &e), e);
    memset(tape_op(t, 0)->src[0]->data, 0, 16);
    tape_observe(t, count_to_three, &n);
    assert_int_equal(tape_run(t, &mix, &e), ERR_CANCELLED);
    assert_err(e, ERR_CANCELLED, "unet.layer.2");
    assert_int_equal(n, 3);
    tape_observe(t, NULL, NULL);
    e = (struct err){0};
    assert_ok(tape_run(t, &mix, &e), e);
    tape_free(t);
}

static void test_backend_failure(void **state)
{
    struct backend broken = {.name = "broken", .run = fail_run};
    struct err e = {0};
    struct tape *t = tape_new(DTYPE_F32);
    (void)state;
    tape_push(t, "vae.%s", "decoder");
    op_silu(t, tape_input(t, DTYPE_F32, "x", 1, (int64_t[]){4}));
    assert_ok(tape_plan(t, &e), e);
    assert_int_equal(tape_run(t, &broken, &e), ERR_NOMEM);
    assert_err(e, ERR_NOMEM, "vae.decoder/silu: out of dice");
    tape_free(t);
}

/* What only constants determine is computed once after each plan, and nothing overwrites it. */
static void test_constants(void **state)
{
    struct backend counting = {.name = "count", .run = count_run};
    struct err e = {0};
    const int64_t dim[] = {4, 8};
    unsigned char results[2][3][4 * 8 * sizeof(float)];
    (void)state;
    for (int constant = 0; constant < 2; constant++) {
        struct tape *t = tape_new(DTYPE_F32);
        struct tensor *x = tape_input(t, DTYPE_F32, "x", 2, dim);
        struct tensor *c = (constant ? tape_constant : tape_input)(t, DTYPE_F32, "context", 2, dim);
        struct tensor *k = op_silu(t, op_gelu(t, c)); /* two ops that run once */
        x = op_gelu(t, op_silu(t, x));
        struct tensor *y = tape_keep(t, op_add(t, op_add(t, x, k), op_reshape(t, k, 2, dim)));
        for (int plan = 0; plan < 2; plan++) {
            assert_ok(tape_plan(t, &e), e);
            memset(c->data, 7 + plan, tensor_size(c));
            for (int run = 0; run < 3; run++) {
                struct tensor *in = tape_op(t, 2)->src[0];
                n_run = 0;
                memset(in->data, run, tensor_size(in));
                assert_ok(tape_run(t, &counting, &e), e);
                assert_int_equal(n_run, constant && run ? 4 : 6);
                memcpy(results[constant][run], y->data, tensor_size(y));
            }
            tape_unplan(t);
        }
        tape_free(t);
    }
    assert_memory_equal(results[0], results[1], sizeof(results[0]));
}

static void test_scopes(void **state)
{
    struct tape *t = tape_new(DTYPE_BF16);
    struct tensor *x = tape_input(t, DTYPE_F32, "latent", 1, (int64_t[]){4});
    (void)state;
    assert_int_equal(tape_type(t), DTYPE_BF16);
    assert_string_equal(x->name, "latent");
    assert_string_equal(op_silu(t, x)->name, "/silu");
    tape_push(t, "down_blocks.%d", 0);
    tape_push(t, "resnets.%d", 1);
    struct tensor *y = op_silu(t, x);
    assert_string_equal(y->name, "down_blocks.0.resnets.1/silu");
    assert_int_equal(y->type, DTYPE_F32); /* the input's, not the tape's */
    assert_int_equal(op_cast(t, y, DTYPE_BF16)->type, DTYPE_BF16);
    assert_string_equal(tape_result(t, y)->name, "down_blocks.0.resnets.1");
    tape_pop(t);
    assert_string_equal(op_relu(t, x)->name, "down_blocks.0/relu");
    tape_pop(t);
    tape_free(t);
}

/* A long scope is cut, not overrun. */
static void test_deep_scopes(void **state)
{
    char part[201];
    struct tape *t = tape_new(DTYPE_F32);
    struct tensor *x = tape_input(t, DTYPE_F32, "x", 1, (int64_t[]){4});
    (void)state;
    memset(part, 'a', 200);
    part[200] = '\0';
    for (int i = 0; i < 8; i++)
        tape_push(t, "%s", part);
    assert_true(strlen(op_silu(t, x)->name) < 300);
    for (int i = 0; i < 8; i++)
        tape_pop(t);
    tape_push(t, "b");
    assert_string_equal(op_silu(t, x)->name, "b/silu");
    tape_free(t);
}

/* Operands for the misfits: activations and weights of shapes that do not go together. */
struct parts {
    struct tape *t;
    struct tensor *x2, *x3, *x4, *ids, w2, w4, b3, half;
};

static struct tensor weight(const char *name, enum dtype type, int n_dim, const int64_t *dim)
{
    struct tensor w = {.type = type, .n_dim = n_dim, .dim = {1, 1, 1, 1}, .name = name};
    memcpy(w.dim, dim, (size_t)n_dim * sizeof(*dim));
    return w;
}

static void misfit_linear(struct parts *p)
{
    op_linear(p->t, p->x2, &p->w2, NULL);
}
static void misfit_linear_bias(struct parts *p)
{
    op_linear(p->t, op_reshape2(p->t, p->x2, 5, 4), op_reshape2(p->t, &p->w2, 9, 4), &p->b3);
}
static void misfit_bias_type(struct parts *p)
{
    op_layernorm(p->t, op_reshape2(p->t, p->x4, -1, 3), &p->b3, &p->half, 1e-5f);
}
static void misfit_conv(struct parts *p)
{
    op_conv2d(p->t, p->x4, &p->w4, NULL, (struct conv2d){.stride = 1, .pad = {1, 1, 1, 1}});
}
static void misfit_conv_small(struct parts *p)
{
    op_conv2d(p->t, op_reshape4(p->t, p->x4, 1, 1, 3, 8), &p->w4, NULL,
              (struct conv2d){.stride = 1});
}
/* What lies beyond the other side too. */
static void misfit_conv_wrap(struct parts *p)
{
    op_conv2d(p->t, op_reshape4(p->t, p->x4, 1, 1, 3, 8), &p->w4, NULL,
              (struct conv2d){1, {2, 1, 2, 1}, NULL, WRAP_Y});
}
static void misfit_add(struct parts *p)
{
    op_add(p->t, p->x3, p->x2);
}
static void misfit_residual(struct parts *p)
{
    struct tensor *x = op_reshape4(p->t, p->x4, 1, 1, 3, 8);
    op_conv2d(p->t, x, &p->w4, NULL, (struct conv2d){1, {1, 1, 1, 1}, p->x2, WRAP_NONE});
}
static void misfit_geglu(struct parts *p)
{
    op_geglu(p->t, op_reshape2(p->t, p->x4, 8, 3));
}
static void misfit_groups(struct parts *p)
{
    op_groupnorm(p->t, p->x4, &p->b3, &p->b3, (struct groupnorm){2, 1e-5f, false, NULL});
}
static void misfit_attention(struct parts *p)
{
    op_attention(p->t, p->x3, p->x3, op_reshape3(p->t, p->x3, 2, 2, 5), 2, false);
}
static void misfit_heads(struct parts *p)
{
    op_attention(p->t, p->x3, p->x3, p->x3, 3, false);
}
static void misfit_upsample(struct parts *p)
{
    op_upsample(p->t, p->x3, 4, 4);
}
static void misfit_concat(struct parts *p)
{
    op_concat(p->t, p->x3, op_reshape3(p->t, p->x4, 1, 6, 4));
}
static void misfit_rows(struct parts *p)
{
    op_rows(p->t, &p->w2, p->x2);
}
static void misfit_reshape(struct parts *p)
{
    op_reshape2(p->t, p->x2, 3, -1);
}
static void misfit_reshape_empty(struct parts *p)
{
    op_reshape2(p->t, p->x2, 50, -1);
}
static void misfit_size(struct parts *p)
{
    tape_input(p->t, DTYPE_F32, "huge", 3, (int64_t[]){1 << 30, 1 << 30, 1 << 30});
}
static void misfit_nothing(struct parts *p)
{
    tape_input(p->t, DTYPE_F32, "none", 2, (int64_t[]){4, 0});
}

static const struct {
    void (*record)(struct parts *p);
    const char *text;
} misfits[] = {
    {misfit_linear, "mid.0 (linear): x2 [4, 5] does not fit proj.weight [6, 6]"},
    {misfit_linear_bias, "mid.0 (linear): proj.weight [9, 4] does not fit b3 [3]"},
    {misfit_bias_type, "(layernorm): x4 [8, 3] does not fit half [3]"},
    {misfit_conv, "(conv2d): x4 [1, 4, 2, 3] does not fit conv.weight [2, 8, 3, 3]"},
    {misfit_conv_wrap, "(conv2d): x4 [1, 1, 3, 8] does not fit conv.weight [2, 8, 3, 3]"},
    {misfit_conv_small, "(conv2d): x4 [1, 1, 3, 8] does not fit conv.weight [2, 8, 3, 3]"},
    {misfit_add, "(add): x3 [1, 5, 4] does not fit x2 [4, 5]"},
    {misfit_residual, "(conv2d): mid.0/conv2d [1, 1, 3, 2] does not fit x2 [4, 5]"},
    {misfit_geglu, "(geglu): x4 [8, 3]"},
    {misfit_groups, "(groupnorm): x4 [1, 4, 2, 3]"},
    {misfit_attention, "(attention): x3 [1, 5, 4] does not fit x3 [2, 2, 5]"},
    {misfit_heads, "(attention): x3 [1, 5, 4]"},
    {misfit_upsample, "(upsample): x3 [1, 5, 4]"},
    {misfit_concat, "(concat): x3 [1, 5, 4] does not fit x4 [1, 6, 4]"},
    {misfit_rows, "(rows): x2 [4, 5] does not fit proj.weight [6, 6]"},
    {misfit_reshape, "(reshape): x2 [4, 5] does not fit x2 [3, 6]"},
    {misfit_reshape_empty, "(reshape): no tensor can have the shape [50, 0]"},
    {misfit_size, "no tensor can have the shape [1073741824, 1073741824, 1073741824]"},
    {misfit_nothing, "no tensor can have the shape [4, 0]"},
};

/* The sentence names scope, op, tensors and shapes; later ops on the failed tape do no harm. */
static void test_misfits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(misfits) / sizeof(misfits[0]); i++) {
        struct err e = {0};
        struct parts p = {.t = tape_new(DTYPE_F32)};
        p.x2 = tape_input(p.t, DTYPE_F32, "x2", 2, (int64_t[]){4, 5});
        p.x3 = tape_input(p.t, DTYPE_F32, "x3", 3, (int64_t[]){1, 5, 4});
        p.x4 = tape_input(p.t, DTYPE_F32, "x4", 4, (int64_t[]){1, 4, 2, 3});
        p.ids = tape_input(p.t, DTYPE_I32, "ids", 1, (int64_t[]){3});
        p.w2 = weight("proj.weight", DTYPE_F16, 2, (int64_t[]){6, 6});
        p.w4 = weight("conv.weight", DTYPE_F16, 4, (int64_t[]){2, 8, 3, 3});
        p.b3 = weight("b3", DTYPE_F32, 1, (int64_t[]){3});
        p.half = weight("half", DTYPE_F16, 1, (int64_t[]){3});
        tape_push(p.t, "mid.%d", 0);
        misfits[i].record(&p);
        assert_true(tape_failed(p.t));
        misfit_linear(&p); /* the first failure stays */
        struct tensor *x = op_concat(p.t, op_silu(p.t, p.x2), op_cast(p.t, p.x3, DTYPE_BF16));
        x = tape_keep(p.t, tape_result(p.t, op_rows(p.t, x, op_reshape2(p.t, p.ids, 3, 1))));
        op_scale(p.t, op_geglu(p.t, x), 2, 0);
        assert_int_not_equal(tape_plan(p.t, &e), 0);
        assert_err(e, ERR_FORMAT, misfits[i].text);
        tape_free(p.t);
    }
}

/* Shapes at the limits of what an op takes. */
static void test_units(void **state)
{
    struct err e = {0};
    struct tape *t = tape_new(DTYPE_F32);
    struct tensor *x = tape_input(t, DTYPE_F32, "x", 4, (int64_t[]){1, 1, 1, 1});
    struct tensor w = weight("w", DTYPE_F32, 4, (int64_t[]){1, 1, 1, 1});
    (void)state;
    x = op_conv2d(t, x, &w, NULL, (struct conv2d){.stride = 7});
    assert_int_equal(tensor_n(x), 1);
    x = op_groupnorm(t, x, NULL, NULL, (struct groupnorm){1, 1e-5f, true, NULL});
    x = op_add(t, op_upsample(t, x, 1, 1), op_reshape(t, x, 1, (int64_t[]){1}));
    x = op_reshape3(t, x, 1, 1, 1);
    x = op_attention(t, x, x, x, 1, true);
    x = op_concat(t, x, x);
    assert_int_equal(tensor_n_cols(x), 2);
    assert_int_equal(tensor_n(op_geglu(t, x)), 1);
    assert_ptr_equal(op_cast(t, x, DTYPE_F32), x);
    assert_ok(tape_plan(t, &e), e);
    tape_free(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_random),     cmocka_unit_test(test_plan_chain),
        cmocka_unit_test(test_plan_no_memory),  cmocka_unit_test(test_empty),
        cmocka_unit_test(test_views),           cmocka_unit_test(test_observer_stops),
        cmocka_unit_test(test_backend_failure), cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_deep_scopes),     cmocka_unit_test(test_misfits),
        cmocka_unit_test(test_units),           cmocka_unit_test(test_constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
