/* sheet_test.c - where pictures and captions of a sheet lie. */
#include "support/test.h"

#include "base/err.h"
#include "cli/sheet.h"
#include "format/lettering.h"

#include <string.h>

static struct picture plain(int width, int height, unsigned char value)
{
    struct picture p;
    struct err e = {0};
    assert_ok(picture_alloc(&p, width, height, 3, "plain", &e), e);
    memset(p.data, value, (size_t)width * (size_t)height * 3);
    return p;
}

static const unsigned char *at(const struct picture *p, int x, int y)
{
    assert_true(x >= 0 && y >= 0 && x < p->width && y < p->height);
    return p->data + ((size_t)y * (size_t)p->width + (size_t)x) * 3;
}

/* Black pixels of a part. */
static int n_black(const struct picture *p, int x, int y, int width, int height)
{
    int n = 0;
    for (int row = y; row < y + height; row++)
        for (int column = x; column < x + width; column++)
            n += at(p, column, row)[1] == 0;
    return n;
}

static void places(void **state)
{
    (void)state;
    struct sheet s;
    struct err e = {0};
    struct picture out, a = plain(60, 40, 100), b = plain(60, 20, 200);
    sheet_init(&s, 2, 2);
    assert_ok(sheet_add(&s, &a, "I", &e), e);
    assert_ok(sheet_add(&s, &b, "two lines of it", &e), e);
    assert_ok(sheet_add(&s, &a, "", &e), e);
    assert_ok(sheet_draw(&s, &out, &e), e);
    int caption = 2 * LETTERING_HEIGHT, y = 8 + caption, down = caption + 40 + 8;
    assert_int_equal(out.width, 8 + 2 * 68);
    assert_int_equal(out.height, 8 + 2 * down);
    assert_int_equal(at(&out, 8, y)[0], 100);
    assert_int_equal(at(&out, 67, y + 39)[2], 100);
    assert_int_equal(at(&out, 68, y)[0], 255);
    assert_int_equal(at(&out, 76, y)[0], 200);
    assert_int_equal(at(&out, 76, y + 20)[0], 255);
    assert_int_equal(at(&out, 8, y + down)[0], 100);
    assert_int_equal(at(&out, 76, y + down)[0], 255);       /* no fourth picture */
    assert_int_equal(n_black(&out, 8, 8, 60, caption), 11); /* the letter I */
    assert_true(n_black(&out, 76, 8, 60, LETTERING_HEIGHT) > 20);
    assert_true(n_black(&out, 76, 8 + LETTERING_HEIGHT, 60, LETTERING_HEIGHT) > 20);
    picture_release(&out);
    picture_release(&a);
    picture_release(&b);
    sheet_release(&s);
}

/* Many large pictures are scaled to what one picture can hold; captions are cut. */
static void scales_down(void **state)
{
    (void)state;
    struct sheet s;
    struct err e = {0};
    struct picture out, a = plain(1000, 10, 50);
    char caption[500];
    memset(caption, 'W', sizeof caption);
    caption[sizeof caption - 1] = '\0';
    sheet_init(&s, 50, 1);
    for (int i = 0; i < 50; i++)
        assert_ok(sheet_add(&s, &a, caption, &e), e);
    assert_ok(sheet_draw(&s, &out, &e), e);
    assert_int_equal(out.width, 8 + 50 * (SHEET_MAX_SIDE / 50 + 8));
    assert_int_equal(out.height, 8 + 4 * LETTERING_HEIGHT + 1 + 8);
    picture_release(&out);
    picture_release(&a);
    sheet_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(places), cmocka_unit_test(scales_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
