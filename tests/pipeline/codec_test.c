/* codec_test.c - pictures to latents and back, whichever autoencoder; sides that are missing. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "pipeline/codec.h"
#include "pipeline/image_model.h"
#include "support/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define H 4
#define W 6
#define C 4

/* The parts of a model that a codec looks at. */
static struct image_model *codec_model(const char *variant, struct checkpoint **file)
{
    struct err e = {0};
    struct image_model *m = mem_alloc(sizeof(*m));
    struct hash_checkpoint_options o = {DTYPE_F16, NULL, "vae", 1, 1};
    char *path = model_write(variant, variant, o, false);
    char *folder = file_join(path, "vae");
    *file = model_open(folder);
    free(folder);
    m->unet.n_out = C;
    m->tiny_vae = taesd_present(*file);
    int rc = m->tiny_vae ? taesd_open(&m->taesd, *file, &e) : vae_open(&m->vae, *file, 0.18215, &e);
    assert_ok(rc, e);
    free(path);
    return m;
}

static void codec_model_free(struct image_model *m, struct checkpoint *file)
{
    vae_close(&m->vae);
    taesd_close(&m->taesd);
    checkpoint_close(file);
    free(m);
}

static struct picture gradient(int width, int height)
{
    struct err e = {0};
    struct picture p;
    assert_ok(picture_alloc(&p, width, height, 3, "gradient", &e), e);
    for (int i = 0; i < width * height * 3; i++)
        p.data[i] = (unsigned char)(i * 7 % 251);
    return p;
}

/* Scale and shift: latents of the UNet are (z - shift) * scale, and decoding undoes it. */
static void scale_and_shift(const char *variant)
{
    struct err e = {0};
    struct checkpoint *file;
    struct backend *b;
    struct codec c;
    struct picture in = gradient(W * 8, H * 8), first, second;
    float z[H * W * C], moved[H * W * C];
    struct image_model *m = codec_model(variant, &file);
    double *scale = m->tiny_vae ? &m->taesd.scale : &m->vae.scale;
    double *shift = m->tiny_vae ? &m->taesd.shift : &m->vae.shift;
    struct codec_encode x = {.m = m, .picture = &in, .h = H, .w = W, .precision = DTYPE_F32};
    assert_ok(cpu_backend_new(&b, 2, NULL, &e), e);
    *scale = 1;
    assert_ok(codec_encode(&x, b, z, &e), e);
    assert_ok(codec_init(&c, m, &(struct codec_options){H, W, DTYPE_F32, WRAP_NONE}, &e), e);
    assert_ok(codec_decode(&c, b, z, NULL, &first, &e), e);
    *scale = 0.25, *shift = 0.5;
    assert_ok(codec_encode(&x, b, moved, &e), e);
    for (int i = 0; i < H * W * C; i++)
        assert_true(fabsf(moved[i] - (z[i] - 0.5f) * 0.25f) < 1e-6f);
    assert_ok(codec_decode(&c, b, moved, NULL, &second, &e), e);
    assert_int_equal(second.width, W * 8);
    assert_int_equal(second.height, H * 8);
    for (int i = 0; i < W * H * 64 * 3; i++)
        assert_true(abs(first.data[i] - second.data[i]) <= 1);
    picture_release(&in);
    picture_release(&first);
    picture_release(&second);
    codec_release(&c);
    backend_free(b);
    codec_model_free(m, file);
}

static void scale_and_shift_kl(void **state)
{
    (void)state;
    scale_and_shift("vae-kl");
}

static void scale_and_shift_tiny(void **state)
{
    (void)state;
    scale_and_shift("taesd");
}

/* The same picture and latent in bands, as the codec runs them; the tiny autoencoder has none. */
static void in_bands(void **state)
{
    (void)state;
    struct err e = {0};
    struct checkpoint *file;
    struct backend *b;
    struct codec c;
    struct picture in = gradient(W * 8, H * 8), whole, bands;
    float z[H * W * C], again[H * W * C];
    struct image_model *m = codec_model("vae-kl", &file);
    struct codec_encode x = {.m = m, .picture = &in, .h = H, .w = W, .precision = DTYPE_F32};
    assert_ok(cpu_backend_new(&b, 2, NULL, &e), e);
    assert_ok(codec_encode(&x, b, z, &e), e);
    x.band_pixels = 200;
    assert_ok(codec_encode(&x, b, again, &e), e);
    for (int i = 0; i < H * W * C; i++)
        assert_true(fabsf(z[i] - again[i]) <= 1e-4f * (1 + fabsf(z[i])));
    assert_ok(codec_init(&c, m, &(struct codec_options){H, W, DTYPE_F32, WRAP_NONE}, &e), e);
    assert_ok(codec_decode(&c, b, z, NULL, &whole, &e), e);
    assert_int_equal(c.bands.n, 0);
    assert_ok(codec_use_bands(&c, 200, &e), e);
    for (int run = 0; run < 2; run++) {
        assert_ok(codec_decode(&c, b, z, NULL, &bands, &e), e);
        assert_int_equal(bands.width, whole.width);
        for (int i = 0; i < W * H * 64 * 3; i++)
            assert_true(abs(whole.data[i] - bands.data[i]) <= 1);
        picture_release(&bands);
    }
    picture_release(&whole);
    codec_release(&c);
    codec_model_free(m, file);

    m = codec_model("taesd", &file);
    x = (struct codec_encode){
        .m = m, .picture = &in, .h = H, .w = W, .precision = DTYPE_F32, .band_pixels = 200};
    assert_ok(codec_encode(&x, b, again, &e), e);
    assert_ok(codec_init(&c, m, &(struct codec_options){H, W, DTYPE_F32, WRAP_NONE}, &e), e);
    assert_int_equal(codec_use_bands(&c, 200, &e), ERR_UNSUPPORTED);
    codec_release(&c);
    codec_model_free(m, file);
    picture_release(&in);
    backend_free(b);
}

/* A picture beyond CODEC_WHOLE_BYTES is decoded in bands without being asked. */
static void large_ones_are_in_bands(void **state)
{
    (void)state;
    struct err e = {0};
    struct checkpoint *file;
    struct codec c;
    struct image_model *m = codec_model("vae-kl", &file);
    assert_ok(codec_init(&c, m, &(struct codec_options){64, 64, DTYPE_F32, WRAP_NONE}, &e), e);
    assert_int_equal(c.bands.n, 0);
    codec_release(&c);
    int rc = codec_init(&c, m, &(struct codec_options){384, 384, DTYPE_F32, WRAP_NONE}, &e);
    if (rc == ERR_NOMEM)
        print_message("skip: this machine has too little memory for a large picture\n");
    else
        assert_true(c.bands.n > 0);
    codec_release(&c);
    codec_model_free(m, file);
}

static void missing_sides(void **state)
{
    (void)state;
    static const char *const variants[] = {"vae-kl", "taesd"};
    for (int i = 0; i < 2; i++) {
        struct err e = {0};
        struct checkpoint *file;
        struct codec c;
        struct picture in = gradient(8, 8);
        struct image_model *m = codec_model(variants[i], &file);
        m->vae.has_decoder = m->vae.has_encoder = false;
        m->taesd.decoder.n_layer = m->taesd.encoder.n_layer = 0;
        assert_int_equal(codec_init(&c, m, &(struct codec_options){H, W, DTYPE_F32, WRAP_NONE}, &e),
                         ERR_FORMAT);
        assert_err(e, ERR_FORMAT, "no VAE decoder");
        codec_release(&c);
        e = (struct err){0};
        struct codec_encode x = {.m = m, .picture = &in, .h = H, .w = W, .precision = DTYPE_F32};
        assert_int_equal(codec_encode(&x, NULL, NULL, &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, "no VAE encoder");
        picture_release(&in);
        codec_model_free(m, file);
    }
}

static void absurd_sizes(void **state)
{
    (void)state;
    struct err e = {0};
    struct checkpoint *file;
    struct codec c;
    struct image_model *m = codec_model("vae-kl", &file);
    assert_int_equal(
        codec_init(&c, m, &(struct codec_options){8192, 8192, DTYPE_F32, WRAP_NONE}, &e),
        ERR_NOMEM);
    assert_err(e, ERR_NOMEM, "decoding at this size takes");
    codec_release(&c);
    codec_model_free(m, file);
}

static void cancelled(void **state)
{
    (void)state;
    struct err e = {0};
    struct checkpoint *file;
    struct backend *b;
    struct codec c;
    struct picture in = gradient(8, 8), out = {0};
    float z[H * W * C] = {0};
    atomic_bool cancel = true;
    struct image_model *m = codec_model("taesd", &file);
    struct codec_encode x = {
        .m = m, .picture = &in, .h = H, .w = W, .precision = DTYPE_F32, .cancel = &cancel};
    assert_ok(cpu_backend_new(&b, 1, NULL, &e), e);
    assert_int_equal(codec_encode(&x, b, z, &e), ERR_CANCELLED);
    e = (struct err){0};
    assert_ok(codec_init(&c, m, &(struct codec_options){H, W, DTYPE_F32, WRAP_NONE}, &e), e);
    assert_int_equal(codec_decode(&c, b, z, &cancel, &out, &e), ERR_CANCELLED);
    assert_null(out.data);
    picture_release(&in);
    codec_release(&c);
    backend_free(b);
    codec_model_free(m, file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scale_and_shift_kl),
        cmocka_unit_test(scale_and_shift_tiny),
        cmocka_unit_test(missing_sides),
        cmocka_unit_test(absurd_sizes),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(in_bands),
        cmocka_unit_test(large_ones_are_in_bands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
