/* extend_test.c - margins as people write them, and pictures that grow. */
#include "support/test.h"

#include "base/err.h"
#include "format/extend.h"
#include "format/picture.h"

#include <stdlib.h>
#include <string.h>

static void margins_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct margins m;
    } good[] = {{"64,0,8,1", {64, 0, 8, 1}},
                {"all=64", {64, 64, 64, 64}},
                {"left=3,bottom=16384", {3, 0, 0, 16384}},
                {"all=8,top=0", {8, 8, 0, 8}}};
    static const char *const bad[] = {
        "",     "64",          "0,0,0,0", "1,2,3",        "1,2,3,4,",         "1,2,3,x",
        "left", "left=",       "up=4",    "left=4,",      "left=-1",          "all=1 ",
        "=4",   "16385,0,0,0", "1,,2,3",  "left=4;top=2", "99999999999,0,0,0"};
    struct margins m;
    char text[MARGINS_TEXT];
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_true(margins_parse(&m, good[i].text));
        assert_memory_equal(&m, &good[i].m, sizeof(m));
        assert_true(margins_parse(&m, margins_text(&m, text)));
        assert_memory_equal(&m, &good[i].m, sizeof(m));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (margins_parse(&m, bad[i]))
            fail_msg("\"%s\" was taken for margins", bad[i]);
}

static void margins_are_rounded(void **state)
{
    (void)state;
    struct margins m = {0, 10, 5, 0};
    margins_round(&m, 100, 80, 8);
    assert_int_equal(m.right, 12);
    assert_int_equal(m.top, 8);
    assert_true(m.left == 0 && m.bottom == 0);
    margins_round(&m, 100, 80, 8);
    assert_int_equal(m.right, 12);
}

static struct picture sample(int channels)
{
    struct err e = {0};
    struct picture p;
    assert_ok(picture_alloc(&p, 5, 3, channels, "sample", &e), e);
    for (int i = 0; i < 15 * channels; i++)
        p.data[i] = (unsigned char)(i * 7 + 40);
    return p;
}

static const unsigned char *at(const struct picture *p, int x, int y)
{
    return p->data + (y * p->width + x) * p->channels;
}

/* The picture itself stays, and what is new is near to the nearest pixel. */
static void pictures_grow(void **state)
{
    (void)state;
    const struct margins m = {2, 70, 1, 0};
    for (int channels = 3; channels <= 4; channels++) {
        struct err e = {0};
        struct picture in = sample(channels), out;
        int differences = 0;
        assert_ok(picture_extend(&in, &m, &out, &e), e);
        assert_true(out.width == 77 && out.height == 4 && out.channels == channels);
        for (int y = 0; y < 3; y++)
            assert_memory_equal(at(&out, 2, y + 1), at(&in, 0, y), (size_t)(5 * channels));
        for (int c = 0; c < 3; c++) {
            assert_in_range(abs(at(&out, 1, 1)[c] - at(&in, 0, 0)[c]), 0, 2);
            assert_in_range(abs(at(&out, 76, 3)[c] - at(&in, 4, 2)[c]), 0, 48);
            for (int x = 50; x < 76; x++)
                differences += at(&out, x, 2)[c] != at(&out, x + 1, 2)[c];
        }
        assert_true(differences > 40); /* no streaks */
        if (channels == 4)
            assert_int_equal(at(&out, 76, 3)[3], at(&in, 4, 2)[3]);
        picture_release(&in);
        picture_release(&out);
    }
}

static void masks_cover_what_is_new(void **state)
{
    (void)state;
    const struct margins m = {2, 0, 1, 0};
    struct err e = {0};
    struct picture inside = {0}, out;
    struct extend_mask x = {NULL, 5, 3, 1};
    assert_ok(picture_extend_mask(&x, &m, &out, &e), e);
    for (int y = 0; y < 4; y++)
        for (int i = 0; i < 7; i++)
            assert_int_equal(at(&out, i, y)[1], i < 3 || y < 2 ? 255 : 0);
    picture_release(&out);

    assert_ok(picture_alloc(&inside, 5, 3, 3, "mask", &e), e);
    memset(inside.data + (2 * 5 + 4) * 3, 255, 3);
    x.inside = &inside;
    assert_ok(picture_extend_mask(&x, &m, &out, &e), e);
    assert_int_equal(at(&out, 6, 3)[0], 255);
    assert_int_equal(at(&out, 5, 3)[0], 0);
    picture_release(&out);
    picture_release(&inside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(margins_are_read),
        cmocka_unit_test(margins_are_rounded),
        cmocka_unit_test(pictures_grow),
        cmocka_unit_test(masks_cover_what_is_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
