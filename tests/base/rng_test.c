/* rng_test.c - both generators against torch and the CUDA emulation (tools/reference/samplers.py).
 */
#include "support/test.h"

#include "base/rng.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* The numbers that AUTOMATIC1111's rng_philox.py documents for seed 0: a GPU's, whose single
 * precision sines differ from what that file computes by up to 2.7e-7. */
static void philox_known_values(void **state)
{
    static const float want[12] = {-0.92466259f, -0.42534415f, -2.6438457f,  0.14518388f,
                                   -0.12086647f, -0.57972564f, -0.62285122f, -0.32838709f,
                                   -1.07454231f, -0.36314407f, -1.67105067f, 2.26550497f};
    (void)state;
    struct rng_philox r;
    float got[12];
    rng_philox_init(&r, 0);
    rng_philox_normal(&r, got, 12);
    for (int i = 0; i < 12; i++)
        assert_float_equal(got[i], want[i], 3e-7);
}

/* The authors' check: the 10,000th word of seed 5489 (also in the C++ standard, [rand.predef]). */
static void mt19937_known_word(void **state)
{
    (void)state;
    struct rng_mt19937 r;
    rng_mt19937_init(&r, 5489);
    for (int i = 0; i < 9999; i++)
        rng_mt19937_u32(&r);
    assert_int_equal(rng_mt19937_u32(&r), 4123659995u);
}

/* One stream of several draws, each compared where the reference was sampled. */
static void compare_stream(json_t *stream, bool cuda, double tolerance)
{
    struct rng_philox philox;
    struct rng_mt19937 mt19937;
    const char *seed_text = json_string_value(json_object_get(stream, "seed"));
    uint64_t seed = strtoull(seed_text, NULL, 10);
    size_t k;
    json_t *draw;
    rng_philox_init(&philox, seed);
    rng_mt19937_init(&mt19937, seed);
    json_array_foreach(json_object_get(stream, "draws"), k, draw)
    {
        size_t n = (size_t)json_integer_value(json_object_get(draw, "n"));
        json_t *at = json_object_get(draw, "at"), *values = json_object_get(draw, "values");
        float *got = calloc(n, sizeof *got);
        assert_non_null(got);
        if (cuda)
            rng_philox_normal(&philox, got, n);
        else
            rng_mt19937_normal(&mt19937, got, n);
        assert_true(json_array_size(at) > 0);
        for (size_t i = 0; i < json_array_size(at); i++) {
            size_t where = (size_t)json_integer_value(json_array_get(at, i));
            double want = json_number_value(json_array_get(values, i));
            if (!(fabs(got[where] - want) <= tolerance))
                fail_msg("seed %s, draw %zu of %zu values: value %zu is %.9g, should be %.9g",
                         seed_text, k, n, where, got[where], want);
        }
        free(got);
    }
}

static void compare_file(const char *key, bool cuda, double tolerance)
{
    char *path = test_data("samplers/noise.json");
    json_t *root = json_load_file(path, 0, NULL), *streams = json_object_get(root, key), *stream;
    size_t i;
    assert_true(json_array_size(streams) >= 4);
    json_array_foreach(streams, i, stream)
    {
        compare_stream(stream, cuda, tolerance);
    }
    json_decref(root);
    free(path);
}

static void philox_equals_cuda_emulation(void **state)
{
    (void)state;
    compare_file("philox", true, 3e-7); /* one unit in the last place */
}

static void mt19937_equals_torch(void **state)
{
    (void)state;
    compare_file("mt19937", false, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_values),
        cmocka_unit_test(mt19937_known_word),
        cmocka_unit_test(philox_equals_cuda_emulation),
        cmocka_unit_test(mt19937_equals_torch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
