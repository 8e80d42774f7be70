/* mask_test.c - masks from pictures, their bounds, seams and cells. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/mask.h"

#include <math.h>
#include <string.h>

static struct picture blank(int width, int height, int channels)
{
    struct picture p;
    struct err e = {0};
    assert_ok(picture_alloc(&p, width, height, channels, "test", &e), e);
    return p;
}

/* White in the box, black elsewhere. */
static struct mask boxed(int width, int height, struct mask_box box)
{
    struct mask m;
    struct err e = {0};
    struct picture p = blank(width, height, 3);
    for (int y = box.y; y < box.y + box.height; y++)
        memset(p.data + (y * width + box.x) * 3, 255, (size_t)box.width * 3);
    assert_ok(mask_from_picture(&m, &p, &e), e);
    picture_release(&p);
    return m;
}

static float at(const struct mask *m, int x, int y)
{
    return m->data[y * m->width + x];
}

static void white_is_meant(void **state)
{
    (void)state;
    static const unsigned char pixels[5][4] = {{255, 255, 255, 255},
                                               {0, 0, 0, 255},
                                               {0, 255, 0, 255},
                                               {255, 0, 0, 255},
                                               {255, 255, 255, 40}};
    static const float want[5] = {1, 0, 1, 0, 0};
    struct mask m;
    struct err e = {0};
    struct picture p = blank(5, 1, 4);
    memcpy(p.data, pixels, sizeof pixels);
    assert_ok(mask_from_picture(&m, &p, &e), e);
    for (int i = 0; i < 5; i++)
        assert_true(m.data[i] == want[i]);
    mask_release(&m);
    assert_ok(mask_from_alpha(&m, &p, "p.png", &e), e);
    for (int i = 0; i < 5; i++)
        assert_true(m.data[i] == (i == 4 ? 1 : 0));
    struct picture back;
    assert_ok(mask_to_picture(&m, &back, &e), e);
    assert_int_equal(back.data[4 * 3], 255);
    assert_int_equal(back.data[3 * 3], 0);
    mask_release(&m);
    picture_release(&back);
    picture_release(&p);
    p = blank(2, 2, 3);
    assert_int_equal(mask_from_alpha(&m, &p, "opaque.png", &e), ERR_ARG);
    assert_err(e, ERR_ARG, "opaque.png: has no transparency");
    picture_release(&p);
}

static void bounds(void **state)
{
    (void)state;
    struct mask m = boxed(9, 7, (struct mask_box){2, 3, 4, 1});
    struct mask_box b = mask_bounds(&m);
    assert_true(b.x == 2 && b.y == 3 && b.width == 4 && b.height == 1);
    mask_release(&m);
    m = boxed(9, 7, (struct mask_box){0, 0, 0, 0});
    assert_int_equal(mask_bounds(&m).width, 0);
    mask_release(&m);
}

static void cells(void **state)
{
    (void)state;
    float out[6];
    struct mask m = boxed(13, 9, (struct mask_box){3, 3, 2, 1}); /* cells of 4: x 0 and 1, y 0 */
    mask_shrink(&m, 4, out);
    static const float want[6] = {1, 1, 0, 0, 0, 0};
    assert_memory_equal(out, want, sizeof want);
    mask_release(&m);
}

static void seam_lies_inside(void **state)
{
    (void)state;
    struct err e = {0};
    const struct mask_box box = {20, 10, 40, 30};
    for (int width = 0; width < 14; width++) {
        struct mask m = boxed(80, 50, box);
        assert_ok(mask_feather(&m, width, &e), e);
        for (int y = 0; y < 50; y++)
            for (int x = 0; x < 80; x++) {
                bool in = x >= 20 && x < 60 && y >= 10 && y < 40;
                assert_true(at(&m, x, y) >= 0 && at(&m, x, y) <= 1);
                if (!in)
                    assert_true(at(&m, x, y) == 0);
            }
        assert_true(at(&m, 40, 25) == 1);
        for (int x = 21; x < 40; x++) /* rises from the edge inwards */
            assert_true(at(&m, x, 25) >= at(&m, x - 1, 25));
        if (width > 1)
            assert_true(at(&m, 20, 25) < 0.6f);
        else
            assert_true(width || at(&m, 20, 25) == 1);
        mask_release(&m);
    }
}

/* What reaches the picture's border has no seam there. */
static void no_seam_at_the_border(void **state)
{
    (void)state;
    struct err e = {0};
    struct mask m = boxed(30, 20, (struct mask_box){0, 0, 30, 20});
    assert_ok(mask_feather(&m, 6, &e), e);
    for (int i = 0; i < 600; i++)
        assert_true(fabsf(m.data[i] - 1) < 1e-5f);
    mask_release(&m);
}

static void no_memory(void **state)
{
    (void)state;
    for (int n = 1; n <= 3; n++) {
        struct err e = {0};
        struct mask m = boxed(30, 20, (struct mask_box){5, 5, 10, 10});
        mem_fail_nth(n);
        assert_int_equal(mask_feather(&m, 4, &e), ERR_NOMEM);
        mem_fail_nth(0);
        mask_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(white_is_meant),
        cmocka_unit_test(bounds),
        cmocka_unit_test(cells),
        cmocka_unit_test(seam_lies_inside),
        cmocka_unit_test(no_seam_at_the_border),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
