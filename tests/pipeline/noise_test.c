/* noise_test.c - noise of a picture: order, continuation, names. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/noise.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { H = 3, W = 5, C = 4, N = H * W * C };

/* Values are drawn as [c, h, w] and stored as [h, w, c], and the next fill continues the stream. */
static void drawn_channels_first(void **state)
{
    (void)state;
    for (int kind = 0; kind < N_NOISE; kind++) {
        struct err e = {0};
        struct noise noise;
        struct rng_philox philox;
        struct rng_mt19937 mt19937;
        float got[N], want[N];
        const struct noise_options o = {
            .kind = (enum noise_kind)kind, .seed = 1234567890123u, .h = H, .w = W, .c = C};
        assert_ok(noise_init(&noise, &o, &e), e);
        assert_int_equal(noise_size(&noise), N);
        rng_philox_init(&philox, o.seed);
        rng_mt19937_init(&mt19937, o.seed);
        for (int call = 0; call < 3; call++) {
            noise_fill(&noise, got);
            if (kind == NOISE_PHILOX)
                rng_philox_normal(&philox, want, N);
            else
                rng_mt19937_normal(&mt19937, want, N);
            for (int p = 0; p < H * W; p++)
                for (int c = 0; c < C; c++)
                    assert_true(got[p * C + c] == want[c * H * W + p]);
        }
        noise_release(&noise);
    }
}

/* A1111's formula in single precision (tools/reference/samplers.py); the noise behind the first is
 * that of the first seed alone. */
static void variations_equal_reference(void **state)
{
    (void)state;
    char *path = test_data("samplers/variation.json");
    json_t *root = json_load_file(path, 0, NULL), *rows = json_object_get(root, "rows"), *row, *v;
    const json_t *shape = json_object_get(root, "shape");
    int side[3];
    for (size_t i = 0; i < 3; i++)
        side[i] = (int)json_integer_value(json_array_get(shape, i));
    size_t k, i;
    assert_int_equal(json_array_size(rows), 5);
    json_array_foreach(rows, k, row)
    {
        struct err e = {0};
        struct noise noise, alone;
        float got[256], next[256], want[256];
        struct noise_options o = {
            .kind = NOISE_MT19937,
            .seed = (uint64_t)json_integer_value(json_object_get(row, "seed")),
            .h = side[0],
            .w = side[1],
            .c = side[2]};
        assert_ok(noise_init(&alone, &o, &e), e);
        o.variation = (uint64_t)json_integer_value(json_object_get(row, "variation"));
        o.strength = json_number_value(json_object_get(row, "strength"));
        assert_ok(noise_init(&noise, &o, &e), e);
        noise_fill(&noise, got);
        noise_fill(&noise, next);
        json_array_foreach(json_object_get(row, "noise"), i, v)
        {
            if (fabs(got[i] - json_number_value(v)) > 1e-5)
                fail_msg("row %zu, value %zu is %.7g, should be %.7g", k, i, got[i],
                         json_number_value(v));
        }
        assert_int_equal(i, noise_size(&noise));
        noise_fill(&alone, want);
        assert_true(o.strength > 0 || !memcmp(got, want, noise_size(&alone) * sizeof *got));
        noise_fill(&alone, want);
        assert_memory_equal(next, want, noise_size(&alone) * sizeof *next);
        noise_release(&noise);
        noise_release(&alone);
    }
    json_decref(root);
    free(path);
}

static void names(void **state)
{
    (void)state;
    struct err e = {0};
    enum noise_kind kind;
    for (int k = 0; k < N_NOISE; k++) {
        assert_ok(noise_kind_parse(noise_kind_name((enum noise_kind)k), &kind, &e), e);
        assert_int_equal(kind, k);
    }
    assert_ok(noise_kind_parse("CPU", &kind, &e), e);
    assert_int_equal(kind, NOISE_MT19937);
    assert_ok(noise_kind_parse("NV", &kind, &e), e);
    assert_int_equal(kind, NOISE_PHILOX);
    assert_int_equal(noise_kind_parse("pcg", &kind, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "\"pcg\" is unknown");
}

static void no_memory(void **state)
{
    (void)state;
    struct err e = {0};
    struct noise noise;
    const struct noise_options o = {
        .seed = 1, .h = H, .w = W, .c = C, .variation = 2, .strength = 0.5};
    for (int nth = 1; nth <= 2; nth++) {
        mem_fail_nth(nth);
        assert_int_equal(noise_init(&noise, &o, &e), ERR_NOMEM);
        assert_err(e, ERR_NOMEM, "the noise");
        mem_fail_nth(0);
        noise_release(&noise);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawn_channels_first),
        cmocka_unit_test(variations_equal_reference),
        cmocka_unit_test(names),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
