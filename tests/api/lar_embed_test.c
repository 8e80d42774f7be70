/* lar_embed_test.c - embeddings through the library. */
#include "support/test.h"
#include "support/tiny_embedder.h"

#include "lar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void embeds(void **state)
{
    (void)state;
    static const char *const texts[] = {"red boat", "calm sea", "red boat"};
    struct lar *lar;
    struct lar_embedder *m;
    struct lar_error e = {0};
    char *folder = tiny_embedder_write(NULL);
    assert_ok(lar_open(&lar, 2, &e), e);
    assert_ok(lar_embedder_open(&m, lar, folder, &e), e);
    int n = lar_embedder_dimensions(m);
    float *v = calloc(3 * (size_t)n, sizeof(*v)), few[4];
    struct lar_embed x = {.texts = texts, .n = 3, .vectors = v, .n_cut = -1};
    assert_ok(lar_embed(m, &x, &e), e);
    assert_int_equal(x.n_cut, 0);
    double sum = 0, apart = 0;
    for (int i = 0; i < n; i++) {
        sum += (double)v[i] * (double)v[i];
        apart += fabs((double)v[i] - (double)v[n + i]);
        assert_true(v[i] == v[2 * n + i]);
    }
    assert_true(fabs(sum - 1) < 1e-5);
    assert_true(apart > 0.01);
    struct lar_embed wrong[] = {{.texts = texts, .n = 1, .dimensions = 4, .vectors = few},
                                {.texts = texts, .n = 0},
                                {.texts = texts, .n = 1, .dimensions = -1},
                                {.texts = texts, .n = 1, .dimensions = n + 1}};
    assert_ok(lar_embed(m, &wrong[0], &e), e);
    assert_true(fabsf(few[0] / few[1] - v[0] / v[1]) < 1e-3F);
    for (int i = 1; i < 4; i++)
        assert_int_equal(lar_embed(m, &wrong[i], NULL), LAR_ERR_ARG);
    lar_embedder_close(m);
    lar_embedder_close(NULL);
    assert_int_equal(lar_embedder_open(&m, lar, "/nowhere", &e), LAR_ERR_NOT_FOUND);
    assert_null(m);
    lar_close(lar);
    free(v);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(embeds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
