/* gemm_test.c - what other ops of the backend ask of cpu_matmul(); linear layers and convolutions
 * are in ops_test.c. */
#include "support/test.h"

#include "base/err.h"
#include "base/hash.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"
#include "cpu/matmul.h"
#include "tensor/quant.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

enum { TOKENS = 9, N = 35, CHANNELS = 64, PICKED = 21 };

/* Rows picked by index are those rows: the same bits as for a copy of them. */
static void check_rows(struct backend *b, enum dtype type, bool fast)
{
    static float x[TOKENS][CHANNELS], copy[PICKED][CHANNELS], w[N][CHANNELS];
    static float got[PICKED][N], expected[PICKED][N];
    static unsigned char weights[sizeof(w)];
    int32_t rows[PICKED];
    struct err e = {0};
    for (int i = 0; i < TOKENS; i++)
        for (int j = 0; j < CHANNELS; j++)
            x[i][j] = (float)((i * 37 + j * 11) % 41 - 20) / 16.0f;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < CHANNELS; j++)
            w[i][j] = (float)((i * 23 + j * 7) % 31 - 15) / 8.0f;
    for (int i = 0; i < PICKED; i++) {
        rows[i] = i * 5 % TOKENS;
        memcpy(copy[i], x[rows[i]], sizeof(copy[i]));
    }
    quant_from_f32(type, w[0], weights, N * CHANNELS);
    struct tensor tx = {.type = DTYPE_F32, .n_dim = 2, .dim = {TOKENS, CHANNELS, 1, 1}, .data = x};
    struct tensor tw = {.type = type, .n_dim = 2, .dim = {N, CHANNELS, 1, 1}, .data = weights};
    struct tensor out = {.type = DTYPE_F32, .n_dim = 2, .dim = {PICKED, N, 1, 1}, .data = got};
    struct matmul m = {.x = &tx, .w = &tw, .out = &out, .rows = rows, .fast = fast};
    assert_ok(cpu_matmul((struct cpu *)b, &m, &e), e);
    tx.dim[0] = PICKED;
    tx.data = copy;
    out.data = expected;
    m.rows = NULL;
    assert_ok(cpu_matmul((struct cpu *)b, &m, &e), e);
    assert_memory_equal(got, expected, sizeof(got));
}

static void test_rows(void **state)
{
    (void)state;
    for (int i = 0; kernels_at(i); i++) {
        struct backend *b;
        struct err e = {0};
        assert_ok(cpu_backend_new(&b, 2, kernels_at(i)->name, &e), e);
        for (int fast = 0; fast < 2; fast++) {
            check_rows(b, DTYPE_F32, fast);
            check_rows(b, DTYPE_BF16, fast);
            check_rows(b, DTYPE_Q8_0, fast);
        }
        backend_free(b);
    }
}

/* About normal, of standard deviation 1. */
static float noise(uint64_t i)
{
    uint64_t h = hash_mix64(i * 0x9e3779b97f4a7c15u + 1);
    float sum = 0;
    for (int k = 0; k < 4; k++)
        sum += (float)(h >> 16 * k & 0xffff) / 65536.0f - 0.5f;
    return sum * 1.7320508f;
}

enum { ROWS = 24, WIDE = 512, COLUMNS = 70 };

/* The error that rounding activations adds to a product, relative to the root mean square of what
 * the unrounded ones give. */
static double rounding(struct backend *b, enum dtype type)
{
    static float x[ROWS * WIDE], w[COLUMNS * WIDE], exact[ROWS * COLUMNS], fast[ROWS * COLUMNS];
    static unsigned char weights[sizeof(w)];
    struct err e = {0};
    double error = 0, size = 0;
    for (int i = 0; i < ROWS * WIDE; i++)
        x[i] = noise((uint64_t)i);
    for (int i = 0; i < COLUMNS * WIDE; i++)
        w[i] = noise((uint64_t)i + 1000000);
    quant_from_f32(type, w, weights, COLUMNS * WIDE);
    struct tensor tx = {.type = DTYPE_F32, .n_dim = 2, .dim = {ROWS, WIDE, 1, 1}, .data = x};
    struct tensor tw = {.type = type, .n_dim = 2, .dim = {COLUMNS, WIDE, 1, 1}, .data = weights};
    struct tensor out = {
        .type = DTYPE_F32, .n_dim = 2, .dim = {ROWS, COLUMNS, 1, 1}, .data = exact};
    struct matmul m = {.x = &tx, .w = &tw, .out = &out};
    assert_ok(cpu_matmul((struct cpu *)b, &m, &e), e);
    out.data = fast;
    m.fast = true;
    assert_ok(cpu_matmul((struct cpu *)b, &m, &e), e);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        double d = (double)fast[i] - (double)exact[i];
        error += d * d;
        size += (double)exact[i] * (double)exact[i];
    }
    return sqrt(error / size);
}

/* The largest of 32 normal numbers is about 2.1 deviations, of which blocks of int8 keep steps of a
 * 127th: their error is uniform, 2.1 / 127 / sqrt 12 = 0.48 % of a deviation; bf16 errs by less. */
static void test_rounding(void **state)
{
    (void)state;
    for (int i = 0; kernels_at(i); i++) {
        struct backend *b;
        struct err e = {0};
        assert_ok(cpu_backend_new(&b, 1, kernels_at(i)->name, &e), e);
        for (enum dtype type = 0; dtype_is_float(type); type++) {
            double r = rounding(b, type);
            if (!(r < 0.006))
                fail_msg("%s, %s: the error is %.4f", kernels_at(i)->name, dtype_name(type), r);
        }
        backend_free(b);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
