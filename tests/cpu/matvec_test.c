/* matvec_test.c - products of 1 to 16 rows with weights of every type, on every kernel table of
 * this machine, against float64 of the dequantised weights.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"
#include "cpu/matvec.h"
#include "tensor/half.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 32 /* of activations rounded with one scale */

static uint64_t mix(uint64_t seed, uint64_t i)
{
    return hash_mix64(seed + (i + 1) * 0x9e3779b97f4a7c15u);
}

static float value(uint64_t seed, int64_t i)
{
    return (float)((double)(mix(seed, (uint64_t)i) >> 40) / (1 << 23) - 1);
}

/* Random blocks: any bytes, but for their scales, which are half floats of about 2^-10 at these
 * offsets or, of MXFP4, an exponent. */
static void random_blocks(enum dtype type, unsigned char *p, int64_t n)
{
    static const int scales[][2] = {
        [DTYPE_Q4_0] = {0, 0},   [DTYPE_Q4_1] = {0, 2},   [DTYPE_Q5_0] = {0, 0},
        [DTYPE_Q5_1] = {0, 2},   [DTYPE_Q8_0] = {0, 0},   [DTYPE_Q2_K] = {80, 82},
        [DTYPE_Q3_K] = {108, 0}, [DTYPE_Q4_K] = {0, 2},   [DTYPE_Q5_K] = {0, 2},
        [DTYPE_Q6_K] = {208, 0}, [DTYPE_IQ4_NL] = {0, 0}, [DTYPE_IQ4_XS] = {0, 0},
    };
    size_t size = dtype_row_size(type, dtype_block(type));
    for (size_t i = 0; i < dtype_row_size(type, n); i++)
        p[i] = (unsigned char)(mix(type, i) >> 20);
    for (int64_t b = 0; b < n / dtype_block(type); b++, p += size) {
        uint16_t d = half_from_f32(value(3, b) / 1024), min = half_from_f32(value(4, b) / 1024);
        if (type == DTYPE_MXFP4) {
            p[0] = (unsigned char)(110 + p[0] % 16);
            continue;
        }
        if (scales[type][1])
            memcpy(p + scales[type][1], &min, sizeof(min));
        memcpy(p + scales[type][0], &d, sizeof(d));
    }
}

/* Operands of x [rows, k] w [n, k]. */
struct operands {
    struct tensor x, w, out, residual;
    float *bias;
    double *want, *slack, *rounding; /* [rows, n]: results, sums of magnitudes, of what rounding of
                                      * activations can do */
};

/* `exact`: activations that rounding to bytes in groups does not change. */
static void product_init(struct operands *p, enum dtype type, int rows, int n, int k, bool exact)
{
    float *x = mem_alloc((size_t)(rows * k) * sizeof(*x));
    float *w = mem_alloc((size_t)(n * k) * sizeof(*w));
    p->x = (struct tensor){.type = DTYPE_F32, .n_dim = 2, .dim = {rows, k, 1, 1}, .data = x};
    p->w = (struct tensor){.type = type, .n_dim = 2, .dim = {n, k, 1, 1}, .name = "w"};
    p->w.data = mem_alloc(dtype_row_size(type, (int64_t)n * k));
    p->out = (struct tensor){.type = DTYPE_F32, .n_dim = 2, .dim = {rows, n, 1, 1}};
    p->residual = p->out;
    p->residual.data = mem_alloc((size_t)(rows * n) * sizeof(float));
    p->bias = mem_alloc((size_t)n * sizeof(float));
    p->want = mem_alloc((size_t)(rows * n) * sizeof(double));
    p->slack = mem_alloc((size_t)(rows * n) * sizeof(double));
    p->rounding = mem_alloc((size_t)(rows * n) * sizeof(double));
    for (int i = 0; i < rows * k; i++) {
        x[i] = value(1, i);
        if (exact)
            x[i] = (float)(i % k % GROUP == 5 ? 127 : (int)(mix(1, (uint64_t)i) % 255) - 127) / 64;
    }
    for (int i = 0; i < n; i++)
        p->bias[i] = value(5, i);
    for (int i = 0; i < rows * n; i++)
        ((float *)p->residual.data)[i] = value(6, i);
    if (dtype_block(type) > 1) {
        random_blocks(type, p->w.data, (int64_t)n * k);
    } else {
        for (int i = 0; i < n * k; i++)
            w[i] = value(7, i);
        quant_from_f32(type, w, p->w.data, (int64_t)n * k);
    }
    quant_to_f32(type, p->w.data, w, (int64_t)n * k);
    for (int i = 0; i < rows * n; i++) {
        const float *a = x + i / n * k, *b = w + i % n * k;
        p->want[i] = (double)p->bias[i % n] + ((float *)p->residual.data)[i];
        p->slack[i] = fabs(p->want[i]);
        for (int g = 0; g < k; g += GROUP) {
            double most = 0, sum = 0;
            for (int j = g; j < g + GROUP && j < k; j++) {
                p->want[i] += (double)a[j] * b[j];
                most = fabsf(a[j]) > most ? fabsf(a[j]) : most;
                sum += fabs(b[j]);
            }
            p->slack[i] += most * sum;
            if (dtype_block(type) > 1 && !exact)
                p->rounding[i] += most / 254 * sum;
        }
    }
    free(w);
}

static void product_release(struct operands *p)
{
    free(p->x.data);
    free(p->w.data);
    free(p->residual.data);
    free(p->bias);
    free(p->want);
    free(p->slack);
    free(p->rounding);
}

static void run(const struct operands *p, struct backend *b, float *out)
{
    struct tensor y = p->out;
    struct err e = {0};
    const struct matmul m = {
        .x = &p->x, .w = &p->w, .out = &y, .bias = p->bias, .residual = &p->residual, .fast = true};
    y.data = out;
    assert_true(cpu_matvec_fits((struct cpu *)b, &m));
    assert_ok(cpu_matmul((struct cpu *)b, &m, &e), e);
}

static void check(const struct operands *p, const float *out, const char *backend)
{
    for (int i = 0; i < (int)tensor_n(&p->out); i++) {
        double tolerance = p->rounding[i] + 1e-5 * p->slack[i];
        if (!(fabs(out[i] - p->want[i]) <= tolerance))
            fail_msg("%s, %s, %d rows of %d: element %d is %g, not %g (+- %g)", backend,
                     dtype_name(p->w.type), (int)p->x.dim[0], (int)p->x.dim[1], i, (double)out[i],
                     p->want[i], tolerance);
    }
}

static void check_product(enum dtype type, int rows, int n, int k, bool exact)
{
    struct operands p;
    product_init(&p, type, rows, n, k, exact);
    float *one = mem_alloc(tensor_size(&p.out)), *more = mem_alloc(tensor_size(&p.out));
    for (int i = 0; kernels_at(i); i++)
        for (int threads = 1; threads <= 3; threads += 2) {
            struct backend *b;
            struct err e = {0};
            assert_ok(cpu_backend_new(&b, threads, kernels_at(i)->name, &e), e);
            run(&p, b, threads == 1 ? one : more);
            check(&p, one, b->name);
            if (threads > 1)
                assert_memory_equal(one, more, tensor_size(&p.out));
            backend_free(b);
        }
    free(one);
    free(more);
    product_release(&p);
}

static void test_every_type(void **state)
{
    static const int rows[] = {1, 2, 3, 4, 5, 8, 9, 16};
    (void)state;
    for (int type = 0; dtype_is_float((enum dtype)type); type++) {
        int block = dtype_block((enum dtype)type);
        for (int i = 0; i < 8; i++)
            check_product((enum dtype)type, rows[i], 7, block == 1 ? 131 : 3 * block, true);
        check_product((enum dtype)type, 1, 301, block == 1 ? 67 : 512 + block, false);
        check_product((enum dtype)type, 6, 70, block == 1 ? 67 : 512 + block, false);
    }
}

/* Other rows of a batch change a result only as far as f32 sums go. */
static void test_batch_equals_single(void **state)
{
    struct operands p;
    struct backend *b;
    struct err e = {0};
    float all[16 * 33], single[33];
    (void)state;
    assert_ok(cpu_backend_new(&b, 2, NULL, &e), e);
    product_init(&p, DTYPE_Q4_K, 16, 33, 512, false);
    run(&p, b, all);
    for (int row = 0; row < 16; row++) {
        struct operands q = p;
        q.x.dim[0] = q.out.dim[0] = q.residual.dim[0] = 1;
        q.x.data = (float *)p.x.data + (ptrdiff_t)row * 512;
        q.residual.data = (float *)p.residual.data + (ptrdiff_t)row * 33;
        run(&q, b, single);
        for (int i = 0; i < 33; i++)
            assert_true(fabsf(single[i] - all[row * 33 + i]) <= 1e-5 * p.slack[row * 33 + i]);
    }
    product_release(&p);
    backend_free(b);
}

/* A NaN in a row of activations makes that row NaN and no other. */
static void test_nan(void **state)
{
    (void)state;
    for (int i = 0; kernels_at(i); i++) {
        struct operands p;
        struct backend *b;
        struct err e = {0};
        float out[3 * 5];
        assert_ok(cpu_backend_new(&b, 1, kernels_at(i)->name, &e), e);
        product_init(&p, DTYPE_Q8_0, 3, 5, 64, true);
        ((float *)p.x.data)[64 + 7] = NAN;
        run(&p, b, out);
        for (int j = 0; j < 15; j++)
            assert_int_equal(isnan(out[j]) != 0, j / 5 == 1);
        product_release(&p);
        backend_free(b);
    }
}

/* Rows of x can be chosen, as for the tokens of an expert; what has no fast product is refused. */
static void test_rows(void **state)
{
    static const int32_t rows[] = {3, 0};
    struct operands p;
    struct backend *b;
    struct err e = {0};
    float all[4 * 6], some[2 * 6];
    (void)state;
    assert_ok(cpu_backend_new(&b, 1, NULL, &e), e);
    product_init(&p, DTYPE_Q6_K, 4, 6, 256, true);
    struct tensor y = {.type = DTYPE_F32, .n_dim = 2, .dim = {4, 6, 1, 1}, .data = all};
    struct matmul m = {.x = &p.x, .w = &p.w, .out = &y, .fast = true};
    assert_ok(cpu_matmul((struct cpu *)b, &m, &e), e);
    y.dim[0] = 2;
    y.data = some;
    m.rows = rows;
    assert_ok(cpu_matmul((struct cpu *)b, &m, &e), e);
    for (int i = 0; i < 6; i++) {
        assert_float_equal(some[i], all[18 + i], 1e-4);
        assert_float_equal(some[6 + i], all[i], 1e-4);
    }
    m.fast = false;
    assert_false(cpu_matvec_fits((struct cpu *)b, &m));
    m.fast = true;
    y.dim[0] = 17;
    assert_false(cpu_matvec_fits((struct cpu *)b, &m));
    product_release(&p);
    backend_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_batch_equals_single),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
