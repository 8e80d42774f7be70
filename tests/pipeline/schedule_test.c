/* schedule_test.c - timesteps against diffusers, and scheduler_config.json good and bad. Noise
 * levels are compared in sampler_test.c. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/sampler.h"
#include "pipeline/schedule.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* schedule_build() without given sigmas or eta. */
static int build(struct schedule *s, const struct schedule_params *p, enum schedule_kind kind,
                 enum sampler_kind sampler, int n, struct err *e)
{
    struct schedule_request r = {.kind = kind, .sampler = sampler, .n = n, .eta = -1};
    return schedule_build(s, p, &r, e);
}

static void spacings_equal_diffusers(void **state)
{
    (void)state;
    char *path = test_data("samplers/spacings.json");
    json_t *root = json_load_file(path, 0, NULL), *row;
    struct schedule_params p;
    size_t i;
    schedule_params_default(&p);
    assert_true(json_array_size(root) > 100);
    json_array_foreach(root, i, row)
    {
        struct err e = {0};
        struct schedule s;
        enum sampler_kind sampler;
        enum schedule_kind kind;
        const json_t *timesteps = json_object_get(row, "timesteps");
        int n = (int)json_array_size(timesteps);
        const char *name = json_string_value(json_object_get(row, "sampler"));
        const char *schedule = json_string_value(json_object_get(row, "schedule"));
        assert_ok(sampler_parse(name, &sampler, NULL, &e), e);
        assert_ok(schedule_parse(schedule, &kind, &e), e);
        assert_ok(build(&s, &p, kind, sampler, n, &e), e);
        for (int k = 0; k < n; k++) {
            double want = json_number_value(json_array_get(timesteps, (size_t)k));
            if (fabs(s.steps[k].t - want) > 1e-6 * want)
                fail_msg("%s, %s, %d steps: step %d is at t %.9g, should be %.9g", name, schedule,
                         n, k, s.steps[k].t, want);
        }
        schedule_release(&s);
    }
    json_decref(root);
    free(path);
}

/* Noise levels by formula; the sampler that takes them as they are. */
static void sigmas_equal_reference(void **state)
{
    (void)state;
    char *path = test_data("samplers/schedules.json");
    json_t *root = json_load_file(path, 0, NULL), *row;
    struct schedule_params p;
    size_t i;
    schedule_params_default(&p);
    assert_int_equal(json_array_size(root), 48);
    json_array_foreach(root, i, row)
    {
        struct err e = {0};
        struct schedule s;
        enum schedule_kind kind;
        const json_t *timesteps = json_object_get(row, "timesteps");
        const json_t *sigmas = json_object_get(row, "sigmas");
        const char *name = json_string_value(json_object_get(row, "schedule"));
        int n = (int)json_array_size(sigmas);
        p.xl = json_is_true(json_object_get(row, "xl"));
        assert_ok(schedule_parse(name, &kind, &e), e);
        assert_ok(build(&s, &p, kind, SAMPLER_EULER, n, &e), e);
        assert_true(s.steps[n - 1].sigma_to == 0);
        for (int k = 0; k < n; k++) {
            double t = json_number_value(json_array_get(timesteps, (size_t)k));
            double sigma = json_number_value(json_array_get(sigmas, (size_t)k));
            if (fabs(s.steps[k].t - t) > 1e-3 || fabs(s.steps[k].sigma / sigma - 1) > 1e-6)
                fail_msg("%s, %d steps: step %d is at t %.9g, sigma %.9g, should be %.9g, %.9g",
                         name, n, k, s.steps[k].t, s.steps[k].sigma, t, sigma);
        }
        schedule_release(&s);
    }
    json_decref(root);
    free(path);
}

static void given_sigmas(void **state)
{
    static const struct {
        const char *text;
        int n;
    } good[] = {{"14.6,7.5,2,0.1,0", 4}, {"14.6,7.5,2,0.1", 4}, {"3", 1}, {"1e1,1e0,0.0", 2}};
    static const struct {
        const char *text, *part;
    } bad[] = {{"", "is no number"},
               {"0", "sigma 0"},
               {"5,0,0", "sigma 0"},
               {"5,5", "sigma 5"},
               {"5,6", "sigma 6"},
               {"5,-1", "sigma -1"},
               {"5,x", "\"x\" is no number"},
               {"5,,1", "is no number"},
               {"5, 1", "is no number"},
               {"5,1,", "is no number"},
               {"nan", "sigma nan"},
               {"10001,1", "sigma 10001"},
               {"inf", "sigma inf"}};
    (void)state;
    double sigmas[SCHEDULE_MAX_STEPS];
    int n;
    struct schedule_params p;
    schedule_params_default(&p);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct err e = {0};
        struct schedule s;
        assert_ok(schedule_parse_sigmas(good[i].text, sigmas, &n, &e), e);
        assert_int_equal(n, good[i].n);
        for (int sampler = 0; sampler < N_SAMPLER; sampler++) {
            struct schedule_request r = {
                .sampler = (enum sampler_kind)sampler, .n = n, .sigmas = sigmas, .eta = -1};
            assert_ok(schedule_build(&s, &p, &r, &e), e);
            assert_true(fabs(s.steps[0].sigma / sigmas[0] - 1) < 1e-7);
            assert_true(s.steps[s.n - 1].sigma_to == 0);
            schedule_release(&s);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        assert_int_equal(schedule_parse_sigmas(bad[i].text, sigmas, &n, &e), ERR_ARG);
        assert_err(e, ERR_ARG, bad[i].part);
    }
    char *many = mem_alloc(6 * (SCHEDULE_MAX_STEPS + 1) + 1), *end = many;
    for (int i = 0; i <= SCHEDULE_MAX_STEPS; i++)
        end += snprintf(end, 7, "%s%d", i ? "," : "", 3000 - i);
    struct err e = {0};
    assert_int_equal(schedule_parse_sigmas(many, sigmas, &n, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "more than 1000");
    free(many);
}

/* eta: 0 keeps all old noise, 1 is the usual ancestral step, others have none. */
static void etas(void **state)
{
    (void)state;
    struct schedule_params p;
    schedule_params_default(&p);
    for (int sampler = 0; sampler < N_SAMPLER; sampler++) {
        struct err e = {0};
        struct schedule s;
        struct schedule_request r = {.sampler = (enum sampler_kind)sampler, .n = 5, .eta = 0};
        bool draws = sampler == SAMPLER_EULER_A || sampler == SAMPLER_DPM2_A ||
                     sampler == SAMPLER_DPMPP_2M_SDE || sampler == SAMPLER_DPMPP_3M_SDE ||
                     sampler == SAMPLER_DDIM || sampler == SAMPLER_TCD;
        assert_int_equal(schedule_build(&s, &p, &r, &e), draws ? 0 : ERR_ARG);
        for (int i = 0; i < s.n; i++)
            assert_true(s.steps[i].sigma_down == s.steps[i].sigma_to);
        if (!draws)
            assert_err(e, ERR_ARG, "this sampler has none");
        schedule_release(&s);
        r.eta = 1.5;
        assert_int_equal(schedule_build(&s, &p, &r, NULL), ERR_ARG);
    }
}

static void check_step(const struct schedule *s, int i)
{
    const struct schedule_step *at = &s->steps[i];
    assert_true(isfinite(at->sigma) && at->sigma > 0);
    assert_true(at->sigma_to >= 0);
    if (!at->second) /* DPM2 a may look below the level it goes to */
        assert_true(at->sigma_to <= at->sigma);
    assert_true(at->sigma_down >= 0 && at->sigma_down <= at->sigma_to);
    assert_true(at->t >= 0 && at->t < 1000);
    assert_int_equal(at->second, s->n_per_step == 2 && i % 2 == 1);
    int before = at->second ? 1 : s->n_per_step;
    assert_true(i < before || at->sigma < at[-before].sigma);
}

/* Every schedule of every sampler at every length falls from step to step and stays finite. */
static void falls(void **state)
{
    (void)state;
    struct schedule_params p;
    schedule_params_default(&p);
    for (int zero_snr = 0; zero_snr < 2; zero_snr++)
        for (int kind = 0; kind < N_SCHEDULE; kind++)
            for (int sampler = 0; sampler < N_SAMPLER; sampler++)
                for (int n = 1; n <= 50; n++) {
                    struct err e = {0};
                    struct schedule s;
                    p.zero_snr = zero_snr;
                    assert_ok(
                        build(&s, &p, (enum schedule_kind)kind, (enum sampler_kind)sampler, n, &e),
                        e);
                    assert_int_equal(s.n, s.n_per_step * (n - 1) + 1);
                    assert_true(s.init_scale >= 1 && s.init_scale < 4097);
                    for (int i = 0; i < s.n; i++)
                        check_step(&s, i);
                    schedule_release(&s);
                }
}

static void step_counts(void **state)
{
    static const struct {
        enum sampler_kind sampler;
        int n;
        bool good;
    } rows[] = {{SAMPLER_EULER, 0, false},     {SAMPLER_EULER, -3, false},
                {SAMPLER_EULER, 999, true},    {SAMPLER_EULER, 1000, false},
                {SAMPLER_DPMPP_2M, 999, true}, {SAMPLER_LCM, 50, true},
                {SAMPLER_LCM, 51, false}};
    (void)state;
    struct schedule_params p;
    schedule_params_default(&p);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct schedule s;
        int rc = build(&s, &p, SCHEDULE_MODEL, rows[i].sampler, rows[i].n, &e);
        assert_int_equal(rc, rows[i].good ? 0 : ERR_ARG);
        if (!rows[i].good)
            assert_err(e, ERR_ARG, "take 1 to");
        schedule_release(&s);
    }
}

static void reads_config(void **state)
{
    static const char text[] =
        "{\"_class_name\": \"PNDMScheduler\", \"beta_start\": 0.001, \"beta_end\": 0.02,"
        " \"beta_schedule\": \"linear\", \"num_train_timesteps\": 500, \"steps_offset\": 3,"
        " \"prediction_type\": \"v_prediction\", \"timestep_spacing\": \"trailing\","
        " \"rescale_betas_zero_snr\": true, \"final_sigmas_type\": \"sigma_min\","
        " \"use_karras_sigmas\": true, \"set_alpha_to_one\": false, \"trained_betas\": null,"
        " \"original_inference_steps\": 25, \"timestep_scaling\": 7.5, \"skip_prk_steps\": true}";
    (void)state;
    struct err e = {0};
    struct schedule_params p;
    assert_ok(schedule_params_parse(&p, text, strlen(text), &e), e);
    assert_float_equal(p.beta_start, 0.001, 0);
    assert_float_equal(p.beta_end, 0.02, 0);
    assert_false(p.scaled_linear);
    assert_int_equal(p.n_train, 500);
    assert_int_equal(p.steps_offset, 3);
    assert_int_equal(p.prediction, PREDICTION_V);
    assert_int_equal(p.spacing, SPACING_TRAILING);
    assert_true(p.zero_snr && p.final_sigma_min && p.use_karras && !p.alpha_to_one);
    assert_int_equal(p.n_original_steps, 25);
    assert_float_equal(p.timestep_scaling, 7.5, 0);
    assert_ok(schedule_params_parse(&p, "{}", 2, &e), e);
    assert_int_equal(p.spacing, SPACING_UNSET);
    assert_true(p.scaled_linear && p.alpha_to_one && !p.zero_snr);
}

static void refuses_config(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *part;
    } rows[] = {
        {"", ERR_FORMAT, "line"},
        {"[1]", ERR_FORMAT, "not an object"},
        {"{\"beta_start\": \"x\"}", ERR_FORMAT, "beta_start"},
        {"{\"beta_start\": 0}", ERR_FORMAT, "beta_start"},
        {"{\"beta_end\": 1.5}", ERR_FORMAT, "beta_end"},
        {"{\"beta_schedule\": \"squaredcos_cap_v2\"}", ERR_UNSUPPORTED, "squaredcos_cap_v2"},
        {"{\"beta_schedule\": 3}", ERR_FORMAT, "beta_schedule"},
        {"{\"prediction_type\": \"flow_prediction\"}", ERR_UNSUPPORTED, "flow_prediction"},
        {"{\"trained_betas\": [0.1]}", ERR_UNSUPPORTED, "trained_betas"},
        {"{\"num_train_timesteps\": 1}", ERR_FORMAT, "num_train_timesteps"},
        {"{\"num_train_timesteps\": 1e9}", ERR_FORMAT, "num_train_timesteps"},
        {"{\"num_train_timesteps\": 99999999999}", ERR_FORMAT, "num_train_timesteps"},
        {"{\"steps_offset\": 1000}", ERR_FORMAT, "steps_offset"},
        {"{\"steps_offset\": -1}", ERR_FORMAT, "steps_offset"},
        {"{\"original_inference_steps\": 0}", ERR_FORMAT, "original_inference_steps"},
        {"{\"timestep_scaling\": 0}", ERR_FORMAT, "timestep_scaling"},
        {"{\"rescale_betas_zero_snr\": 1}", ERR_FORMAT, "rescale_betas_zero_snr"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct schedule_params p;
        int rc = schedule_params_parse(&p, rows[i].text, strlen(rows[i].text), &e);
        assert_int_equal(rc, rows[i].code);
        assert_err(e, rows[i].code, rows[i].part);
    }
}

/* Betas that are read without complaint but make no schedule. */
static void refuses_betas(void **state)
{
    static const char *const rows[] = {
        "{\"beta_start\": 1e-12, \"beta_end\": 1e-12}", /* never any noise */
        "{\"beta_start\": 0.5, \"beta_end\": 0.9}",     /* no signal long before the end */
        "{\"beta_start\": 1e-12, \"beta_end\": 1e-12, \"rescale_betas_zero_snr\": true}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct schedule s;
        struct schedule_params p;
        assert_ok(schedule_params_parse(&p, rows[i], strlen(rows[i]), &e), e);
        assert_int_equal(build(&s, &p, SCHEDULE_MODEL, SAMPLER_DDIM, 4, &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, "no noise schedule");
        schedule_release(&s);
    }
}

static void names(void **state)
{
    (void)state;
    struct err e = {0};
    enum schedule_kind kind;
    for (int k = 0; k < N_SCHEDULE; k++) {
        assert_ok(schedule_parse(schedule_name((enum schedule_kind)k), &kind, &e), e);
        assert_int_equal(kind, k);
    }
    assert_ok(schedule_parse("Automatic", &kind, &e), e);
    assert_int_equal(kind, SCHEDULE_MODEL);
    assert_int_equal(schedule_parse("sigmoid", &kind, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "\"sigmoid\" is unknown");
}

static void no_memory(void **state)
{
    (void)state;
    struct schedule_params p;
    schedule_params_default(&p);
    for (long nth = 1; nth <= 3; nth++) {
        struct err e = {0};
        struct schedule s;
        mem_fail_nth(nth);
        assert_int_equal(build(&s, &p, SCHEDULE_KARRAS, SAMPLER_EULER, 20, &e), ERR_NOMEM);
        mem_fail_nth(0);
        assert_err(e, ERR_NOMEM, "noise schedule");
        schedule_release(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spacings_equal_diffusers),
        cmocka_unit_test(sigmas_equal_reference),
        cmocka_unit_test(given_sigmas),
        cmocka_unit_test(etas),
        cmocka_unit_test(falls),
        cmocka_unit_test(step_counts),
        cmocka_unit_test(reads_config),
        cmocka_unit_test(refuses_config),
        cmocka_unit_test(refuses_betas),
        cmocka_unit_test(names),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
