/* spark_test.c - the bundled model draws ten pictures as diffusers does; tests/data/spark says how
 * the references were made.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PICTURE 10

struct spark {
    struct image_model *model;
    json_t *reference;
};

static int setup(void **state)
{
    static struct spark s;
    struct err e = {0};
    char *json = test_data("spark/reference.json");
    s.reference = json_load_file(json, 0, NULL);
    assert_non_null(s.reference);
    assert_ok(image_model_open(&s.model, TEST_SOURCE_DIR "/models/spark/spark.gguf", &e), e);
    free(json);
    *state = &s;
    return 0;
}

static int teardown(void **state)
{
    struct spark *s = *state;
    image_model_close(s->model);
    json_decref(s->reference);
    return 0;
}

/* Of reference picture i: "prompt", "seed", "ids", "file". */
static const json_t *reference(const struct spark *s, int i, const char *key)
{
    const json_t *pictures = json_object_get(s->reference, "pictures");
    assert_int_equal(json_array_size(pictures), N_PICTURE);
    return json_object_get(json_array_get(pictures, (size_t)i), key);
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

static void read_reference(const struct spark *s, int i, struct picture *p)
{
    struct err e = {0};
    char name[64];
    snprintf(name, sizeof name, "spark/%s", json_string_value(reference(s, i, "file")));
    char *path = test_data(name);
    assert_ok(picture_read(path, p, NULL, &e), e);
    assert_int_equal(p->channels, 3);
    free(path);
}

/* Decibels between two pictures of one size; 100 when they are equal. */
static double psnr(const struct picture *a, const struct picture *b)
{
    double sum = 0;
    int n = a->width * a->height * 3;
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    for (int i = 0; i < n; i++) {
        double d = (double)a->data[i] - (double)b->data[i];
        sum += d * d;
    }
    return sum > 0 ? 10 * log10(255.0 * 255.0 * n / sum) : 100;
}

/* PSNR of reference picture i, drawn with these kernels (NULL: the best), against diffusers'. */
static double draw(const struct spark *s, int i, const char *isa, enum dtype precision)
{
    struct err e = {0};
    struct backend *b;
    struct picture got = {0}, want = {0};
    struct imagine_request r;
    assert_ok(cpu_backend_new(&b, 2, isa, &e), e);
    imagine_init(&r, s->model, b);
    r.prompt = json_string_value(reference(s, i, "prompt"));
    r.seed = (uint64_t)json_integer_value(reference(s, i, "seed"));
    r.noise = NOISE_MT19937;
    r.precision = precision;
    r.on_picture = keep;
    r.ctx = &got;
    assert_ok(imagine(s->model, b, &r, &e), e);
    read_reference(s, i, &want);
    double db = psnr(&got, &want);
    picture_release(&got);
    picture_release(&want);
    backend_free(b);
    return db;
}

static void test_defaults(void **state)
{
    const struct spark *s = *state;
    const struct image_defaults *d = &s->model->defaults;
    assert_int_equal(d->width, json_integer_value(json_object_get(s->reference, "width")));
    assert_int_equal(d->height, json_integer_value(json_object_get(s->reference, "height")));
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
    for (int i = 0; i < N_PICTURE; i++) {
        struct chunks c;
        const char *prompt = json_string_value(reference(s, i, "prompt"));
        const json_t *want = reference(s, i, "ids");
        assert_int_equal(json_array_size(want), 32);
        assert_ok(chunks_make(&c, &rules, prompt, strlen(prompt), &e), e);
        assert_int_equal(c.n, 1);
        for (size_t k = 0; k < 32; k++)
            assert_int_equal(c.ids[k], json_integer_value(json_array_get(want, k)));
        chunks_release(&c);
    }
}

/* bf16 may differ visibly in no place; f32 differs in last digits only. */
static void compare(const struct spark *s, int i, const char *isa)
{
    double f32 = draw(s, i, isa, DTYPE_F32), bf16 = draw(s, i, isa, DTYPE_BF16);
    print_message("picture %d, %s: f32 %.1f dB, bf16 %.1f dB\n", i, isa ? isa : "best", f32, bf16);
    if (!(f32 >= 45) || !(bf16 >= 35))
        fail_msg("picture %d, %s: f32 %.1f dB (wanted 45), bf16 %.1f dB (wanted 35)", i,
                 isa ? isa : "best", f32, bf16);
}

static void test_pictures(void **state)
{
#ifdef LAR_SANITIZED /* which is slow */
    int n = 1;
#else
    int n = N_PICTURE;
#endif
    for (int i = 0; i < n; i++)
        compare(*state, i, NULL);
}

static void test_instruction_sets(void **state)
{
    const struct kernels *k;
    for (int i = 0; (k = kernels_at(i)); i++)
        compare(*state, (i + 1) % N_PICTURE, k->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_instruction_sets),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
