/* lettering_test.c - letters where they belong, and nothing outside the picture. */
#include "support/test.h"

#include "base/err.h"
#include "format/lettering.h"
#include "format/picture.h"

#include <string.h>

static struct picture paper(int width, int height)
{
    struct picture p;
    struct err e = {0};
    assert_ok(picture_alloc(&p, width, height, 3, "paper", &e), e);
    memset(p.data, 0xff, (size_t)width * (size_t)height * 3);
    return p;
}

static bool black(const struct picture *p, int x, int y)
{
    return p->data[((size_t)y * (size_t)p->width + (size_t)x) * 3] == 0;
}

/* A letter as text, one line per row. */
static void check(const char *letter, int scale, const char *const rows[7])
{
    struct picture p = paper(20, 20);
    lettering_draw(&p, (struct lettering_place){1, 2, scale}, letter, strlen(letter));
    for (int y = 0; y < 20; y++)
        for (int x = 0; x < 20; x++) {
            int column = (x - 1) / scale, row = (y - 2) / scale;
            bool inside = x >= 1 && y >= 2 && column < 5 && row < 7;
            if (black(&p, x, y) != (inside && rows[row][column] == '#'))
                fail_msg("%s: wrong at %d, %d", letter, x, y);
        }
    picture_release(&p);
}

static void letters(void **state)
{
    static const char *const seven[7] = {"#####", "    #", "   # ", "  #  ",
                                         "  #  ", " #   ", " #   "};
    static const char *const box[7] = {"#####", "#   #", "#   #", "#   #",
                                       "#   #", "#   #", "#####"};
    static const char *const space[7] = {"     ", "     ", "     ", "     ",
                                         "     ", "     ", "     "};
    (void)state;
    check("7", 1, seven);
    check("7", 2, seven);
    check("灯", 1, box);
    check("\xff", 2, box);
    check("\n", 1, box);
    check(" ", 1, space);
}

/* No two letters look the same. */
static void all_differ(void **state)
{
    (void)state;
    struct picture p = paper(95 * LETTERING_WIDTH, 7);
    for (int i = 0; i < 95; i++) {
        char c = (char)(' ' + i);
        lettering_draw(&p, (struct lettering_place){i * LETTERING_WIDTH, 0, 1}, &c, 1);
    }
    for (int a = 0; a < 95; a++)
        for (int b = 0; b < a; b++) {
            int n = 0;
            for (int y = 0; y < 7; y++)
                for (int x = 0; x < LETTERING_WIDTH; x++)
                    n += black(&p, a * LETTERING_WIDTH + x, y) !=
                         black(&p, b * LETTERING_WIDTH + x, y);
            if (n == 0)
                fail_msg("%c and %c look the same", ' ' + a, ' ' + b);
        }
    picture_release(&p);
}

static void clips(void **state)
{
    (void)state;
    struct picture p = paper(9, 9);
    lettering_draw(&p, (struct lettering_place){-3, -4, 3}, "####", 4);
    lettering_draw(&p, (struct lettering_place){7, 8, 5}, "####", 4);
    assert_true(black(&p, 8, 0) || black(&p, 0, 8) || black(&p, 8, 8));
    picture_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(letters), cmocka_unit_test(all_differ),
                                       cmocka_unit_test(clips)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
