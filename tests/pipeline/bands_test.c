/* bands_test.c - an autoencoder in bands gives what it gives in one piece: no seams, no other
 * colours, whatever the bands' height, in f32 to rounding.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "models/vae.h"
#include "pipeline/bands.h"
#include "support/model.h"
#include "tensor/half.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define H      9 /* of the latent: several bands, the last one smaller */
#define W      5
#define FACTOR 8

struct fixture {
    struct checkpoint *file;
    struct vae m;
    struct backend *b;
    struct vae_step steps[VAE_MAX_STEP];
    struct bands bands;
};

static void setup(struct fixture *f, enum dtype precision, const char *isa)
{
    struct err e = {0};
    struct hash_checkpoint_options o = {DTYPE_F16, NULL, "vae", 1, 1};
    char *path = model_write("vae-kl", "vae-kl", o, false), *folder = file_join(path, "vae");
    *f = (struct fixture){.bands = {.steps = f->steps, .precision = precision}};
    f->file = model_open(folder);
    assert_ok(vae_open(&f->m, f->file, 0.18215, &e), e);
    assert_ok(cpu_backend_new(&f->b, 2, isa, &e), e);
    free(folder);
    free(path);
}

static void teardown(struct fixture *f)
{
    backend_free(f->b);
    vae_close(&f->m);
    checkpoint_close(f->file);
}

/* Noise over a slope: its moments differ from band to band, so that a norm of a band alone would
 * show. */
static void fill(float *x, int64_t n)
{
    uint32_t seed = 1;
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / 0x1p23f - 1 + 2 * (float)i / (float)n;
    }
}

/* Runs a tape from x to floats on the heap; its input and output as given. */
static float *run(struct fixture *f, struct tape *t, struct tensor *in, struct tensor *out,
                  const void *x)
{
    struct err e = {0};
    out = tape_keep(t, op_cast(t, out, DTYPE_F32));
    assert_ok(tape_plan(t, &e), e);
    memcpy(in->data, x, tensor_size(in));
    assert_ok(tape_run(t, f->b, &e), e);
    float *y = mem_alloc(tensor_size(out));
    memcpy(y, out->data, tensor_size(out));
    tape_free(t);
    return y;
}

static struct tape *new_tape(const struct fixture *f)
{
    struct tape *t = tape_new(f->bands.precision);
    tape_wrap(t, f->bands.wrap);
    return t;
}

static struct tensor *input(struct tape *t, const struct band_map *m)
{
    return tape_input(t, m->type, "x", 4, (int64_t[]){1, m->h, m->w, m->c});
}

static struct band_map new_map(int64_t h, int64_t w, int64_t c, enum dtype type)
{
    struct band_map m = {NULL, h, w, c, type};
    m.data = mem_try_aligned((size_t)(h * w * c) * dtype_row_size(type, 1), "map", NULL);
    assert_non_null(m.data);
    return m;
}

static void decode(struct fixture *f, const float *z, long pixels, float **y)
{
    struct err e = {0};
    enum dtype type = f->bands.precision;
    struct band_map latent = {NULL, H, W, f->m.n_latent, DTYPE_F32}, map;
    struct tape *t = new_tape(f);
    struct tensor *in = input(t, &latent), *out = vae_decode_start(t, &f->m, in);
    map = new_map(out->dim[1], out->dim[2], out->dim[3], type);
    float *start = run(f, t, in, out, z);
    for (int64_t i = 0; i < map.h * map.w * map.c; i++)
        if (type == DTYPE_F32)
            ((float *)map.data)[i] = start[i];
        else
            ((uint16_t *)map.data)[i] = bf16_from_f32(start[i]);
    free(start);
    f->bands.n = vae_decoder_steps(&f->m, f->steps);
    f->bands.last_f32 = true;
    f->bands.pixels = pixels;
    assert_ok(bands_run(&f->bands, f->b, NULL, &map, &e), e);
    assert_int_equal(map.h, H * FACTOR);
    assert_int_equal(map.w, W * FACTOR);
    assert_int_equal(map.c, 3);
    assert_int_equal(map.type, DTYPE_F32);
    *y = mem_alloc((size_t)(map.h * map.w * map.c) * sizeof(float));
    memcpy(*y, map.data, (size_t)(map.h * map.w * map.c) * sizeof(float));
    band_map_release(&map);
}

static float *encode(struct fixture *f, const float *x, long pixels)
{
    struct err e = {0};
    struct band_map map = new_map(H * FACTOR, W * FACTOR, 3, DTYPE_F32);
    memcpy(map.data, x, (size_t)(H * FACTOR * W * FACTOR * 3) * sizeof(float));
    f->bands.n = vae_encoder_steps(&f->m, f->steps);
    f->bands.last_f32 = false;
    f->bands.pixels = pixels;
    assert_ok(bands_run(&f->bands, f->b, NULL, &map, &e), e);
    assert_int_equal(map.type, f->bands.precision);
    struct tape *t = new_tape(f);
    struct tensor *in = input(t, &map);
    float *y = run(f, t, in, vae_encode_end(t, &f->m, in), map.data);
    band_map_release(&map);
    return y;
}

/* The largest difference, relative to the largest value. */
static double difference(const float *a, const float *b, int64_t n)
{
    double worst = 0, most = 1e-9;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        worst = d > worst || isnan(d) ? d : worst;
        most = fabs((double)b[i]) > most ? fabs((double)b[i]) : most;
    }
    return worst / most;
}

/* Bands of a few rows, of many, and one band for all. */
static void check(enum dtype precision, const char *isa, enum wrap wrap, double tolerance)
{
    static const long pixels[] = {1, 300, 700, 1300, 0};
    struct fixture f;
    float z[H * W * 4], x[H * FACTOR * W * FACTOR * 3];
    setup(&f, precision, isa);
    f.bands.wrap = wrap;
    fill(z, H * W * 4);
    fill(x, H * FACTOR * W * FACTOR * 3);
    struct band_map latent = {NULL, H, W, 4, DTYPE_F32};
    struct band_map picture = {NULL, H * FACTOR, W * FACTOR, 3, DTYPE_F32};
    struct tape *t = new_tape(&f);
    struct tensor *in = input(t, &latent);
    float *want = run(&f, t, in, vae_decode(t, &f.m, in), z);
    t = new_tape(&f);
    in = input(t, &picture);
    float *moments = run(&f, t, in, vae_encode(t, &f.m, in), x);
    for (size_t i = 0; i < sizeof(pixels) / sizeof(pixels[0]); i++) {
        float *y;
        decode(&f, z, pixels[i], &y);
        double d = difference(y, want, H * FACTOR * W * FACTOR * 3);
        free(y);
        y = encode(&f, x, pixels[i]);
        double encoded = difference(y, moments, H * W * 8);
        free(y);
        print_message("bands of %ld pixels: decoded within %.2g, encoded within %.2g\n", pixels[i],
                      d, encoded);
        if (!(d <= tolerance) || !(encoded <= tolerance))
            fail_msg("bands of %ld pixels differ by %.3g, %.3g", pixels[i], d, encoded);
    }
    free(want);
    free(moments);
    teardown(&f);
}

/* Rounding of sums in another order, and of the moments to f32: 2^-24 times a few hundred. */
static void in_f32(void **state)
{
    (void)state;
    check(DTYPE_F32, NULL, WRAP_NONE, 5e-5);
}

static void in_generic_f32(void **state)
{
    (void)state;
    check(DTYPE_F32, "generic", WRAP_NONE, 5e-5);
}

/* A value near the middle of two bf16 numbers may round to the other one: 2^-8 of a value, a few
 * times over. */
static void in_bf16(void **state)
{
    (void)state;
    check(DTYPE_BF16, NULL, WRAP_NONE, 0.03);
}

/* A band's halo is at the picture's other side. */
static void tileable(void **state)
{
    (void)state;
    check(DTYPE_F32, NULL, WRAP_BOTH, 5e-5);
}

/* The largest level is never held in its full width, and the picture itself is the least. */
static void needs_less(void **state)
{
    (void)state;
    struct err e = {0};
    struct fixture f;
    size_t whole, bands;
    setup(&f, DTYPE_F32, NULL);
    struct band_map latent = {NULL, 256, 256, 4, DTYPE_F32};
    struct tape *t = tape_new(DTYPE_F32);
    tape_keep(t, vae_decode(t, &f.m, input(t, &latent)));
    assert_ok(tape_measure(t, &whole, &e), e);
    tape_free(t);
    f.bands.n = vae_decoder_steps(&f.m, f.steps);
    f.bands.last_f32 = true;
    struct band_map map = {NULL, 512, 512, 64, DTYPE_F32}; /* of the tiny model's start */
    assert_ok(bands_need(&f.bands, &map, &bands, &e), e);
    assert_true(bands < whole / 2);
    teardown(&f);
}

static void cancelled(void **state)
{
    (void)state;
    struct err e = {0};
    struct fixture f;
    atomic_bool cancel = true;
    setup(&f, DTYPE_F32, NULL);
    f.bands.n = vae_encoder_steps(&f.m, f.steps);
    struct band_map map = new_map(16, 16, 3, DTYPE_F32);
    memset(map.data, 0, 16 * 16 * 3 * sizeof(float));
    assert_int_equal(bands_run(&f.bands, f.b, &cancel, &map, &e), ERR_CANCELLED);
    assert_null(map.data);
    teardown(&f);
}

/* Each allocation that fails is an error, and nothing leaks (the sanitizers tell). */
static void no_memory(void **state)
{
    (void)state;
    struct fixture f;
    int rc = -1;
    setup(&f, DTYPE_F32, NULL);
    f.bands.n = vae_encoder_steps(&f.m, f.steps);
    for (long n = 1; rc; n++) {
        struct err e = {0};
        struct band_map map = new_map(16, 16, 3, DTYPE_F32);
        memset(map.data, 0, 16 * 16 * 3 * sizeof(float));
        mem_fail_nth(n);
        rc = bands_run(&f.bands, f.b, NULL, &map, &e);
        mem_fail_nth(0);
        if (rc)
            assert_err(e, ERR_NOMEM, "not enough memory");
        band_map_release(&map);
    }
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_f32),    cmocka_unit_test(in_generic_f32), cmocka_unit_test(in_bf16),
        cmocka_unit_test(tileable),  cmocka_unit_test(needs_less),     cmocka_unit_test(cancelled),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
