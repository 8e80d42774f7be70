/* sampler_test.c - samplers and schedules step by step against diffusers' schedulers
 * (tools/reference/samplers.py, which also defines the fake model). */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/noise.h"
#include "pipeline/sampler.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_MAX 64

/* One case of a reference file, and what goes on in it. */
struct run {
    json_t *data;
    char what[128]; /* for messages */
    struct schedule schedule;
    struct noise noise;
    struct sampler sampler;
    int n; /* elements */
};

static double item(const json_t *array, int i)
{
    json_t *v = json_array_get(array, (size_t)i);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

/* Largest difference over largest value. */
static void compare(const struct run *r, int step, const float *got, const json_t *want)
{
    double difference = 0, scale = 1e-30;
    assert_int_equal(json_array_size(want), r->n);
    for (int i = 0; i < r->n; i++) {
        double w = item(want, i);
        assert_true(isfinite(got[i]));
        difference = fmax(difference, fabs(got[i] - w));
        scale = fmax(scale, fabs(w));
    }
    if (difference > 1e-5 * scale)
        fail_msg("%s: x after step %d is off by %.3g of %.3g", r->what, step, difference, scale);
}

static void compare_levels(const struct run *r)
{
    const json_t *timesteps = json_object_get(r->data, "timesteps");
    const json_t *sigmas = json_object_get(r->data, "sigmas");
    const struct schedule_step *step = r->schedule.steps + r->sampler.begin;
    int n = sampler_n_steps(&r->sampler);
    assert_int_equal(json_array_size(timesteps), n);
    for (int i = 0; i < n; i++, step++) {
        /* diffusers computes the level half way in single precision. */
        if (fabs(step->t - item(timesteps, i)) > (step->second ? 1e-3 : 1e-4))
            fail_msg("%s: step %d is at t %.9g, should be %.9g", r->what, i, step->t,
                     item(timesteps, i));
        if (sigmas && fabs(step->sigma / item(sigmas, i) - 1) > 1e-5)
            fail_msg("%s: step %d is at sigma %.9g, should be %.9g", r->what, i, step->sigma,
                     item(sigmas, i));
    }
    if (sigmas)
        assert_float_equal(step[-1].sigma_to, item(sigmas, n), 1e-6);
}

static void fake_model(const struct sampler *s, const float *in, float *out)
{
    double t = sampler_timestep(s);
    for (size_t i = 0; i < s->n; i++)
        out[i] = (float)(0.4 * in[i] + 0.3 * sin(t / 100 + (double)i));
}

static void fake_negative(const struct sampler *s, const float *in, float *out)
{
    double t = sampler_timestep(s);
    for (size_t i = 0; i < s->n; i++)
        out[i] = (float)(0.35 * in[i] + 0.2 * cos(t / 100 + (double)i));
}

static void follow(struct run *r)
{
    float x[N_MAX], work[N_MAX], negative[N_MAX];
    struct err e = {0};
    const json_t *states = json_object_get(r->data, "x");
    const json_t *strength = json_object_get(r->data, "strength");
    if (strength) {
        for (int i = 0; i < r->n; i++)
            work[i] = (float)cos(i);
        assert_ok(sampler_start_image(&r->sampler, work, json_number_value(strength), x, &e), e);
    } else {
        sampler_start(&r->sampler, x);
    }
    compare_levels(r);
    compare(r, 0, x, json_array_get(states, 0));
    while (!sampler_done(&r->sampler)) {
        sampler_scale_input(&r->sampler, x, work);
        fake_negative(&r->sampler, work, negative);
        fake_model(&r->sampler, work, work);
        sampler_step(&r->sampler, x, work, negative);
        int done = sampler_n_done(&r->sampler);
        compare(r, done, x, json_array_get(states, (size_t)done));
    }
    assert_int_equal(sampler_n_done(&r->sampler) + 1, json_array_size(states));
}

static void run_case(json_t *root, json_t *data, enum sampler_kind kind)
{
    struct run r = {.data = data};
    struct err e = {0};
    struct schedule_params params;
    const char *config = json_string_value(json_object_get(data, "config"));
    const char *schedule_word = json_string_value(json_object_get(data, "schedule"));
    int n = (int)json_integer_value(json_object_get(data, "n"));
    const json_t *shape = json_object_get(root, "shape");
    const struct noise_options o = {
        .kind = NOISE_MT19937,
        .seed = (uint64_t)json_integer_value(json_object_get(root, "seed")),
        .h = (int)item(shape, 0),
        .w = (int)item(shape, 1),
        .c = (int)item(shape, 2)};
    char *text = json_dumps(json_object_get(json_object_get(root, "configs"), config), 0);
    const json_t *eta = json_object_get(data, "eta");
    struct schedule_request levels = {
        .sampler = kind, .n = n, .eta = eta ? json_number_value(eta) : -1};
    snprintf(r.what, sizeof r.what, "%s, %s schedule of %s, %d steps%s", sampler_label(kind),
             schedule_word, config, n, json_object_get(data, "strength") ? ", from an image" : "");
    assert_ok(schedule_params_parse(&params, text, strlen(text), &e), e);
    assert_ok(schedule_parse(schedule_word, &levels.kind, &e), e);
    assert_ok(schedule_build(&r.schedule, &params, &levels, &e), e);
    assert_ok(noise_init(&r.noise, &o, &e), e);
    r.n = (int)noise_size(&r.noise);
    assert_true(r.n <= N_MAX);
    assert_ok(sampler_init(&r.sampler, kind, &r.schedule, &r.noise, &e), e);
    follow(&r);
    sampler_release(&r.sampler);
    noise_release(&r.noise);
    schedule_release(&r.schedule);
    free(text);
}

static void equals_diffusers(enum sampler_kind kind)
{
    char *name = mem_printf("samplers/%s.json", sampler_name(kind));
    char *path = test_data(name);
    json_t *root = json_load_file(path, 0, NULL), *cases = json_object_get(root, "cases"), *data;
    size_t i;
    assert_true(json_array_size(cases) > 15);
    json_array_foreach(cases, i, data)
    {
        run_case(root, data, kind);
    }
    json_decref(root);
    free(path);
    free(name);
}

#define EQUALS_DIFFUSERS(name, KIND)      \
    static void name(void **state)        \
    {                                     \
        (void)state;                      \
        equals_diffusers(SAMPLER_##KIND); \
    }

EQUALS_DIFFUSERS(euler, EULER)
EQUALS_DIFFUSERS(euler_a, EULER_A)
EQUALS_DIFFUSERS(euler_cfg_pp, EULER_CFG_PP)
EQUALS_DIFFUSERS(heun, HEUN)
EQUALS_DIFFUSERS(dpm2, DPM2)
EQUALS_DIFFUSERS(dpm2_a, DPM2_A)
EQUALS_DIFFUSERS(dpmpp_2m, DPMPP_2M)
EQUALS_DIFFUSERS(dpmpp_2m_sde, DPMPP_2M_SDE)
EQUALS_DIFFUSERS(dpmpp_3m_sde, DPMPP_3M_SDE)
EQUALS_DIFFUSERS(unipc, UNIPC)
EQUALS_DIFFUSERS(ddim, DDIM)
EQUALS_DIFFUSERS(lcm, LCM)
EQUALS_DIFFUSERS(tcd, TCD)

static void names(void **state)
{
    static const struct {
        const char *name;
        enum sampler_kind kind;
        enum schedule_kind schedule; /* SCHEDULE_MODEL: none said */
    } known[] = {
        {"Euler", SAMPLER_EULER, SCHEDULE_MODEL},
        {"k_euler", SAMPLER_EULER, SCHEDULE_MODEL},
        {"EulerDiscreteScheduler", SAMPLER_EULER, SCHEDULE_MODEL},
        {"Euler Karras", SAMPLER_EULER, SCHEDULE_KARRAS},
        {"euler-a", SAMPLER_EULER_A, SCHEDULE_MODEL},
        {"Euler a", SAMPLER_EULER_A, SCHEDULE_MODEL},
        {"euler_ancestral", SAMPLER_EULER_A, SCHEDULE_MODEL},
        {"EulerAncestralDiscreteScheduler", SAMPLER_EULER_A, SCHEDULE_MODEL},
        {"DPM++ 2M", SAMPLER_DPMPP_2M, SCHEDULE_MODEL},
        {"DPM++ 2M Karras", SAMPLER_DPMPP_2M, SCHEDULE_KARRAS},
        {"dpmpp_2m", SAMPLER_DPMPP_2M, SCHEDULE_MODEL},
        {"dpm++2m", SAMPLER_DPMPP_2M, SCHEDULE_MODEL},
        {"DDIM", SAMPLER_DDIM, SCHEDULE_MODEL},
        {"LCMScheduler", SAMPLER_LCM, SCHEDULE_MODEL},
        {"DPM++ 2M SDE", SAMPLER_DPMPP_2M_SDE, SCHEDULE_MODEL},
        {"DPM++ 2M SDE Karras", SAMPLER_DPMPP_2M_SDE, SCHEDULE_KARRAS},
        {"DPM++ 2M SDE Exponential", SAMPLER_DPMPP_2M_SDE, SCHEDULE_EXPONENTIAL},
        {"dpmpp_3m_sde_gpu", SAMPLER_DPMPP_3M_SDE, SCHEDULE_MODEL},
        {"DPM2 Karras", SAMPLER_DPM2, SCHEDULE_KARRAS},
        {"DPM2 a", SAMPLER_DPM2_A, SCHEDULE_MODEL},
        {"k_dpm_2_ancestral", SAMPLER_DPM2_A, SCHEDULE_MODEL},
        {"Heun", SAMPLER_HEUN, SCHEDULE_MODEL},
        {"UniPC", SAMPLER_UNIPC, SCHEDULE_MODEL},
        {"uni_pc_bh2", SAMPLER_UNIPC, SCHEDULE_MODEL},
        {"TCD", SAMPLER_TCD, SCHEDULE_MODEL},
        {"Euler CFG++", SAMPLER_EULER_CFG_PP, SCHEDULE_MODEL},
        {"DDIM CFG++", SAMPLER_EULER_CFG_PP, SCHEDULE_MODEL},
    };
    static const char *const unknown[] = {"",
                                          " ",
                                          "karras",
                                          "euler a b",
                                          "2m",
                                          "DPM++ 2S a",
                                          "a name that is far too long to be that of any sampler"};
    (void)state;
    enum sampler_kind kind;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct err e = {0};
        enum schedule_kind schedule = SCHEDULE_MODEL;
        assert_ok(sampler_parse(known[i].name, &kind, &schedule, &e), e);
        assert_int_equal(kind, known[i].kind);
        assert_int_equal(schedule, known[i].schedule);
        assert_ok(sampler_parse(known[i].name, &kind, NULL, &e), e);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct err e = {0};
        assert_int_equal(sampler_parse(unknown[i], &kind, NULL, &e), ERR_ARG);
        assert_err(e, ERR_ARG, "choose euler");
    }
    for (int k = 0; k < N_SAMPLER; k++) {
        struct err e = {0};
        assert_ok(sampler_parse(sampler_name((enum sampler_kind)k), &kind, NULL, &e), e);
        assert_int_equal(kind, k);
        assert_ok(sampler_parse(sampler_label((enum sampler_kind)k), &kind, NULL, &e), e);
        assert_int_equal(kind, k);
    }
}

/* A sampler over 16 elements and 4 steps. */
static void setup(struct run *r, enum sampler_kind kind, struct err *e)
{
    struct schedule_params params;
    const struct noise_options o = {.seed = 5, .h = 2, .w = 2, .c = 4};
    const struct schedule_request levels = {.sampler = kind, .n = 4, .eta = -1};
    schedule_params_default(&params);
    assert_ok(schedule_build(&r->schedule, &params, &levels, e), *e);
    assert_ok(noise_init(&r->noise, &o, e), *e);
    assert_ok(sampler_init(&r->sampler, kind, &r->schedule, &r->noise, e), *e);
}

static void teardown(struct run *r)
{
    sampler_release(&r->sampler);
    noise_release(&r->noise);
    schedule_release(&r->schedule);
}

static void strength_bounds(void **state)
{
    static const struct {
        double strength;
        int steps; /* 0: refused */
    } rows[] = {{0, 0},   {-1, 0},   {1.01, 0}, {NAN, 0}, {0.01, 1},
                {0.5, 2}, {0.74, 2}, {0.75, 3}, {1, 4}};
    (void)state;
    struct run r = {0};
    struct err e = {0};
    float latent[16] = {0}, x[16];
    setup(&r, SAMPLER_EULER, &e);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        e = (struct err){0};
        int rc = sampler_start_image(&r.sampler, latent, rows[i].strength, x, &e);
        assert_int_equal(rc, rows[i].steps ? 0 : ERR_ARG);
        if (rows[i].steps)
            assert_int_equal(sampler_n_steps(&r.sampler), rows[i].steps);
        else
            assert_err(e, ERR_ARG, "strength");
    }
    teardown(&r);
}

/* One way over given sigmas from a picture's noise, eta 0.5 or that of the row. */
static void walk(struct run *r, enum sampler_kind kind, double eta)
{
    static const double sigmas[] = {9, 4, 1.5, 0.4};
    struct err e = {0};
    struct schedule_params params;
    const struct noise_options o = {.seed = 5, .h = 2, .w = 2, .c = 4};
    const struct schedule_request levels = {.sampler = kind, .n = 4, .sigmas = sigmas, .eta = eta};
    schedule_params_default(&params);
    assert_ok(schedule_build(&r->schedule, &params, &levels, &e), e);
    assert_ok(noise_init(&r->noise, &o, &e), e);
    assert_ok(sampler_init(&r->sampler, kind, &r->schedule, &r->noise, &e), e);
}

/* With eta between 0 and 1: DDIM is compared with diffusers, and ancestral Euler is DDIM in the
 * other parametrisation. Without noise the SDE samplers are those of the ODE. */
static void etas_agree(void **state)
{
    static const struct {
        enum sampler_kind a, b;
        double eta_a, eta_b;
    } rows[] = {{SAMPLER_EULER_A, SAMPLER_DDIM, 0.5, 0.5},
                {SAMPLER_EULER_A, SAMPLER_DDIM, 1, 1},
                {SAMPLER_EULER_A, SAMPLER_EULER, 0, -1},
                {SAMPLER_DPM2_A, SAMPLER_DPM2, 0, -1},
                {SAMPLER_DPMPP_2M_SDE, SAMPLER_DPMPP_2M, 0, -1}};
    (void)state;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct run a = {0}, b = {0};
        struct err e = {0};
        float latent[16] = {0.5F, -1, 2}, x[16], y[16], work[16];
        walk(&a, rows[k].a, rows[k].eta_a);
        walk(&b, rows[k].b, rows[k].eta_b);
        assert_ok(sampler_start_image(&a.sampler, latent, 1, x, &e), e);
        assert_ok(sampler_start_image(&b.sampler, latent, 1, y, &e), e);
        while (!sampler_done(&a.sampler)) {
            sampler_scale_input(&a.sampler, x, work);
            fake_model(&a.sampler, work, work);
            sampler_step(&a.sampler, x, work, NULL);
            sampler_scale_input(&b.sampler, y, work);
            fake_model(&b.sampler, work, work);
            sampler_step(&b.sampler, y, work, NULL);
            double sigma = a.schedule.steps[a.sampler.index - 1].sigma_to;
            bool other = rows[k].b == SAMPLER_DDIM;
            for (int i = 0; i < 16; i++)
                assert_float_equal(x[i], y[i] * (other ? sqrt(1 + sigma * sigma) : 1), 2e-5);
        }
        teardown(&a);
        teardown(&b);
    }
}

/* A picture that went wrong leaves nothing behind for the next one. */
static void restarts_clean(void **state)
{
    (void)state;
    for (int kind = 0; kind < N_SAMPLER; kind++) {
        struct run r = {0};
        struct err e = {0};
        float x[16], out[16];
        setup(&r, (enum sampler_kind)kind, &e);
        for (int picture = 0; picture < 2; picture++) {
            sampler_start(&r.sampler, x);
            while (!sampler_done(&r.sampler)) {
                fake_model(&r.sampler, x, out);
                if (picture == 0)
                    out[3] = INFINITY;
                sampler_step(&r.sampler, x, out, NULL);
            }
        }
        for (int i = 0; i < 16; i++)
            assert_true(isfinite(x[i]) && isfinite(r.sampler.x0[i]));
        teardown(&r);
    }
}

static void no_memory(void **state)
{
    (void)state;
    struct run r = {0};
    struct err e = {0};
    setup(&r, SAMPLER_LCM, &e);
    for (long nth = 1; nth <= 4; nth++) {
        struct sampler s;
        e = (struct err){0};
        mem_fail_nth(nth);
        assert_int_equal(sampler_init(&s, SAMPLER_LCM, &r.schedule, &r.noise, &e), ERR_NOMEM);
        assert_err(e, ERR_NOMEM, "the sampler");
        mem_fail_nth(0);
    }
    teardown(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(euler),
        cmocka_unit_test(euler_a),
        cmocka_unit_test(euler_cfg_pp),
        cmocka_unit_test(heun),
        cmocka_unit_test(dpm2),
        cmocka_unit_test(dpm2_a),
        cmocka_unit_test(dpmpp_2m),
        cmocka_unit_test(dpmpp_2m_sde),
        cmocka_unit_test(dpmpp_3m_sde),
        cmocka_unit_test(unipc),
        cmocka_unit_test(ddim),
        cmocka_unit_test(lcm),
        cmocka_unit_test(tcd),
        cmocka_unit_test(names),
        cmocka_unit_test(strength_bounds),
        cmocka_unit_test(etas_agree),
        cmocka_unit_test(restarts_clean),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
