/* noise_test.c - noise of a picture: order, continuation, names. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/noise.h"

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
        const struct noise_options o = {(enum noise_kind)kind, 1234567890123u, H, W, C};
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
    const struct noise_options o = {NOISE_PHILOX, 1, H, W, C};
    mem_fail_nth(1);
    assert_int_equal(noise_init(&noise, &o, &e), ERR_NOMEM);
    assert_err(e, ERR_NOMEM, "the noise");
    mem_fail_nth(0);
    noise_release(&noise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawn_channels_first),
        cmocka_unit_test(names),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
