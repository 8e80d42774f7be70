/* spark_test.c - the bundled model draws what diffusers draws with it; tests/data/spark says how
 * the reference was made.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"
#include "format/picture.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "text/chunks.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct spark {
    struct image_model *model;
    json_t *reference;
    struct picture picture; /* diffusers' */
};

static int setup(void **state)
{
    static struct spark s;
    struct err e = {0};
    char *json = test_data("spark/reference.json"), *png = test_data("spark/picture.png");
    s.reference = json_load_file(json, 0, NULL);
    assert_non_null(s.reference);
    assert_ok(picture_read(png, &s.picture, NULL, &e), e);
    assert_ok(image_model_open(&s.model, TEST_SOURCE_DIR "/models/spark/spark.gguf", &e), e);
    free(json);
    free(png);
    *state = &s;
    return 0;
}

static int teardown(void **state)
{
    struct spark *s = *state;
    picture_release(&s->picture);
    image_model_close(s->model);
    json_decref(s->reference);
    return 0;
}

static const char *prompt(const struct spark *s)
{
    return json_string_value(json_object_get(s->reference, "prompt"));
}

static int keep(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct picture *copy = ctx;
    struct err e = {0};
    (void)i, (void)seed;
    assert_ok(picture_alloc(copy, p->width, p->height, p->channels, "copy", &e), e);
    memcpy(copy->data, p->data, (size_t)p->width * (size_t)p->height * (size_t)p->channels);
    return 0;
}

/* PSNR of the reference prompt's picture, drawn with these kernels, against diffusers'. */
static double draw(const struct spark *s, const char *isa, enum dtype precision)
{
    struct err e = {0};
    struct backend *b;
    struct picture got = {0};
    struct imagine_request r;
    assert_ok(cpu_backend_new(&b, 2, isa, &e), e);
    imagine_init(&r, s->model, b);
    r.prompt = prompt(s);
    r.seed = (uint64_t)json_integer_value(json_object_get(s->reference, "seed"));
    r.noise = NOISE_MT19937;
    r.precision = precision;
    r.on_picture = keep;
    r.ctx = &got;
    assert_ok(imagine(s->model, b, &r, &e), e);
    assert_int_equal(got.width, s->picture.width);
    assert_int_equal(got.height, s->picture.height);
    assert_int_equal(s->picture.channels, 3);
    double sum = 0;
    int n = got.width * got.height * 3;
    for (int i = 0; i < n; i++) {
        double d = (double)got.data[i] - (double)s->picture.data[i];
        sum += d * d;
    }
    picture_release(&got);
    backend_free(b);
    return sum > 0 ? 10 * log10(255.0 * 255.0 * n / sum) : 100;
}

static void test_defaults(void **state)
{
    const struct spark *s = *state;
    const struct image_defaults *d = &s->model->defaults;
    assert_int_equal(d->width, 128);
    assert_int_equal(d->height, 128);
    assert_int_equal(d->steps, json_integer_value(json_object_get(s->reference, "steps")));
    assert_true(d->guidance == json_number_value(json_object_get(s->reference, "guidance")));
    assert_int_equal(d->sampler, SAMPLER_DDIM);
    assert_int_equal(d->schedule, SCHEDULE_TRAILING);
}

static void test_tokens(void **state)
{
    const struct spark *s = *state;
    const struct chunk_rules rules = {.tokenizer = s->model->text[0].tokenizer, .n_ctx = 32};
    struct err e = {0};
    struct chunks c;
    json_t *want = json_object_get(s->reference, "ids");
    assert_int_equal(json_array_size(want), 32);
    assert_ok(chunks_make(&c, &rules, prompt(s), strlen(prompt(s)), &e), e);
    assert_int_equal(c.n, 1);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(c.ids[i], json_integer_value(json_array_get(want, i)));
    chunks_release(&c);
}

static void test_picture(void **state)
{
    const struct kernels *k;
    for (int i = 0; (k = kernels_at(i)); i++) {
        double f32 = draw(*state, k->name, DTYPE_F32), bf16 = draw(*state, k->name, DTYPE_BF16);
        print_message("%s: f32 %.1f dB, bf16 %.1f dB\n", k->name, f32, bf16);
        if (!(f32 >= 45) || !(bf16 >= 30))
            fail_msg("%s: f32 %.1f dB (wanted 45), bf16 %.1f dB (wanted 30)", k->name, f32, bf16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_picture),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
