/* upscale_test.c - pictures enlarged in tiles: what tiles give is what one piece gives, alpha is
 * kept, odd sizes work, and whoever cancels is heard.
 */
#include "pipeline/upscale.h"

#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "format/resize.h"
#include "models/esrgan.h"
#include "support/hash_checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct checkpoint *file;
    struct esrgan m;
    struct backend *b;
};

static void setup(struct fixture *f, const char *variant)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    struct err e = {0};
    char *dir = test_temp_dir(), name[64], *folder = file_join(dir, "upscaler");
    snprintf(name, sizeof(name), "manifests/%s.txt", variant);
    char *manifest = test_data(name);
    assert_ok(hash_checkpoint_write(manifest, dir, &o, &e), e);
    assert_ok(checkpoint_open(&f->file, folder, &e), e);
    assert_ok(esrgan_open(&f->m, f->file, &e), e);
    assert_ok(cpu_backend_new(&f->b, 2, NULL, &e), e);
    free(manifest);
    free(folder);
    free(dir);
}

static void teardown(struct fixture *f)
{
    esrgan_close(&f->m);
    checkpoint_close(f->file);
    backend_free(f->b);
}

static struct picture noise(int width, int height, int channels)
{
    struct picture p;
    struct err e = {0};
    assert_ok(picture_alloc(&p, width, height, channels, "noise", &e), e);
    for (int i = 0; i < width * height * channels; i++)
        p.data[i] = (unsigned char)(hash_mix64((uint64_t)i + 1) >> 56);
    return p;
}

/* The result with tiles of this size. */
static struct picture enlarge(const struct fixture *f, const struct picture *in, int tile)
{
    struct upscale_request r = {.picture = in, .precision = DTYPE_F32, .tile = tile};
    struct picture out;
    struct err e = {0};
    assert_ok(upscale(&f->m, f->b, &r, &out, &e), e);
    assert_int_equal(out.width, in->width * f->m.scale);
    assert_int_equal(out.height, in->height * f->m.scale);
    assert_int_equal(out.channels, in->channels);
    return out;
}

/* The greatest difference of tiles of this size to one piece. */
static int worst(const struct fixture *f, int width, int height, int tile)
{
    struct picture in = noise(width, height, 3);
    struct picture one = enlarge(f, &in, 1000), many = enlarge(f, &in, tile);
    int most = 0;
    for (int i = 0; i < one.width * one.height * 3; i++)
        most = abs(one.data[i] - many.data[i]) > most ? abs(one.data[i] - many.data[i]) : most;
    picture_release(&in);
    picture_release(&one);
    picture_release(&many);
    return most;
}

/* Where tiles overlap by all that a pixel depends on, only the order of sums may differ; the
 * larger network reaches further, faintly: two levels are a 128th. */
static void tiles_show_no_seam(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f, "srvgg-x4");
    assert_int_equal(f.m.reach, 5);
    assert_true(worst(&f, 53, 41, 16) <= 1);
    assert_true(worst(&f, 15, 100, 1) <= 1);
    assert_true(worst(&f, 17, 16, 16) <= 1);
    teardown(&f);
    setup(&f, "esrgan-x4");
    assert_true(f.m.reach > 24);
    assert_true(worst(&f, 80, 76, 74) <= 2);
    teardown(&f);
}

static void odd_sizes_work(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f, "esrgan-x2"); /* works on pairs of pixels */
    for (int i = 1; i < 4; i++) {
        struct picture in = noise(i, 2 * i - 1, 3), out = enlarge(&f, &in, 0);
        picture_release(&in);
        picture_release(&out);
    }
    assert_true(worst(&f, 81, 79, 1) <= 2);
    teardown(&f);
}

static void alpha_is_scaled_and_colours_are_not_mixed(void **state)
{
    struct fixture f;
    struct err e = {0};
    (void)state;
    setup(&f, "srvgg-x3");
    struct picture in = noise(21, 13, 4), plain = noise(21, 13, 3), grey = noise(21, 13, 3), alpha;
    for (int i = 0; i < 21 * 13; i++) {
        memcpy(plain.data + 3 * i, in.data + 4 * i, 3);
        memset(grey.data + 3 * i, in.data[4 * i + 3], 3);
    }
    struct picture out = enlarge(&f, &in, 0), colours = enlarge(&f, &plain, 0);
    assert_ok(picture_resize(&grey, 63, 39, &alpha, &e), e);
    for (int i = 0; i < 63 * 39; i++) {
        assert_memory_equal(out.data + 4 * i, colours.data + 3 * i, 3);
        assert_int_equal(out.data[4 * i + 3], alpha.data[3 * i]);
    }
    picture_release(&in);
    picture_release(&plain);
    picture_release(&grey);
    picture_release(&alpha);
    picture_release(&out);
    picture_release(&colours);
    teardown(&f);
}

static int count_tiles(int done, int total, void *ctx)
{
    assert_int_equal(done, ++*(int *)ctx);
    assert_int_equal(total, 4);
    return done == 3 ? ERR_CANCELLED : 0;
}

static void progress_and_cancel_are_heard(void **state)
{
    struct fixture f;
    struct picture in = noise(26, 26, 3), out;
    struct err e = {0};
    atomic_bool cancel = true;
    int done = 0;
    (void)state;
    setup(&f, "srvgg-x4");
    struct upscale_request r = {.picture = &in,
                                .precision = DTYPE_F32,
                                .tile = 18,
                                .on_progress = count_tiles,
                                .ctx = &done};
    assert_int_equal(upscale(&f.m, f.b, &r, &out, &e), ERR_CANCELLED);
    assert_int_equal(done, 3);
    assert_null(out.data);
    r.cancel = &cancel;
    assert_int_equal(upscale(&f.m, f.b, &r, &out, &e), ERR_CANCELLED);
    assert_int_equal(done, 3);
    picture_release(&in);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_show_no_seam),
        cmocka_unit_test(odd_sizes_work),
        cmocka_unit_test(alpha_is_scaled_and_colours_are_not_mixed),
        cmocka_unit_test(progress_and_cancel_are_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
