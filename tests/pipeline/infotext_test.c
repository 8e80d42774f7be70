/* infotext_test.c - recipes as AUTOMATIC1111 writes and reads them. */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "pipeline/recipe.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static void writes_what_a1111_writes(void **state)
{
    (void)state;
    struct recipe r;
    recipe_init(&r);
    recipe_set(&r.prompt, "a lighthouse at dusk,\n(waves:1.2)");
    recipe_set(&r.negative, "fog, people");
    recipe_set(&r.sampler, "dpmpp_2m");
    recipe_set(&r.schedule, "karras");
    recipe_set(&r.model, "v1-5-pruned-emaonly");
    recipe_set(&r.model_hash, "6ce0161689");
    recipe_set(&r.version, "lar 0.1.0");
    recipe_set(&r.rng, "philox");
    r.steps = 20;
    r.guidance = 7;
    r.seed = 1;
    r.has_seed = true;
    r.width = r.height = 512;
    char *text = recipe_to_parameters(&r);
    assert_string_equal(text, "a lighthouse at dusk,\n(waves:1.2)\nNegative prompt: fog, people\n"
                              "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, "
                              "Seed: 1, Size: 512x512, Model hash: 6ce0161689, "
                              "Model: v1-5-pruned-emaonly, RNG: NV, Version: lar 0.1.0");
    free(text);

    recipe_set(&r.prompt, "  x ");
    recipe_set(&r.negative, NULL);
    recipe_set(&r.sampler, "Foreign: \"one\", two\n\x01\\");
    recipe_set(&r.schedule, "trailing");
    recipe_set(&r.rng, "mt19937");
    recipe_set(&r.tileable, "both");
    recipe_set(&r.extend, "8,0,0,0");
    recipe_set(&r.source, "my photo, 2.png");
    recipe_set(&r.source_hash, "abcd");
    recipe_set(&r.model, NULL);
    recipe_add_lora(&r, "pokemon", 0.8, "8a1f");
    recipe_add_lora(&r, "ink", -1, "77");
    r.guidance = 7.5;
    r.strength = 0.7;
    r.clip_skip = 2;
    r.seed = UINT64_MAX;
    text = recipe_to_parameters(&r);
    assert_string_equal(text,
                        "x  <lora:pokemon:0.8> <lora:ink:-1>\nSteps: 20, "
                        "Sampler: \"Foreign: \\\"one\\\", two\\n\\u0001\\\\\", "
                        "Schedule type: SGM Uniform, CFG scale: 7.5, Seed: 18446744073709551615, "
                        "Size: 512x512, Model hash: 6ce0161689, Denoising strength: 0.7, "
                        "Clip skip: 2, Tiling: True, Init image hash: abcd, RNG: CPU, "
                        "Init image: \"my photo, 2.png\", Extend: \"8,0,0,0\", "
                        "Lora hashes: \"pokemon: 8a1f, ink: 77\", Version: lar 0.1.0");
    free(text);
    recipe_release(&r);

    text = recipe_to_parameters(&r);
    assert_string_equal(text, "");
    free(text);
}

static struct recipe read_text(const char *text);

/* One strength, which is the larger drawing's unless the picture began with another. */
static void hires(void **state)
{
    (void)state;
    static const char text[] =
        "x\nSteps: 20, Sampler: Euler, Seed: 1, Denoising strength: 0.6, "
        "Hires upscale: 1.5, Hires steps: 9, Hires upscaler: Latent (nearest)";
    struct recipe r = read_text(text);
    assert_true(r.hires == 1.5 && r.hires_strength == 0.6 && r.strength < 0); /* NOLINT */
    assert_int_equal(r.hires_steps, 9);
    assert_string_equal(r.hires_upscaler, "latent-nearest");
    char *again = recipe_to_parameters(&r);
    assert_string_equal(again, text);
    free(again);
    recipe_set(&r.source, "a.png");
    r.strength = 0.4;
    again = recipe_to_parameters(&r);
    recipe_release(&r);
    r = read_text(again);
    assert_true(r.hires_strength == 0.6 && r.strength == 0.4); /* NOLINT */
    free(again);
    recipe_release(&r);
}

static struct recipe read_text(const char *text)
{
    struct recipe r;
    struct err e = {0};
    assert_ok(recipe_from_parameters(&r, text, &e), e);
    return r;
}

static void reads_what_a1111_wrote(void **state)
{
    (void)state;
    struct recipe r = read_text(
        "girl with an artist's beret, blue eyes\n((eyeshadow)), intricate\r\n"
        "Negative prompt: ugly, fat, [blurry]\nmessy drawing\n"
        "Steps: 30, Sampler: DPM++ SDE Karras, CFG scale: 7.5, Seed: 965400086, Size: 768x512, "
        "Model hash: 45dee52b, Model: \"a, b: \\u00e9\", Denoising strength: 0.55, Clip skip: 2, "
        "ENSD: 31337, Hires upscale: 2, Unknown key: \"x: y, Steps: 3\", "
        "Lora hashes: \"detail: 1234\", Version: v1.8.0");
    assert_string_equal(r.prompt,
                        "girl with an artist's beret, blue eyes\n((eyeshadow)), intricate");
    assert_string_equal(r.negative, "ugly, fat, [blurry]\nmessy drawing");
    assert_string_equal(r.sampler, "DPM++ SDE"); /* foreign: as it is */
    assert_string_equal(r.schedule, "karras");
    assert_string_equal(r.model, "a, b: \u00e9");
    assert_string_equal(r.model_hash, "45dee52b");
    assert_string_equal(r.version, "v1.8.0");
    assert_int_equal(r.steps, 30);
    assert_int_equal(r.width, 768);
    assert_int_equal(r.height, 512);
    assert_int_equal(r.clip_skip, 2);
    assert_true(r.guidance == 7.5 && r.strength < 0);
    assert_true(r.hires == 2 && r.hires_strength == 0.55); /* NOLINT */
    assert_true(r.has_seed && r.seed == 965400086);
    assert_null(r.rng);
    assert_int_equal(r.n_loras, 0); /* a hash alone is no LoRA */
    recipe_release(&r);
}

static void reads_names_of_all_times(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *sampler, *schedule, *rng;
    } rows[] = {
        {"Sampler: DPM++ 2M Karras, Seed: 1, Steps: 2", "dpmpp_2m", "karras", NULL},
        {"Sampler: DPM++ 2M, Schedule type: Karras, Seed: 1", "dpmpp_2m", "karras", NULL},
        {"Sampler: Euler a, Schedule type: Automatic, RNG: CPU", "euler_a", "model", "mt19937"},
        {"Sampler: Euler, Schedule type: SGM Uniform, RNG: NV", "euler", "sgm_uniform", "philox"},
        {"Sampler: LCM, Steps: 4, Seed: 1", "lcm", NULL, NULL},
        {"Sampler: DDIM, Schedule type: Uniform, Seed: 1", "ddim", "normal", NULL},
        {"Sampler: UniPC, Schedule type: Beta, RNG: dice", "unipc", "beta", NULL},
        {"Sampler: DPM++ 3M SDE Exponential, Steps: 1, Seed: 2", "dpmpp_3m_sde", "exponential",
         NULL},
        {"Sampler: Heun, Schedule type: Align Your Steps, Seed: 2", "heun", "ays", NULL},
        {"Sampler: DPM2 a Karras, Steps: 1, Seed: 2", "dpm2_a", "karras", NULL},
        {"Sampler: DDIM CFG++, Schedule type: Simple, Seed: 2", "euler_cfg_pp", "simple", NULL},
        {"Sampler: DPM++ 2S a, Schedule type: KL Optimal, Seed: 2", "DPM++ 2S a", "KL Optimal",
         NULL},
        {"Sampler: DPM++ SDE Polyexponential, Seed: 2, Steps: 1", "DPM++ SDE", "Polyexponential",
         NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct recipe r = read_text(rows[i].settings);
        assert_string_equal(r.prompt, "");
        assert_string_equal(r.sampler, rows[i].sampler);
        assert_string_equal(r.schedule ? r.schedule : "-",
                            rows[i].schedule ? rows[i].schedule : "-");
        assert_string_equal(r.rng ? r.rng : "-", rows[i].rng ? rows[i].rng : "-");
        recipe_release(&r);
    }
}

static void doubtful_values_are_unknown(void **state)
{
    (void)state;
    struct recipe r = read_text("p\nSteps: -3, CFG scale: nan, Seed: -1, Size: 0x512, "
                                "Denoising strength: 1.5, Clip skip: two");
    assert_string_equal(r.prompt, "p");
    assert_int_equal(r.steps, 0);
    assert_int_equal(r.width, 0);
    assert_int_equal(r.height, 0);
    assert_int_equal(r.clip_skip, 0);
    assert_true(r.guidance < 0 && r.strength < 0);
    assert_false(r.has_seed);
    recipe_release(&r);
    r = read_text("p\nSteps: 99999999999, CFG scale: 1e300, Seed: 18446744073709551616, "
                  "Size: 12, Model: \"open, Version: \"\\x\"");
    assert_int_equal(r.steps, 0);
    assert_true(r.guidance < 0);
    assert_false(r.has_seed);
    assert_string_equal(r.model, "\"open");
    assert_string_equal(r.version, "\"\\x\""); /* no JSON */
    recipe_release(&r);
}

static void text_without_settings_is_prompt(void **state)
{
    (void)state;
    struct recipe r = read_text("  a cat\nNegative prompt: dogs\nSteps: 20, mood: happy \n");
    assert_string_equal(r.prompt, "a cat");
    assert_string_equal(r.negative, "dogs\nSteps: 20, mood: happy");
    assert_int_equal(r.steps, 0);
    recipe_release(&r);
    r = read_text("");
    assert_string_equal(r.prompt, "");
    assert_null(r.negative);
    recipe_release(&r);
}

static void loras_leave_the_prompt(void **state)
{
    (void)state;
    struct recipe r = read_text(
        "a <lora:ink:0.5> cat  <lora:x> <b> <lora:bad:one> <lora::1> <lora:neg:-2>\n"
        "Steps: 1, Seed: 1, Size: 8x8, Lora hashes: \"ink: 12ab, y: 3\"");
    assert_string_equal(r.prompt, "a cat <b> <lora:bad:one> <lora::1>");
    assert_int_equal(r.n_loras, 3);
    assert_string_equal(r.loras[0].name, "ink");
    assert_string_equal(r.loras[0].hash, "12ab");
    assert_true(r.loras[0].weight == 0.5);
    assert_string_equal(r.loras[1].name, "x");
    assert_null(r.loras[1].hash);
    assert_true(r.loras[1].weight == 1);
    assert_true(r.loras[2].weight == -2);
    recipe_release(&r);
}

static void broken_utf8_is_replaced(void **state)
{
    (void)state;
    struct recipe r;
    recipe_init(&r);
    recipe_set(&r.prompt, "a\xff\xc3 b\xe7\x81");
    char *text = recipe_to_parameters(&r), *json = recipe_to_json(&r);
    assert_string_equal(text, "a\ufffd\ufffd b\ufffd");
    assert_string_equal(json, "{\"prompt\":\"a\ufffd\ufffd b\ufffd\"}");
    free(text);
    free(json);
    recipe_release(&r);
}

/* A number from a seed, so that every run tries the same recipes. */
static uint64_t draw(uint64_t *seed, uint64_t n)
{
    return hash_mix64(*seed += 0x9e3779b97f4a7c15u) % n;
}

/* Words that infotext can hold: no blanks at the ends of lines, no second negative prompt. */
static char *draw_text(uint64_t *seed, bool lines)
{
    static const char *const words[] = {"cat",       "a, b",       "Steps: 3", "(x:1.2)",
                                        "\"q\"",     "\\n",        "<b>",      "\u706f\u53f0",
                                        "caf\u00e9", "key: \"v\"", "-",        "/"};
    struct buf b;
    buf_init(&b, 4096);
    for (uint64_t n = draw(seed, 5) + 1; n > 0; n--)
        buf_printf(&b, "%s%s",
                   b.len == 0                    ? ""
                   : lines && draw(seed, 4) == 0 ? "\n"
                                                 : " ",
                   words[draw(seed, sizeof words / sizeof *words)]);
    char *text = buf_take(&b);
    /* A value that is one quoted string would be read as JSON, in A1111 too. */
    if (!lines && text[0] == '"')
        text[0] = 'Q';
    return text;
}

static void draw_recipe(struct recipe *r, uint64_t seed)
{
    static const char *const samplers[] = {"euler", "euler_a", "dpmpp_2m",     "ddim",
                                           "lcm",   "unipc",   "dpmpp_3m_sde", "dpm2_a"};
    static const char *const kinds[] = {"normal", "karras", "sgm_uniform", "ays"};
    char **values[] = {&r->model, &r->model_hash, &r->source, &r->source_hash, &r->version};
    recipe_init(r);
    r->prompt = draw_text(&seed, true);
    r->negative = draw(&seed, 2) ? draw_text(&seed, true) : NULL;
    recipe_set(&r->sampler, samplers[draw(&seed, 8)]);
    recipe_set(&r->schedule, kinds[draw(&seed, 4)]);
    recipe_set(&r->rng, draw(&seed, 2) ? "philox" : "mt19937");
    for (int i = 0; i < 5; i++)
        if (draw(&seed, 2))
            *values[i] = draw_text(&seed, false);
    r->steps = 1 + (int)draw(&seed, 1000);
    r->width = 8 + (int)draw(&seed, 5000);
    r->height = 8 + (int)draw(&seed, 5000);
    r->clip_skip = draw(&seed, 2) ? 2 + (int)draw(&seed, 10) : 0;
    r->guidance = (double)draw(&seed, 3000) / 100;
    r->strength = draw(&seed, 2) ? (double)draw(&seed, 1001) / 1000 : -1;
    if (draw(&seed, 2)) {
        recipe_set(&r->sigmas, "14.6,7.5,0");
        r->guidance_rescale = 0.001 + (double)draw(&seed, 900) / 1000;
        r->eta = (double)draw(&seed, 11) / 10;
        r->variation_strength = (1 + (double)draw(&seed, 10)) / 10;
        r->variation_seed = hash_mix64(seed + 1) >> draw(&seed, 64);
    }
    r->has_seed = true;
    r->seed = hash_mix64(seed) >> draw(&seed, 64);
    for (uint64_t n = draw(&seed, 3); n > 0; n--)
        recipe_add_lora(r, n == 1 ? "ink" : "water colour", (double)draw(&seed, 400) / 100 - 2,
                        draw(&seed, 2) ? "12ab" : NULL);
}

static void assert_same(const struct recipe *a, const struct recipe *b)
{
    char *x = recipe_to_json(a), *y = recipe_to_json(b);
    assert_string_equal(x, y);
    free(x);
    free(y);
}

static void both_forms_round_trip(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct recipe r, back;
        struct err e = {0};
        draw_recipe(&r, seed);
        char *text = recipe_to_parameters(&r), *json = recipe_to_json(&r);
        assert_ok(recipe_from_json(&back, json, &e), e);
        assert_same(&r, &back);
        recipe_release(&back);
        assert_ok(recipe_from_parameters(&back, text, &e), e);
        assert_same(&r, &back);
        char *again = recipe_to_parameters(&back);
        assert_string_equal(again, text);
        recipe_release(&back);
        recipe_release(&r);
        free(again);
        free(text);
        free(json);
    }
}

static void does_not_depend_on_the_locale(void **state)
{
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "pt_BR.UTF-8"))
        test_skip("no locale with a decimal comma here");
    struct recipe r;
    recipe_init(&r);
    r.guidance = 7.5;
    r.strength = 0.25;
    r.steps = 3;
    char *text = recipe_to_parameters(&r), *json = recipe_to_json(&r);
    assert_string_equal(text, "Steps: 3, CFG scale: 7.5, Denoising strength: 0.25");
    assert_string_equal(json, "{\"steps\":3,\"guidance\":7.5,\"strength\":0.25}");
    struct recipe back = read_text(text);
    assert_same(&r, &back);
    setlocale(LC_NUMERIC, "C");
    recipe_release(&back);
    free(text);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_a1111_writes),
        cmocka_unit_test(hires),
        cmocka_unit_test(reads_what_a1111_wrote),
        cmocka_unit_test(reads_names_of_all_times),
        cmocka_unit_test(doubtful_values_are_unknown),
        cmocka_unit_test(text_without_settings_is_prompt),
        cmocka_unit_test(loras_leave_the_prompt),
        cmocka_unit_test(broken_utf8_is_replaced),
        cmocka_unit_test(both_forms_round_trip),
        cmocka_unit_test(does_not_depend_on_the_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
