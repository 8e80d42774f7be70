/* quant_test.c - every half exactly, rounding at every midpoint, Q8_0 and the 16-bit types bit for
 * bit as the `gguf` Python package and NumPy give them. */
#include "support/test.h"

#include "base/hash.h"
#include "base/mem.h"
#include "support/hash_weights.h"
#include "tensor/half.h"
#include "tensor/quant.h"
#include "tensor/quantise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of a half by its definition. */
static double half_value(unsigned h)
{
    int exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    double v = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return h & 0x8000 ? -v : v;
}

static void every_half_is_exact(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x10000; h++) {
        float x = half_to_f32((uint16_t)h);
        if ((h & 0x7c00) == 0x7c00) {
            assert_true(h & 0x3ff ? isnan(x) : isinf(x));
            assert_int_equal(signbit(x) != 0, h >> 15);
            assert_int_equal(half_from_f32(x), h & 0x3ff ? h | 0x200 : h);
            continue;
        }
        assert_true((double)x == half_value(h));
        assert_int_equal(half_from_f32(x), h);
    }
}

/* Between neighbours the nearer one, at the midpoint the even one. */
static void halves_round_to_even(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x7c00; h++) {
        double next = h == 0x7bff ? 65536 : half_value(h + 1);
        float mid = (float)((half_value(h) + next) / 2);
        assert_int_equal(half_from_f32(mid), h + (h & 1));
        assert_int_equal(half_from_f32(nextafterf(mid, 0)), h);
        assert_int_equal(half_from_f32(nextafterf(mid, INFINITY)), h + 1);
        assert_int_equal(half_from_f32(-mid), 0x8000 | (h + (h & 1)));
    }
    assert_int_equal(half_from_f32(1e30f), 0x7c00);
    assert_int_equal(half_from_f32(1e-40f), 0);
}

static void bf16_rounds_to_even_and_keeps_nan(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 0x7f80; b++) {
        float x = bf16_to_f32((uint16_t)b);
        assert_int_equal(half_bits(x), b << 16);
        assert_int_equal(bf16_from_f32(x), b);
        assert_int_equal(bf16_from_f32(half_float(b << 16 | 0x8000)), b + (b & 1));
        assert_int_equal(bf16_from_f32(half_float(b << 16 | 0x7fff)), b);
        assert_int_equal(bf16_from_f32(half_float(b << 16 | 0x8001)), b + 1);
    }
    assert_int_equal(bf16_from_f32(half_float(0x7f800001)), 0x7fc0); /* not infinity */
    assert_int_equal(bf16_from_f32(half_float(0xffffffff)), 0xffff);
    assert_int_equal(bf16_from_f32(-INFINITY), 0xff80);
}

#define ROWS 256
#define N    (ROWS * 32)

/* The hashes come from gguf.quants.quantize() and dequantize() of the same input. */
static void types_equal_the_reference(void **state)
{
    static const struct {
        enum dtype type;
        uint64_t hash;
    } rows[] = {{DTYPE_Q8_0, 0x72ff47315a2c35d0},
                {DTYPE_BF16, 0xe8b4929d0e0c76cf},
                {DTYPE_F16, 0x743b426d77f9d513}};
    struct hash_stream s = {.seed = hash_fnv1a("quant", 5), .scale = 1};
    float *x = mem_alloc(N * sizeof(*x)), *back = mem_alloc(N * sizeof(*back));
    unsigned char *bytes = mem_alloc(N * 4 + 1);
    (void)state;
    for (int i = 0; i < N; i++) /* rows of very different size; the fourth is zero */
        x[i] = i / 32 == 3 ? 0 : (float)(hash_stream_at(&s, i) * ldexp(1, i / 32 % 40 - 30));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        quant_from_f32(rows[i].type, x, bytes + 1, N); /* unaligned */
        uint64_t hash = hash_fnv1a(bytes + 1, dtype_row_size(rows[i].type, N));
        if (hash != rows[i].hash)
            fail_msg("%s: hash %llx", dtype_name(rows[i].type), (unsigned long long)hash);
        quant_to_f32(rows[i].type, bytes + 1, back, N);
        if (rows[i].type == DTYPE_Q8_0)
            assert_true(hash_fnv1a(back, N * 4) == 0xb571d809d0a78798);
    }
    quant_from_f32(DTYPE_F32, x, bytes + 1, N);
    quant_to_f32(DTYPE_F32, bytes + 1, back, N);
    assert_memory_equal(x, back, N * 4);
    free(x);
    free(back);
    free(bytes);
}

/* The hashes and errors come from tools/reference/quant.py. */
static const struct {
    enum dtype type;
    int half[2]; /* where the block has its F16 fields; -1: nowhere */
    uint64_t hash;
    double most; /* ggml's error of quantising */
} blocks[] = {
    {DTYPE_Q4_0, {0, 0}, 0x4a55ea9ee232e9a8, 0.093453},
    {DTYPE_Q4_1, {0, 2}, 0xd4f9d3e7647c7310, 0.087565},
    {DTYPE_Q5_0, {0, 0}, 0x0296d9ef9b116c04, 0.046497},
    {DTYPE_Q5_1, {0, 2}, 0xc3ca17670de8f7da, 0.042367},
    {DTYPE_Q8_0, {0, 0}, 0xacab93f67a668e3a, 0.005834},
    {DTYPE_Q2_K, {80, 82}, 0x6c2b3775b3a07f1e, 0.334095},
    {DTYPE_Q3_K, {108, 108}, 0x27e5cbc00e99d515, 0.167508},
    {DTYPE_Q4_K, {0, 2}, 0x9a6b9b49e4f19e0f, 0.079451},
    {DTYPE_Q5_K, {0, 2}, 0xc9ffc3f43ca8774b, 0.040245},
    {DTYPE_Q6_K, {208, 208}, 0x0b9e5f1cf756b5a0, 0.019741},
    {DTYPE_IQ4_NL, {0, 0}, 0x8fd2b187b5f9769a, 0.084958},
    {DTYPE_IQ4_XS, {0, 0}, 0xf82c67235f8ab4b0, 0.085459},
    {DTYPE_MXFP4, {-1, -1}, 0x5ef62e337cbd3fa3, 0.129195},
};

#define N_BLOCK_TYPES (sizeof(blocks) / sizeof(blocks[0]))

static struct hash_stream stream(const char *fmt, const char *text)
{
    char name[64];
    snprintf(name, sizeof(name), fmt, text);
    return (struct hash_stream){.seed = hash_fnv1a(name, strlen(name)), .scale = 1};
}

static void any_block_is_read_as_the_reference_reads_it(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_BLOCK_TYPES; k++) {
        enum dtype type = blocks[k].type;
        int n = 64 * dtype_block(type), size = (int)dtype_row_size(type, dtype_block(type));
        struct hash_stream s = stream("blocks.%s", dtype_name(type));
        unsigned char *raw = mem_alloc((size_t)(64 * size) + 1);
        float *x = mem_alloc((size_t)n * sizeof(*x));
        for (int i = 0; i < 64 * size; i++)
            raw[1 + i] = (unsigned char)((hash_stream_at(&s, (uint64_t)i) + 1) * 128);
        for (int b = 0; b < 64; b++)
            for (int h = 0; h < 2; h++)
                if (blocks[k].half[h] >= 0)
                    raw[1 + b * size + blocks[k].half[h] + 1] &= 0xbf;
        quant_to_f32(type, raw + 1, x, n); /* unaligned */
        uint64_t hash = hash_fnv1a(x, (size_t)n * sizeof(*x));
        if (hash != blocks[k].hash)
            fail_msg("%s: hash %llx", dtype_name(type), (unsigned long long)hash);
        free(raw);
        free(x);
    }
}

static double bell(int i)
{
    static const char *const names[] = {"0", "1", "2", "3"};
    double sum = 0;
    for (int k = 0; k < 4; k++) {
        struct hash_stream s = stream("bell.%s", names[k]);
        sum += hash_stream_at(&s, (uint64_t)i);
    }
    return sum;
}

/* Bell-shaped values lose no more than with the reference's quantisers; zeros stay zeros. */
static void quantised_values_stay_close(void **state)
{
    enum { COUNT = 1 << 14 };
    float *x = mem_alloc(COUNT * sizeof(*x)), *y = mem_alloc(COUNT * sizeof(*y));
    unsigned char *bytes = mem_alloc(COUNT * 2);
    (void)state;
    for (size_t k = 0; k < N_BLOCK_TYPES; k++) {
        enum dtype type = blocks[k].type;
        double sum = 0;
        assert_true(quantise_can(type));
        for (int i = 0; i < COUNT; i++)
            x[i] = (float)bell(i);
        quant_from_f32(type, x, bytes, COUNT);
        quant_to_f32(type, bytes, y, COUNT);
        for (int i = 0; i < COUNT; i++)
            sum += pow((double)x[i] - (double)y[i], 2);
        if (!(sqrt(sum / COUNT) <= blocks[k].most))
            fail_msg("%s: rms %.6f", dtype_name(type), sqrt(sum / COUNT));
        memset(x, 0, 256 * sizeof(*x));
        quant_from_f32(type, x, bytes, 256);
        quant_to_f32(type, bytes, y, 256);
        for (int i = 0; i < 256; i++)
            assert_true(y[i] == 0);
    }
    free(x);
    free(y);
    free(bytes);
}

/* One sign, one value, NaN and infinity: nothing leaves the block's range or crashes. */
static void odd_blocks_are_quantised(void **state)
{
    float x[256], y[256];
    unsigned char bytes[1024];
    (void)state;
    for (size_t k = 0; k < N_BLOCK_TYPES; k++) {
        enum dtype type = blocks[k].type;
        for (int sign = -1; sign <= 1; sign += 2) {
            for (int i = 0; i < 256; i++)
                x[i] = (float)sign * (3 + (float)(i % 16) / 64);
            quant_from_f32(type, x, bytes, 256);
            quant_to_f32(type, bytes, y, 256);
            for (int i = 0; i < 256; i++) /* within a step of the coarsest scale, max / 7 */
                assert_true(fabsf(x[i] - y[i]) < 3.5f / 7);
        }
        x[3] = NAN;
        x[40] = INFINITY;
        quant_from_f32(type, x, bytes, 256);
    }
}

static void types_have_names_and_sizes(void **state)
{
    (void)state;
    assert_string_equal(dtype_name(DTYPE_Q8_0), "q8_0");
    assert_string_equal(dtype_name((enum dtype)77), "other");
    assert_int_equal(dtype_row_size(DTYPE_Q8_0, 64), 68);
    assert_int_equal(dtype_row_size(DTYPE_OTHER, 64), 0);
    assert_int_equal(dtype_from_name("bf16"), DTYPE_BF16);
    assert_int_equal(dtype_from_name("f64"), DTYPE_OTHER);
    assert_int_equal(dtype_from_ggml(8), DTYPE_Q8_0);
    assert_int_equal(dtype_from_ggml(UINT32_MAX), DTYPE_OTHER);
    assert_int_equal(dtype_from_safetensors("F16"), DTYPE_F16);
    assert_int_equal(dtype_from_safetensors("f16"), DTYPE_OTHER);
    assert_int_equal(dtype_from_ggml(12), DTYPE_Q4_K);
    assert_int_equal(dtype_row_size(DTYPE_Q6_K, 512), 420);
    assert_true(dtype_is_float(DTYPE_Q6_K) && !dtype_is_float(DTYPE_I32));
    assert_null(dtype_safetensors(DTYPE_Q8_0));
    assert_int_equal(dtype_ggml(DTYPE_BF16), 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_exact),
        cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(bf16_rounds_to_even_and_keeps_nan),
        cmocka_unit_test(types_equal_the_reference),
        cmocka_unit_test(any_block_is_read_as_the_reference_reads_it),
        cmocka_unit_test(quantised_values_stay_close),
        cmocka_unit_test(odd_blocks_are_quantised),
        cmocka_unit_test(types_have_names_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
