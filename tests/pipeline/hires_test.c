/* hires_test.c - latents enlarged as torch does it, and pictures drawn twice. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/picture.h"
#include "pipeline/hires.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "support/model.h"
#include "support/pictures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void names(void **state)
{
    (void)state;
    for (int i = 0; i < HIRES_NETWORK; i++) {
        assert_int_equal(hires_parse(hires_name((enum hires_kind)i)), i);
        assert_int_equal(hires_parse(hires_label((enum hires_kind)i)), i);
    }
    assert_int_equal(hires_parse("4x-UltraSharp"), N_HIRES);
}

/* Every third value of torch.nn.functional.interpolate(x, size=(5, 7), mode=...), in float64. */
static void as_torch(void **state)
{
    (void)state;
    static const float want[][24] = {
        [HIRES_LATENT] = {-1.375f,       0.5982143f, -0.4375f,    -1.205357f,  0.5f,
                          0.225f,        -0.8625f,   0.3f,        0.1267857f,  -0.775f,
                          0.3214286f,    0.5803571f, -0.4553571f, -0.1964286f, 0.9f,
                          -0.001785714f, -0.175f,    0.8642857f,  -0.1f,       -0.375f,
                          1.330357f,     0.5625f,    -0.4732143f, -1.375f},
        [HIRES_LATENT_NEAREST] = {-1.375f, 0.375f,  -0.75f,  -1.25f,  0.5f,    0.375f,
                                  -0.75f,  1,       -0.125f, -0.625f, 1.125f,  0.625f,
                                  -0.5f,   1.25f,   1.125f,  0,       -1.125f, 1.25f,
                                  0.125f,  -0.375f, 1.375f,  0.25f,   -0.875f, -1.375f},
        [HIRES_LATENT_BICUBIC] = {-1.704394f,   0.7793081f,  -0.375625f,  -1.555129f,  0.5980103f,
                                  0.1944897f,   -1.074024f,  0.4188281f,  0.2197015f,  -0.7921657f,
                                  0.3198911f,   0.5603704f,  -0.4353704f, -0.1948911f, 1.144703f,
                                  -0.09470153f, -0.3132344f, 1.098352f,   -0.0694897f, -0.4730103f,
                                  1.680129f,    0.7960313f,  -0.6543081f, -1.634237f},
    };
    float x[3 * 4 * 2], y[5 * 7 * 2];
    struct hires_latent l = {x, 3, 4, 2, 5, 7, WRAP_NONE};
    for (int i = 0; i < 24; i++)
        x[i] = (float)(i * 37 % 23 - 11) / 8;
    for (int kind = 0; kind < HIRES_LANCZOS; kind++) {
        hires_interpolate(&l, (enum hires_kind)kind, y);
        for (int i = 0; i < 24; i++)
            if (!(fabsf(y[i * 3] - want[kind][i]) < 2e-6f))
                fail_msg("%s: value %d is %g, wanted %g", hires_name((enum hires_kind)kind), i * 3,
                         (double)y[i * 3], (double)want[kind][i]);
    }
}

/* What wraps is enlarged as if it went on; every place is like every other. */
static void wraps(void **state)
{
    (void)state;
    float x[4], rolled[4], y[8], z[8];
    struct hires_latent l = {x, 1, 4, 1, 1, 8, WRAP_X};
    for (int i = 0; i < 4; i++)
        x[i] = rolled[(i + 1) % 4] = (float)(i * i);
    for (int kind = 0; kind < HIRES_LANCZOS; kind++) {
        l.in = x;
        hires_interpolate(&l, (enum hires_kind)kind, y);
        l.in = rolled;
        hires_interpolate(&l, (enum hires_kind)kind, z);
        for (int i = 0; i < 8; i++)
            assert_true(fabsf(y[i] - z[(i + 2) % 8]) < 1e-6f);
    }
}

/* ---- drawing ---- */

struct fixture {
    struct image_model *m;
    struct backend *b;
    struct imagine_request r;
    struct picture pictures[2];
    float *latent; /* of on_drawn */
    int n_steps[8], n_progress;
};

static int on_picture(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct fixture *f = ctx;
    struct err e = {0};
    assert_in_range(i, 0, 1);
    assert_int_equal(seed, f->r.seed + (uint64_t)i);
    picture_release(&f->pictures[i]);
    assert_ok(picture_alloc(&f->pictures[i], p->width, p->height, 3, "copy", &e), e);
    memcpy(f->pictures[i].data, p->data, (size_t)(p->width * p->height * 3));
    return 0;
}

static int on_drawn(const float *latent, int i, void *ctx)
{
    struct fixture *f = ctx;
    assert_int_equal(i, 0);
    f->latent = mem_alloc((size_t)(8 * 8 * 4) * sizeof(float));
    memcpy(f->latent, latent, (size_t)(8 * 8 * 4) * sizeof(float));
    return 0;
}

static void setup(struct fixture *f)
{
    struct err e = {0};
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write("sd15", "sd15", o, false);
    *f = (struct fixture){0};
    assert_ok(image_model_open(&f->m, path, &e), e);
    assert_ok(cpu_backend_new(&f->b, 2, NULL, &e), e);
    imagine_init(&f->r, f->m, f->b);
    f->r.precision = DTYPE_F32;
    f->r.prompt = "a boat";
    f->r.width = f->r.height = 64;
    f->r.steps = 2;
    f->r.guidance = 1;
    f->r.seed = 5;
    f->r.on_picture = on_picture;
    f->r.ctx = f;
    free(path);
}

static void teardown(struct fixture *f)
{
    picture_release(&f->pictures[0]);
    picture_release(&f->pictures[1]);
    free(f->latent);
    backend_free(f->b);
    image_model_close(f->m);
}

/* Is the picture the one before, which is replaced? */
static void same_again(struct fixture *f)
{
    struct err e = {0};
    struct picture first = f->pictures[0];
    f->pictures[0] = (struct picture){0};
    assert_ok(imagine(f->m, f->b, &f->r, &e), e);
    assert_int_equal(first.width, 96);
    assert_int_equal(first.height, 96);
    assert_int_equal(test_picture_difference(&first, &f->pictures[0]), 0);
    picture_release(&first);
}

/* The same as its two parts one after the other. */
static void two_drawings(void **state)
{
    (void)state;
    struct err e = {0};
    struct fixture f;
    float enlarged[12 * 12 * 4];
    setup(&f);
    f.r.hires = (struct imagine_hires){.scale = 1.5, .strength = 0.6, .steps = 5};
    assert_ok(imagine(f.m, f.b, &f.r, &e), e);

    f.r.hires = (struct imagine_hires){0};
    f.r.on_drawn = on_drawn;
    assert_ok(imagine(f.m, f.b, &f.r, &e), e);
    struct hires_latent l = {f.latent, 8, 8, 4, 12, 12, WRAP_NONE};
    hires_interpolate(&l, HIRES_LATENT, enlarged);
    f.r.on_drawn = NULL;
    f.r.latent = enlarged;
    f.r.strength = 0.6;
    f.r.steps = 5;
    f.r.width = f.r.height = 96;
    same_again(&f);
    teardown(&f);
}

/* Enlarged as a picture it is what the picture gives as a source. */
static void from_pictures(void **state)
{
    (void)state;
    struct err e = {0};
    struct fixture f;
    setup(&f);
    f.r.hires = (struct imagine_hires){.scale = 1.5, .strength = 0.6, .kind = HIRES_LANCZOS};
    assert_ok(imagine(f.m, f.b, &f.r, &e), e);
    struct picture large = f.pictures[0];

    f.pictures[0] = (struct picture){0};
    f.r.hires = (struct imagine_hires){0};
    assert_ok(imagine(f.m, f.b, &f.r, &e), e);
    struct picture small = f.pictures[0];
    f.pictures[0] = large;
    f.r.image = &small;
    f.r.strength = 0.6;
    f.r.width = f.r.height = 96;
    same_again(&f);
    picture_release(&small);
    teardown(&f);
}

/* Each of several pictures is what its seed gives. */
static void several(void **state)
{
    (void)state;
    struct err e = {0};
    struct fixture f;
    setup(&f);
    f.r.hires = (struct imagine_hires){.scale = 1.5, .strength = 0.5};
    f.r.n_pictures = 2;
    assert_ok(imagine(f.m, f.b, &f.r, &e), e);
    picture_release(&f.pictures[0]);
    f.pictures[0] = f.pictures[1];
    f.pictures[1] = (struct picture){0};
    f.r.n_pictures = 1;
    f.r.seed++;
    same_again(&f);
    teardown(&f);
}

static void refused(void **state)
{
    (void)state;
    struct fixture f;
    struct picture p;
    struct err e = {0};
    setup(&f);
    assert_ok(picture_alloc(&p, 64, 64, 3, "source", &e), e);
    f.r.hires = (struct imagine_hires){.scale = 1, .strength = 0.5};
    assert_int_equal(imagine(f.m, f.b, &f.r, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "hires scale 1: must be above 1");
    f.r.hires.scale = 2;
    f.r.hires.strength = 0;
    e = (struct err){0};
    assert_int_equal(imagine(f.m, f.b, &f.r, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "hires strength 0");
    f.r.hires.strength = 0.5;
    f.r.image = f.r.mask = &p;
    e = (struct err){0};
    assert_int_equal(imagine(f.m, f.b, &f.r, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "a masked picture keeps its size");
    picture_release(&p);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),        cmocka_unit_test(as_torch),      cmocka_unit_test(wraps),
        cmocka_unit_test(two_drawings), cmocka_unit_test(from_pictures), cmocka_unit_test(several),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
