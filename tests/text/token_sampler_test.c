/* token_sampler_test.c - choices, their chances and faults of the token sampler. */
#include "support/test.h"

#include "base/err.h"
#include "base/hash.h"
#include "text/token_pieces.h"
#include "text/token_sampler.h"

#include <jansson.h>
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

/* ---- transformers and numpy ---- */

#define N_REFERENCE 48

static float number(const json_t *p, const char *key, float otherwise)
{
    const json_t *v = json_object_get(p, key);
    return v ? (float)json_number_value(v) : otherwise;
}

static struct token_sampler_params params_of(const json_t *p)
{
    struct token_sampler_params x = plain();
    x.temperature = number(p, "temperature", 1);
    x.temperature_range = number(p, "temperature_range", 0);
    x.temperature_exponent = number(p, "temperature_exponent", 1);
    x.top_k = (int)number(p, "top_k", 0);
    x.top_p = number(p, "top_p", 1);
    x.min_p = number(p, "min_p", 0);
    x.typical_p = number(p, "typical_p", 1);
    x.xtc_probability = number(p, "xtc_probability", 0);
    x.xtc_threshold = number(p, "xtc_threshold", 0.1F);
    x.repeat_last_n = (int)number(p, "repeat_last_n", 64);
    x.repeat_penalty = number(p, "repeat_penalty", 1);
    x.presence_penalty = number(p, "presence_penalty", 0);
    x.frequency_penalty = number(p, "frequency_penalty", 0);
    x.dry_multiplier = number(p, "dry_multiplier", 0);
    x.dry_base = number(p, "dry_base", 1.75F);
    x.dry_allowed_length = (int)number(p, "dry_allowed_length", 2);
    x.dry_last_n = (int)number(p, "dry_last_n", -1);
    x.mirostat = (int)number(p, "mirostat", 0);
    x.mirostat_tau = number(p, "mirostat_tau", 5);
    x.mirostat_eta = number(p, "mirostat_eta", 0.1F);
    return x;
}

static void read_logits(const json_t *c, float *logits)
{
    const json_t *list = json_object_get(c, "logits");
    assert_int_equal(json_array_size(list), N_REFERENCE);
    for (size_t i = 0; i < N_REFERENCE; i++)
        logits[i] = (float)json_number_value(json_array_get(list, i));
}

static void check_case(const json_t *c)
{
    static const char *const breakers[] = {"x", "yz"};
    static const char *bytes[N_REFERENCE];
    static uint32_t n_bytes[N_REFERENCE];
    static const struct token_pieces pieces = {N_REFERENCE, bytes, n_bytes, NULL};
    for (size_t i = 0; i < N_REFERENCE; i++) {
        bytes[i] = i == 5 ? "ax" : i == 8 ? "y" : i == 9 ? "z" : i == 17 ? "x" : "#";
        n_bytes[i] = (uint32_t)strlen(bytes[i]);
    }
    const json_t *p = json_object_get(c, "params"), *text = json_object_get(c, "text");
    const json_t *ids = json_object_get(c, "ids"), *list = json_object_get(p, "bias");
    struct token_sampler_params x = params_of(p);
    struct token_bias bias[4];
    float logits[N_REFERENCE];
    x.seed = (uint64_t)json_integer_value(json_object_get(c, "seed"));
    for (x.n_bias = 0; x.n_bias < json_array_size(list); x.n_bias++) {
        const json_t *b = json_array_get(list, x.n_bias);
        bias[x.n_bias].id = (int32_t)json_integer_value(json_array_get(b, 0));
        bias[x.n_bias].bias = (float)json_number_value(json_array_get(b, 1));
    }
    x.bias = bias;
    x.pieces = &pieces;
    x.dry_breakers = breakers;
    x.n_dry_breakers = json_object_get(p, "breakers") ? 2 : 0;
    read_logits(c, logits);
    struct token_sampler *s = sampler(&x, N_REFERENCE);
    for (size_t i = 0; i < json_array_size(text); i++)
        token_sampler_accept(s, (int32_t)json_integer_value(json_array_get(text, i)));
    for (size_t i = 0; i < json_array_size(ids); i++) {
        int32_t id = pick(s, logits, N_REFERENCE, NULL);
        int32_t want = (int32_t)json_integer_value(json_array_get(ids, i));
        if (id != want)
            fail_msg("%s: pick %zu is %d, wanted %d", json_dumps(p, 0), i, (int)id, (int)want);
        token_sampler_accept(s, id);
    }
    token_sampler_free(s);
}

static void picks_of_the_reference(void **state)
{
    (void)state;
    char *path = test_data("text/token_samplers.json");
    json_t *root = json_load_file(path, 0, NULL), *c;
    size_t i;
    assert_true(json_array_size(json_object_get(root, "cases")) > 80);
    json_array_foreach(json_object_get(root, "cases"), i, c) check_case(c);
    json_decref(root);
    free(path);
}

/* Log probabilities are the model's own: mask, bias and penalties do not change them. */
static void logprobs_of_the_reference(void **state)
{
    (void)state;
    char *path = test_data("text/token_samplers.json");
    json_t *root = json_load_file(path, 0, NULL), *c;
    size_t i;
    json_array_foreach(json_object_get(root, "logprobs"), i, c)
    {
        struct err e = {0};
        struct token_sampler_params p = plain();
        struct token_choice out;
        const struct token_bias bias = {1, -5};
        const uint32_t allowed[2] = {0xfffffff2, 0xffff};
        float logits[N_REFERENCE];
        p.n_logprobs = 6;
        p.temperature = 0;
        p.bias = &bias;
        p.n_bias = 1;
        p.repeat_penalty = 1.5F;
        struct token_sampler *s = sampler(&p, N_REFERENCE);
        token_sampler_accept(s, 2);
        read_logits(c, logits);
        double sum = 0;
        for (size_t k = 0; k < N_REFERENCE; k++)
            sum += exp((double)logits[k]);
        float raw[N_REFERENCE];
        memcpy(raw, logits, sizeof raw);
        assert_ok(token_sampler_pick(s, logits, allowed, &out, &e), e);
        assert_int_equal(out.n_top, 6);
        for (size_t k = 0; k < 6; k++) {
            const json_t *id = json_array_get(json_object_get(c, "ids"), k);
            const json_t *logprob = json_array_get(json_object_get(c, "logprobs"), k);
            assert_int_equal(out.top[k].id, json_integer_value(id));
            assert_true(fabs((double)out.top[k].logprob - json_number_value(logprob)) < 1e-5);
        }
        assert_true(fabs((double)out.logprob - ((double)raw[out.id] - log(sum))) < 1e-5);
        token_sampler_free(s);
    }
    json_decref(root);
    free(path);
}

/* A vocabulary of real size: filters keep what a full sort would. */
static void large_vocabularies(void **state)
{
    (void)state;
    enum { N = 50000 };
    float *logits = malloc(N * sizeof *logits), *copy = malloc(N * sizeof *copy);
    for (uint32_t i = 0; i < N; i++) /* many ties */
        logits[i] = (float)(hash_mix64(i) % 1000) * 0.02F;
    for (int kind = 0; kind < 4; kind++) {
        struct err e = {0};
        struct token_choice c;
        struct token_sampler_params p = plain();
        p.top_k = kind == 0 ? 3 : 0;
        p.top_p = kind == 1 ? 0.05F : 1;
        p.min_p = kind == 2 ? 0.96F : 0;
        p.typical_p = kind == 3 ? 0.05F : 1;
        struct token_sampler *s = sampler(&p, N);
        for (int i = 0; i < 20; i++) {
            memcpy(copy, logits, N * sizeof *copy);
            assert_ok(token_sampler_pick(s, copy, NULL, &c, &e), e);
            /* The three largest are the first with 999; a nucleus of 5 % lies within the top;
             * typical takes what is about as surprising as the average, which is not the top. */
            float x = logits[c.id];
            assert_true(kind == 3 ? x < 19.8F && x > 17 : x > 19.7F);
            if (kind == 0)
                for (int32_t k = 0, better = 0; k < c.id; k++) {
                    better += logits[k] >= x;
                    assert_true(better < 3);
                }
        }
        token_sampler_free(s);
    }
    free(logits);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_first_of_the_largest),
        cmocka_unit_test(draws_follow_the_chances),
        cmocka_unit_test(seeds_reproduce),
        cmocka_unit_test(logits_that_are_no_numbers),
        cmocka_unit_test(parameters_are_checked),
        cmocka_unit_test(picks_of_the_reference),
        cmocka_unit_test(logprobs_of_the_reference),
        cmocka_unit_test(large_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
