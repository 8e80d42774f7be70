/* quant_test.c - every half exactly, rounding at every midpoint, Q8_0 and the 16-bit types bit for
 * bit as the `gguf` Python package and NumPy give them. */
#include "support/test.h"

#include "base/hash.h"
#include "base/mem.h"
#include "support/hash_weights.h"
#include "tensor/half.h"
#include "tensor/quant.h"

#include <math.h>
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
        cmocka_unit_test(types_have_names_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
