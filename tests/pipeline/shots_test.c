/* shots_test.c - pictures drawn together are those drawn alone, to the bit. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/picture.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "pipeline/shots.h"
#include "support/model.h"

#include <stdlib.h>
#include <string.h>

#define SIDE     64
#define N_PIXELS (SIDE * SIDE * 3)
#define MOST     (SHOTS_MAX + 1)

static struct image_model *model;
static struct backend *backend;

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    char *path = model_write("sd15", "tiny", o, false);
    assert_ok(image_model_open(&model, path, &e), e);
    assert_ok(cpu_backend_new(&backend, 2, NULL, &e), e);
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    image_model_close(model);
    backend_free(backend);
    return 0;
}

static void test_how_many(void **state)
{
    (void)state;
    static const struct {
        int n, rows, h, w, together;
    } rows[] = {{1, 1, 8, 8, 1},   {5, 2, 8, 8, 5},      {100, 2, 8, 8, SHOTS_MAX},
                {9, 2, 32, 32, 4}, {9, 2, 64, 64, 1},    {9, 1, 64, 64, 2},
                {9, 2, 65, 64, 1}, {9, 2, 8192, 8192, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(shots_together(rows[i].n, rows[i].rows, rows[i].h, rows[i].w),
                         rows[i].together);
}

struct drawn {
    unsigned char pixels[MOST][N_PIXELS];
    uint64_t seed[MOST];
    int n, n_steps; /* calls */
};

static int on_picture(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct drawn *d = ctx;
    assert_int_equal(i, d->n);
    assert_int_equal(p->width * p->height * p->channels, N_PIXELS);
    memcpy(d->pixels[i], p->data, N_PIXELS);
    d->seed[i] = seed;
    d->n++;
    return 0;
}

static int on_progress(const struct imagine_progress *p, void *ctx)
{
    struct drawn *d = ctx;
    d->n_steps += p->phase == IMAGINE_STEP && p->step < p->n_steps;
    return 0;
}

static void draw(struct imagine_request r, struct drawn *d)
{
    struct err e = {0};
    d->n = d->n_steps = 0;
    r.on_picture = on_picture;
    r.on_progress = on_progress;
    r.ctx = d;
    assert_ok(imagine(model, backend, &r, &e), e);
    assert_int_equal(d->n, r.n_pictures);
}

static struct imagine_request request(void)
{
    struct imagine_request r;
    imagine_init(&r, model, backend);
    r.prompt = "a boat";
    r.width = r.height = SIDE;
    r.steps = 2;
    r.seed = 7;
    r.precision = DTYPE_F32;
    return r;
}

/* Draws n pictures together and picture i alone. */
static void compare(struct imagine_request r, int n, int i)
{
    struct drawn *all = mem_alloc(sizeof(*all)), *one = mem_alloc(sizeof(*one));
    r.n_pictures = n;
    draw(r, all);
    int evaluations = all->n_steps;
    r.seed += (uint64_t)i;
    r.n_pictures = 1;
    draw(r, one);
    assert_int_equal(one->seed[0], all->seed[i]);
    assert_memory_equal(one->pixels[0], all->pixels[i], N_PIXELS);
    assert_true(evaluations < n * one->n_steps); /* they were drawn together */
    if (i > 0)
        assert_memory_not_equal(all->pixels[i], all->pixels[i - 1], N_PIXELS);
    free(all);
    free(one);
}

static void test_together(void **state)
{
    (void)state;
    struct imagine_request r = request();
    compare(r, 3, 0);
    compare(r, 3, 2);
    r.sampler = SAMPLER_EULER_A; /* fresh noise in every step */
    compare(r, 2, 1);
    r.guidance = 1; /* one row each */
    r.precision = DTYPE_BF16;
    compare(r, 3, 1);
}

static void test_from_picture(void **state)
{
    (void)state;
    struct imagine_request r = request();
    struct picture image = {.width = SIDE, .height = SIDE, .channels = 3};
    image.data = mem_alloc(N_PIXELS);
    for (int i = 0; i < N_PIXELS; i++)
        image.data[i] = (unsigned char)(i * 7);
    r.image = &image;
    r.steps = 4;
    r.strength = 0.5;
    compare(r, 2, 1);
    free(image.data);
}

/* One more than go together: the last is drawn with what is left. */
static void test_remainder(void **state)
{
    (void)state;
    struct imagine_request r = request();
    r.steps = 1;
    r.guidance = 1;
    compare(r, SHOTS_MAX + 1, SHOTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_how_many), cmocka_unit_test(test_together),
        cmocka_unit_test(test_from_picture), cmocka_unit_test(test_remainder)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
