/* inpaint_test.c - what must hold of every masked picture, drawn with the bundled model; the
 * numbers themselves are compared with diffusers' in imagine_test.c.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/picture.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"

#include <string.h>

#define W 96
#define H 64

struct world {
    struct image_model *model;
    struct backend *backend;
    struct picture image;
};

static struct picture blank(int width, int height, int channels)
{
    struct picture p;
    struct err e = {0};
    assert_ok(picture_alloc(&p, width, height, channels, "test", &e), e);
    return p;
}

static int setup(void **state)
{
    static struct world w;
    struct err e = {0};
    assert_ok(image_model_open(&w.model, TEST_SOURCE_DIR "/models/spark/spark.gguf", &e), e);
    assert_ok(cpu_backend_new(&w.backend, 2, NULL, &e), e);
    w.image = blank(W, H, 3);
    for (int i = 0; i < W * H * 3; i++)
        w.image.data[i] = (unsigned char)(i * 37 + i / 97);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    picture_release(&w->image);
    backend_free(w->backend);
    image_model_close(w->model);
    return 0;
}

/* White in a box. */
static struct picture mask_of(int width, int height, int x0, int y0, int x1, int y1)
{
    struct picture p = blank(width, height, 3);
    for (int y = y0; y < y1; y++)
        memset(p.data + (y * width + x0) * 3, 255, (size_t)(x1 - x0) * 3);
    return p;
}

static int keep(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct picture *out = ctx;
    (void)i, (void)seed;
    *out = blank(p->width, p->height, p->channels);
    memcpy(out->data, p->data, (size_t)p->width * (size_t)p->height * (size_t)p->channels);
    return 0;
}

static struct imagine_request request(const struct world *w, const struct picture *image,
                                      const struct picture *mask, struct picture *out)
{
    struct imagine_request r;
    imagine_init(&r, w->model, w->backend);
    r.prompt = "a red apple";
    r.width = W;
    r.height = H;
    r.steps = 2;
    r.guidance = 1;
    r.image = image;
    r.mask = mask;
    r.on_picture = keep;
    r.ctx = out;
    return r;
}

static struct picture draw(const struct world *w, const struct imagine_request *r)
{
    struct err e = {0};
    struct picture *out = r->ctx;
    assert_ok(imagine(w->model, w->backend, r, &e), e);
    return *out;
}

static bool same_pixel(const struct picture *a, const struct picture *b, int x, int y)
{
    size_t i = (size_t)(y * a->width + x) * (size_t)a->channels;
    return memcmp(a->data + i, b->data + i, (size_t)a->channels) == 0;
}

/* Of the pixels inside the box, and of those outside, how many differ. */
static void count(const struct picture *a, const struct picture *b, const int box[4], int *in,
                  int *out)
{
    *in = *out = 0;
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++) {
            bool inside = x >= box[0] && x < box[2] && y >= box[1] && y < box[3];
            *(inside ? in : out) += !same_pixel(a, b, x, y);
        }
}

static void the_outside_is_untouched(void **state)
{
    const struct world *w = *state;
    static const int box[4] = {13, 9, 71, 50}; /* not on the latent's cells */
    struct picture out, mask = mask_of(W, H, box[0], box[1], box[2], box[3]);
    for (int seam = 0; seam < 20; seam += 9) {
        int inside, outside;
        struct imagine_request r = request(w, &w->image, &mask, &out);
        r.mask_seam = seam;
        draw(w, &r);
        count(&w->image, &out, box, &inside, &outside);
        assert_int_equal(outside, 0);
        assert_true(inside > (seam ? 500 : 2000)); /* of 2378 */
        picture_release(&out);
    }
    picture_release(&mask);
}

static void a_full_mask_is_image_to_image(void **state)
{
    const struct world *w = *state;
    struct picture plain, masked, mask = mask_of(W, H, 0, 0, W, H);
    struct imagine_request r = request(w, &w->image, NULL, &plain);
    r.strength = 0.6;
    draw(w, &r);
    r.mask = &mask;
    r.mask_seam = 0;
    r.ctx = &masked;
    draw(w, &r);
    assert_memory_equal(plain.data, masked.data, (size_t)W * H * 3);
    picture_release(&plain);
    picture_release(&masked);
    picture_release(&mask);
}

static void a_small_area_of_a_large_picture(void **state)
{
    const struct world *w = *state;
    static const int box[4] = {260, 40, 290, 60};
    int inside, outside;
    struct picture large = blank(300, 200, 3), out;
    struct picture mask = mask_of(300, 200, box[0], box[1], box[2], box[3]);
    for (int i = 0; i < 300 * 200 * 3; i++)
        large.data[i] = (unsigned char)(i * 11);
    struct imagine_request r = request(w, &large, &mask, &out);
    r.mask_area = true;
    r.mask_seam = 0;
    for (r.mask_padding = 0; r.mask_padding < 1000; r.mask_padding += 250) {
        draw(w, &r);
        assert_int_equal(out.width, 300);
        count(&large, &out, box, &inside, &outside);
        assert_int_equal(outside, 0);
        assert_true(inside > 400); /* of 600 */
        picture_release(&out);
    }
    picture_release(&large);
    picture_release(&mask);
}

static void transparency_is_kept_and_filled(void **state)
{
    const struct world *w = *state;
    struct picture out, clear = blank(W, H, 4), mask = mask_of(W, H, 0, 0, W / 2, H);
    memset(clear.data, 90, (size_t)W * H * 4);
    struct imagine_request r = request(w, &clear, &mask, &out);
    r.mask_seam = 0;
    draw(w, &r);
    assert_int_equal(out.channels, 4);
    assert_int_equal(out.data[3], 255);              /* drawn */
    assert_int_equal(out.data[(W - 1) * 4 + 3], 90); /* left alone */
    picture_release(&out);
    picture_release(&clear);
    picture_release(&mask);
}

static void what_is_refused(void **state)
{
    const struct world *w = *state;
    struct err e = {0};
    struct picture out = {0}, black = blank(W, H, 3), mask = mask_of(W, H, 0, 0, 10, 10);
    struct imagine_request r = request(w, NULL, &mask, &out);
    assert_int_equal(imagine(w->model, w->backend, &r, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "a mask but no picture");
    for (int area = 0; area < 2; area++) {
        r = request(w, &w->image, &black, &out);
        r.mask_area = area;
        e = (struct err){0};
        assert_int_equal(imagine(w->model, w->backend, &r, &e), ERR_ARG);
        assert_err(e, ERR_ARG, "the mask is all black");
    }
    r = request(w, &w->image, &mask, &out);
    r.mask_seam = -1;
    e = (struct err){0};
    assert_int_equal(imagine(w->model, w->backend, &r, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "seam -1");
    picture_release(&black);
    picture_release(&mask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_outside_is_untouched),
        cmocka_unit_test(a_full_mask_is_image_to_image),
        cmocka_unit_test(a_small_area_of_a_large_picture),
        cmocka_unit_test(transparency_is_kept_and_filled),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
