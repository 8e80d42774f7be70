/* distilled_test.c - which names mean a distilled model, and what follows from it. */
#include "support/test.h"

#include "pipeline/distilled.h"
#include "pipeline/image_model.h"

static void names(void **state)
{
    static const struct {
        const char *name;
        struct distilled want;
    } rows[] = {
        {"sd_turbo", {DISTILLED_TURBO, 0, false, false}},
        {"DreamShaperXL_Turbo_v2_1", {DISTILLED_TURBO, 0, false, false}},
        {"dreamshaper_8LCM", {DISTILLED_LCM, 0, false, false}},
        {"sdxl_lightning_4step", {DISTILLED_LIGHTNING, 4, false, false}},
        {"sdxl_lightning_1step_x0", {DISTILLED_LIGHTNING, 1, false, true}},
        {"SDXL-Lightning 8-Steps", {DISTILLED_LIGHTNING, 8, false, false}},
        {"juggernautXL_v9Rdphoto2Lightning", {DISTILLED_LIGHTNING, 0, false, false}},
        {"Hyper-SDXL-1step-Unet", {DISTILLED_HYPER, 1, false, false}},
        {"Hyper-SD15-12steps-CFG-lora", {DISTILLED_HYPER, 12, true, false}},
        {"realisticVisionV60B1_v51HyperVAE", {DISTILLED_HYPER, 0, false, false}},
        {"hypersdxl", {DISTILLED_HYPER, 0, false, false}},
        {"Juggernaut_X_Hyper", {DISTILLED_HYPER, 0, false, false}},
        {"hyperrealism_v2", {DISTILLED_NOT, 0, false, false}},
        {"my-dance-steps_step1000", {DISTILLED_NOT, 0, false, false}},
        {"v1-5-pruned_20000steps", {DISTILLED_NOT, 0, false, false}},
        {"", {DISTILLED_NOT, 0, false, false}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct distilled d = distilled_from_name(rows[i].name);
        const struct distilled *w = &rows[i].want;
        if (d.kind != w->kind || d.steps != w->steps || d.guided != w->guided ||
            d.predicts_x0 != w->predicts_x0)
            fail_msg("%s: kind %d, %d steps, guided %d, x0 %d", rows[i].name, (int)d.kind, d.steps,
                     d.guided, d.predicts_x0);
    }
}

static void defaults(void **state)
{
    static const struct {
        const char *name;
        int steps;
        double guidance;
        enum sampler_kind sampler;
        enum schedule_kind schedule;
    } rows[] = {
        {"plain", 20, 7, SAMPLER_DPMPP_2M, SCHEDULE_KARRAS},
        {"sdxl_turbo", 4, 1, SAMPLER_EULER, SCHEDULE_TRAILING},
        {"lcm", 4, 1, SAMPLER_LCM, SCHEDULE_MODEL},
        {"lightning_2step", 2, 1, SAMPLER_EULER, SCHEDULE_TRAILING},
        {"Hyper", 8, 1, SAMPLER_DDIM, SCHEDULE_TRAILING},
        {"Hyper-1step", 1, 1, SAMPLER_TCD, SCHEDULE_TRAILING},
        {"Hyper-8steps-CFG", 8, 5, SAMPLER_DDIM, SCHEDULE_TRAILING},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct distilled d = distilled_from_name(rows[i].name);
        struct image_defaults out = {512, 512, 20, 7, SAMPLER_DPMPP_2M, SCHEDULE_KARRAS};
        distilled_defaults(&d, &out);
        assert_int_equal(out.steps, rows[i].steps);
        assert_true(out.guidance == rows[i].guidance);
        assert_int_equal(out.sampler, rows[i].sampler);
        assert_int_equal(out.schedule, rows[i].schedule);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(defaults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
