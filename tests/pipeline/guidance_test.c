/* guidance_test.c - guidance and its rescaling against diffusers (tools/reference/samplers.py). */
#include "support/test.h"

#include "pipeline/guidance.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N 16

static void read_values(const json_t *list, float *v)
{
    assert_int_equal(json_array_size(list), N);
    for (size_t i = 0; i < N; i++)
        v[i] = (float)json_number_value(json_array_get(list, i));
}

static void equals_diffusers(void **state)
{
    (void)state;
    char *path = test_data("samplers/guidance.json");
    json_t *root = json_load_file(path, 0, NULL), *rows = json_object_get(root, "rows"), *row;
    float negative[N], positive[N], want[N], out[N];
    size_t k;
    read_values(json_object_get(root, "negative"), negative);
    read_values(json_object_get(root, "positive"), positive);
    assert_int_equal(json_array_size(rows), 4);
    json_array_foreach(rows, k, row)
    {
        double scale = json_number_value(json_object_get(row, "scale"));
        double rescale = json_number_value(json_object_get(row, "rescale"));
        read_values(json_object_get(row, "out"), want);
        guidance_combine(negative, positive, scale, rescale, out, N);
        for (int i = 0; i < N; i++)
            if (fabsf(out[i] - want[i]) > 1e-5F * scale)
                fail_msg("scale %g, rescale %g: %g should be %g", scale, rescale, out[i], want[i]);
        memcpy(out, positive, sizeof(out)); /* in place */
        guidance_combine(negative, out, scale, rescale, out, N);
        assert_float_equal(out[3], want[3], 1e-5 * scale);
    }
    json_decref(root);
    free(path);
}

/* Equal values have no spread to bring anything to. */
static void constants_stay(void **state)
{
    (void)state;
    float a[4] = {1, 1, 1, 1}, b[4] = {2, 2, 2, 2}, out[4];
    guidance_combine(a, b, 3, 0.7, out, 4);
    for (int i = 0; i < 4; i++)
        assert_float_equal(out[i], 4, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_diffusers),
                                       cmocka_unit_test(constants_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
