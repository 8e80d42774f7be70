/* tileable_test.c - where the picture wraps no place is a border: what is rolled going in comes out
 * rolled. Where it does not wrap, it does not.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "pipeline/image_model.h"
#include "support/model.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the latent. The UNet's levels halve it three times, the decoder's do not. */
static int side_of(bool decode)
{
    return decode ? 6 : 16;
}

static int roll_of(bool decode)
{
    return decode ? 3 : 8;
}

struct fixture {
    struct image_model *m;
    struct backend *b;
};

static void setup(struct fixture *f)
{
    struct err e = {0};
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write("sd15", "sd15", o, false);
    assert_ok(image_model_open(&f->m, path, &e), e);
    assert_ok(cpu_backend_new(&f->b, 2, NULL, &e), e);
    free(path);
}

static void teardown(struct fixture *f)
{
    backend_free(f->b);
    image_model_close(f->m);
}

/* [side, side, c], rolled by n pixels in the directions of `wrap`. */
static float *rolled(const float *x, int side, int c, int n, enum wrap wrap)
{
    float *y = mem_alloc((size_t)(side * side * c) * sizeof(*y));
    int ny = wrap & WRAP_Y ? n : 0, nx = wrap & WRAP_X ? n : 0;
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++)
            memcpy(y + ((i + ny) % side * side + (j + nx) % side) * c, x + (i * side + j) * c,
                   (size_t)c * sizeof(*y));
    return y;
}

static void fill(struct tensor *x)
{
    uint32_t seed = 7;
    for (int64_t i = 0; i < tensor_n(x); i++) {
        seed = seed * 1664525u + 1013904223u;
        ((float *)x->data)[i] = (float)(seed >> 8) / 0x1p23f - 1;
    }
}

/* The UNet's output or the decoder's for a latent rolled in the directions of `roll`; heap. */
static float *run(struct fixture *f, bool decode, enum wrap wrap, enum wrap roll)
{
    struct err e = {0};
    const struct unet *u = &f->m->unet;
    struct tape *t = tape_new(DTYPE_F32);
    tape_wrap(t, wrap);
    int side = side_of(decode);
    struct tensor *x = tape_input(t, DTYPE_F32, "x", 4, (int64_t[]){1, side, side, 4});
    struct unet_input in = {.x = x};
    in.time = tape_input(t, DTYPE_F32, "time", 2, (int64_t[]){1, u->n_time});
    in.context = tape_input(t, DTYPE_F32, "context", 3, (int64_t[]){1, 5, u->n_context});
    struct tensor *y = tape_keep(t,
                                 decode ? vae_decode(t, &f->m->vae, x) : unet_forward(t, u, &in));
    assert_ok(tape_plan(t, &e), e);
    fill(in.time);
    fill(in.context);
    fill(x);
    float *moved = rolled(x->data, side, 4, roll_of(decode), roll);
    memcpy(x->data, moved, tensor_size(x));
    free(moved);
    assert_ok(tape_run(t, f->b, &e), e);
    float *out = mem_alloc(tensor_size(y));
    memcpy(out, y->data, tensor_size(y));
    tape_free(t);
    return out;
}

/* How far the output of a rolled input is from the rolled output, relative to the largest value. */
static double difference(struct fixture *f, bool decode, enum wrap wrap, enum wrap roll)
{
    int scale = decode ? 8 : 1, side = side_of(decode) * scale, c = decode ? 3 : 4;
    float *a = run(f, decode, wrap, roll), *plain = run(f, decode, wrap, WRAP_NONE);
    float *b = rolled(plain, side, c, roll_of(decode) * scale, roll);
    double worst = 0, most = 0;
    for (int i = 0; i < side * side * c; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        most = fmax(most, fabs((double)b[i]));
    }
    free(a);
    free(b);
    free(plain);
    return worst / most;
}

/* Sums in another order: 2^-24 times a few hundred. */
static void no_border(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    for (int decode = 0; decode < 2; decode++) {
        assert_true(difference(&f, decode, WRAP_BOTH, WRAP_BOTH) < 5e-5);
        assert_true(difference(&f, decode, WRAP_X, WRAP_X) < 5e-5);
        assert_true(difference(&f, decode, WRAP_Y, WRAP_Y) < 5e-5);
    }
    teardown(&f);
}

static void other_borders_stay(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    for (int decode = 0; decode < 2; decode++) {
        assert_true(difference(&f, decode, WRAP_NONE, WRAP_BOTH) > 0.01);
        assert_true(difference(&f, decode, WRAP_X, WRAP_Y) > 0.01);
        assert_true(difference(&f, decode, WRAP_Y, WRAP_X) > 0.01);
    }
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_border),
        cmocka_unit_test(other_borders_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
