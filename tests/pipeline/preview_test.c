/* preview_test.c - pictures in the making: by the tiny decoder, by the fitted map, and that they
 * change nothing.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/picture.h"
#include "format/resize.h"
#include "pipeline/imagine.h"
#include "pipeline/preview.h"
#include "support/model.h"
#include "support/pictures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 3

/* What a request showed and drew. */
struct drawn {
    struct picture preview, picture; /* the last ones */
    int n_previews, n_pictures, stop_after;
    int steps[STEPS];
};

static void copy(struct picture *to, const struct picture *from)
{
    struct err e = {0};
    picture_release(to);
    assert_ok(picture_resize(from, from->width, from->height, to, &e), e);
}

static int on_preview(const struct picture *p, int step, void *ctx)
{
    struct drawn *d = ctx;
    assert_true(d->n_previews < STEPS);
    d->steps[d->n_previews++] = step;
    copy(&d->preview, p);
    return d->n_previews == d->stop_after ? ERR_CANCELLED : 0;
}

static int on_picture(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct drawn *d = ctx;
    (void)i, (void)seed;
    d->n_pictures++;
    copy(&d->picture, p);
    return 0;
}

static void release(struct drawn *d)
{
    picture_release(&d->preview);
    picture_release(&d->picture);
    *d = (struct drawn){0};
}

static struct imagine_request request(const struct image_model *m, struct drawn *d)
{
    struct imagine_request r;
    imagine_init(&r, m, NULL);
    r.prompt = "a house";
    r.width = 64;
    r.height = 96;
    r.steps = STEPS;
    r.sampler = SAMPLER_EULER;
    r.schedule = SCHEDULE_MODEL;
    r.on_preview = on_preview;
    r.on_picture = on_picture;
    r.ctx = d;
    return r;
}

static struct backend *backend(void)
{
    struct err e = {0};
    struct backend *b;
    assert_ok(cpu_backend_new(&b, 2, NULL, &e), e);
    return b;
}

static struct image_model *kl_model(char **path)
{
    struct err e = {0};
    struct image_model *m;
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    *path = model_write("sd15", "sd15", o, false);
    assert_ok(image_model_open(&m, *path, &e), e);
    return m;
}

/* The mean difference of two pictures of one shape, and that of the first from gray. */
static double mean_difference(const struct picture *a, const struct picture *b, double *from_gray)
{
    int n = a->width * a->height * 3;
    double sum = 0, gray = 0, mean = 0;
    assert_true(a->width == b->width && a->height == b->height);
    for (int i = 0; i < n; i++)
        mean += (double)a->data[i] / n;
    for (int i = 0; i < n; i++) {
        sum += abs(a->data[i] - b->data[i]);
        gray += fabs(a->data[i] - mean);
    }
    *from_gray = gray / n;
    return sum / n;
}

/* The bundled model's own VAE is a trained one: the fitted colours are those of the picture, and
 * asking for previews changes nothing in it. */
static void looks_like_the_picture(void **state)
{
    (void)state;
    struct err e = {0};
    struct image_model *m;
    struct backend *b = backend();
    struct drawn d = {0}, without = {0};
    double gray;
    assert_ok(image_model_open(&m, TEST_SOURCE_DIR "/models/spark/spark.gguf", &e), e);
    struct imagine_request r = request(m, &d);
    r.width = r.height = 128;
    assert_ok(imagine(m, b, &r, &e), e);
    assert_int_equal(d.n_previews, STEPS);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(d.steps[i], i + 1);
    double difference = mean_difference(&d.picture, &d.preview, &gray);
    print_message("the last preview differs by %.1f, gray by %.1f\n", difference, gray);
    assert_true(difference < gray / 2);

    r.on_preview = NULL;
    r.ctx = &without;
    assert_ok(imagine(m, b, &r, &e), e);
    assert_int_equal(without.n_previews, 0);
    assert_int_equal(test_picture_difference(&d.picture, &without.picture), 0);
    release(&d);
    release(&without);
    image_model_close(m);
    backend_free(b);
}

/* Without a tiny decoder: fitted once, the same each time; the request ends where one says so. */
static void linear_previews(void **state)
{
    (void)state;
    struct err e = {0};
    struct backend *b = backend();
    struct drawn d = {0}, again = {0};
    char *path;
    float map[IMAGE_MAX_LATENT + 1][3];
    struct image_model *m = kl_model(&path);
    struct imagine_request r = request(m, &d);
    assert_ok(imagine(m, b, &r, &e), e);
    assert_int_equal(d.n_previews, STEPS);
    assert_int_equal(d.preview.width, 64);
    assert_int_equal(d.preview.height, 96);
    assert_true(m->has_preview_map);
    memcpy(map, m->preview_map, sizeof(map));
    m->has_preview_map = false;
    r.ctx = &again;
    assert_ok(imagine(m, b, &r, &e), e);
    assert_memory_equal(map, m->preview_map, sizeof(map));
    assert_int_equal(test_picture_difference(&d.preview, &again.preview), 0);
    assert_int_equal(test_picture_difference(&d.picture, &again.picture), 0);

    release(&again);
    again.stop_after = 2;
    assert_int_equal(imagine(m, b, &r, &e), ERR_CANCELLED);
    assert_int_equal(again.n_previews, 2);
    assert_int_equal(again.n_pictures, 0);
    release(&again);
    release(&d);
    free(path);
    image_model_close(m);
    backend_free(b);
}

/* A picture larger than PREVIEW_SIDE is shown smaller, in its shape. */
static void large_pictures(void **state)
{
    (void)state;
    struct err e = {0};
    struct backend *b = backend();
    struct picture p;
    struct preview v;
    char *path;
    struct image_model *m = kl_model(&path);
    struct preview_options o = {NULL, 96, 160, DTYPE_F32, 0, NULL};
    float *latent = mem_alloc(96 * 160 * 4 * sizeof(*latent));
    assert_ok(preview_init(&v, m, b, &o, &e), e);
    assert_ok(preview_make(&v, latent, &p, &e), e);
    assert_int_equal(p.width, 53 * 8);
    assert_int_equal(p.height, 32 * 8);
    for (int i = 3; i < p.width * p.height * 3; i++) /* of zeros: the constant */
        assert_int_equal(p.data[i], p.data[i % 3]);
    picture_release(&p);
    preview_release(&v);
    free(latent);
    free(path);
    image_model_close(m);
    backend_free(b);
}

/* With a share, the second preview waits; without, none does. */
static void takes_its_share(void **state)
{
    (void)state;
    struct preview v = {.share = 0};
    assert_true(preview_due(&v));
    v.share = 0.1;
    assert_true(preview_due(&v));
    v.next = 1e300;
    assert_false(preview_due(&v));
}

static void decoders_beside_the_model(void **state)
{
    (void)state;
    struct err e = {0};
    struct preview_decoder *d;
    char *path;
    struct image_model *m = kl_model(&path);
    assert_ok(preview_decoder_open(&d, m, NULL, &e), e);
    assert_null(d);
    assert_int_equal(preview_decoder_open(&d, m, "/nonexistent/x.safetensors", &e), ERR_NOT_FOUND);
    e = (struct err){0};
    assert_int_equal(preview_decoder_open(&d, m, path, &e), ERR_FORMAT); /* a KL autoencoder */
    assert_null(d);
    image_model_close(m);

    char *folder = mem_printf("%s/..", path), *to = file_join(folder, "taesd");
    char *tiny = file_join(folder, "tiny"), *vae = file_join(tiny, "vae");
    char *manifest = model_manifest("taesd", ".txt");
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    e = (struct err){0};
    assert_ok(hash_checkpoint_write(manifest, tiny, &o, &e), e);
    assert_int_equal(rename(vae, to), 0);
    assert_ok(image_model_open(&m, path, &e), e);
    assert_ok(preview_decoder_open(&d, m, NULL, &e), e);
    assert_non_null(d);

    struct drawn shown = {0};
    struct backend *b = backend();
    struct imagine_request r = request(m, &shown);
    r.preview_decoder = &d->taesd;
    assert_ok(imagine(m, b, &r, &e), e);
    assert_int_equal(shown.n_previews, STEPS);
    assert_int_equal(shown.preview.width, 64);
    assert_false(m->has_preview_map);

    /* Were it the model's own, the last estimate, which is the result, would be the picture. */
    r.preview_decoder = NULL;
    m->tiny_vae = true;
    m->taesd = d->taesd;
    release(&shown);
    assert_ok(imagine(m, b, &r, &e), e);
    assert_int_equal(test_picture_difference(&shown.preview, &shown.picture), 0);
    m->tiny_vae = false;
    m->taesd = (struct taesd){0};
    release(&shown);
    backend_free(b);
    preview_decoder_close(d);
    image_model_close(m);
    free(manifest);
    free(vae);
    free(tiny);
    free(to);
    free(folder);
    free(path);
}

/* What is linear is found; latents that say nothing are refused. */
static void least_squares(void **state)
{
    (void)state;
    enum { N = 50, C = 4 };
    static const float want[C + 1][3] = {
        {30, -20, 5}, {1, 2, 3}, {-40, 0, 11}, {7, 7, -7}, {120, 128, 90}};
    float z[N * C], rgb[N * 3], map[IMAGE_MAX_LATENT + 1][3];
    struct err e = {0};
    uint32_t seed = 1;
    for (int i = 0; i < N * C; i++)
        z[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 0x1p23f - 1;
    for (int i = 0; i < N * 3; i++) {
        rgb[i] = want[C][i % 3];
        for (int j = 0; j < C; j++)
            rgb[i] += want[j][i % 3] * z[i / 3 * C + j];
    }
    assert_ok(preview_fit(z, rgb, N, C, map, &e), e);
    for (int i = 0; i < (C + 1) * 3; i++)
        assert_true(fabsf(map[i / 3][i % 3] - want[i / 3][i % 3]) < 1e-3f);
    memset(z, 0, sizeof(z));
    assert_int_equal(preview_fit(z, rgb, N, C, map, &e), ERR_NUMERIC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_like_the_picture),
        cmocka_unit_test(linear_previews),
        cmocka_unit_test(large_pictures),
        cmocka_unit_test(takes_its_share),
        cmocka_unit_test(decoders_beside_the_model),
        cmocka_unit_test(least_squares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
