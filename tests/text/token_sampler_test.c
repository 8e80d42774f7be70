/* token_sampler_test.c - choices, their chances and faults of the token sampler. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/token_pieces.h"
#include "text/token_sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything off: the distribution is the softmax. */
static struct token_sampler_params plain(void)
{
    struct token_sampler_params p = TOKEN_SAMPLER_DEFAULTS;
    p.temperature = 1;
    p.top_k = 0;
    p.top_p = 1;
    p.seed = 7;
    return p;
}

static struct token_sampler *sampler(const struct token_sampler_params *p, size_t n_vocab)
{
    struct err e = {0};
    struct token_sampler *s;
    assert_ok(token_sampler_new(&s, p, n_vocab, &e), e);
    return s;
}

static int32_t pick(struct token_sampler *s, const float *logits, size_t n, const uint32_t *allowed)
{
    struct err e = {0};
    struct token_choice c;
    float copy[64];
    memcpy(copy, logits, n * sizeof *logits);
    assert_ok(token_sampler_pick(s, copy, allowed, &c, &e), e);
    return c.id;
}

static void greedy_takes_the_first_of_the_largest(void **state)
{
    (void)state;
    struct token_sampler_params p = plain();
    p.temperature = 0;
    struct token_sampler *s = sampler(&p, 5);
    const float logits[] = {1, 3, 2, 3, -INFINITY};
    assert_int_equal(pick(s, logits, 5, NULL), 1);
    const uint32_t allowed = 0x15;
    assert_int_equal(pick(s, logits, 5, &allowed), 2);
    token_sampler_free(s);
}

/* 40000 draws from known chances: each count within five standard deviations. */
static void draws_follow_the_chances(void **state)
{
    (void)state;
    enum { N = 40, DRAWS = 40000 };
    struct token_sampler_params p = plain();
    p.temperature = 0.7F;
    float logits[N];
    double chance[N], sum = 0;
    int count[N] = {0};
    for (int i = 0; i < N; i++) {
        logits[i] = sinf((float)i * 1.7F) * 2;
        sum += chance[i] = exp((double)logits[i] / 0.7);
    }
    struct token_sampler *s = sampler(&p, N);
    for (int i = 0; i < DRAWS; i++)
        count[pick(s, logits, N, NULL)]++;
    for (int i = 0; i < N; i++) {
        double q = chance[i] / sum, want = q * DRAWS, dev = sqrt(want * (1 - q));
        if (fabs(count[i] - want) > 5 * dev)
            fail_msg("token %d: drawn %d times, wanted %.1f +- %.1f", i, count[i], want, dev);
    }
    token_sampler_free(s);
}

/* Known answers: the same on every machine. */
static void seeds_reproduce(void **state)
{
    (void)state;
    static const int32_t want[] = {25, 7, 9, 14, 0, 27, 30, 1, 27, 22, 25, 3};
    struct token_sampler_params p = plain();
    float logits[32];
    for (int i = 0; i < 32; i++)
        logits[i] = sinf((float)i);
    struct token_sampler *s = sampler(&p, 32);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(pick(s, logits, 32, NULL), want[i]);
    token_sampler_reset(s, 7);
    assert_int_equal(pick(s, logits, 32, NULL), want[0]);
    token_sampler_free(s);
}

static void logits_that_are_no_numbers(void **state)
{
    (void)state;
    struct token_sampler_params p = plain();
    struct token_sampler *s = sampler(&p, 3);
    struct token_choice c;
    const float bad[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++) {
        struct err e = {0};
        float logits[] = {1, bad[i], 2};
        assert_int_equal(token_sampler_pick(s, logits, NULL, &c, &e), ERR_NUMERIC);
        assert_err(e, ERR_NUMERIC, "not finite");
    }
    struct err e = {0};
    float logits[] = {1, 2, 3};
    const uint32_t none = 0;
    assert_int_equal(token_sampler_pick(s, logits, &none, &c, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "no token may come next");
    token_sampler_free(s);
}

static void parameters_are_checked(void **state)
{
    (void)state;
    struct token_sampler *s;
    struct err e = {0};
    struct token_sampler_params p = plain();
    p.top_p = 1.5F;
    assert_int_equal(token_sampler_new(&s, &p, 3, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "top_p is 1.5; it must be from 0 to 1");
    p = plain();
    p.temperature = NAN;
    e = (struct err){0};
    assert_int_equal(token_sampler_new(&s, &p, 3, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "temperature");
    p = plain();
    const struct token_bias bias = {3, 1};
    p.bias = &bias;
    p.n_bias = 1;
    e = (struct err){0};
    assert_int_equal(token_sampler_new(&s, &p, 3, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "there is no token 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_first_of_the_largest),
        cmocka_unit_test(draws_follow_the_chances),
        cmocka_unit_test(seeds_reproduce),
        cmocka_unit_test(logits_that_are_no_numbers),
        cmocka_unit_test(parameters_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
