/* resize_test.c - scaling against Pillow (tools/reference/pictures.py). */
#include "support/pictures.h"
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/resize.h"

#include <stdlib.h>
#include <string.h>

typedef int resize_fn(const struct picture *in, int w, int h, struct picture *out, struct err *e);

static void compare(const char *verb, const char *kind, int w, int h, resize_fn *fn)
{
    struct err e = {0};
    struct picture out;
    char *from = mem_printf("resize_%s.png", kind);
    char *name = mem_printf("%s_%s_%dx%d.png", verb, kind, w, h);
    struct picture in = test_picture(from, NULL), want = test_picture(name, NULL);
    assert_ok(fn(&in, w, h, &out, &e), e);
    int worst = test_picture_difference(&out, &want);
    if (worst > 0)
        fail_msg("%s: a sample is off by %d", name, worst);
    picture_release(&in);
    picture_release(&want);
    picture_release(&out);
    free(from);
    free(name);
}

static void equals_pillow(void **state)
{
    (void)state;
    static const int sizes[][2] = {{16, 12}, {64, 48}, {37, 10}, {1, 1}};
    for (int i = 0; i < 4; i++) {
        compare("resize", "rgb", sizes[i][0], sizes[i][1], picture_resize);
        compare("resize", "rgba", sizes[i][0], sizes[i][1], picture_resize);
    }
    compare("fit", "rgb", 24, 24, picture_fit);
    compare("fit", "rgb", 40, 16, picture_fit);
    compare("fit", "rgba", 24, 24, picture_fit);
    compare("fit", "rgba", 40, 16, picture_fit);
}

static void same_size_is_a_copy(void **state)
{
    (void)state;
    struct err e = {0};
    struct picture in = test_picture("resize_rgba.png", NULL), out;
    assert_ok(picture_fit(&in, in.width, in.height, &out, &e), e);
    assert_int_equal(test_picture_difference(&in, &out), 0);
    assert_ptr_not_equal(in.data, out.data);
    picture_release(&in);
    picture_release(&out);
}

static void bad_sizes_and_no_memory(void **state)
{
    (void)state;
    struct err e = {0};
    struct picture in = test_picture("resize_rgba.png", NULL), out;
    assert_int_equal(picture_resize(&in, 0, 5, &out, &e), ERR_FORMAT);
    assert_null(out.data);
    e = (struct err){0};
    assert_int_equal(picture_resize(&in, 100000, 100000, &out, &e), ERR_UNSUPPORTED);
    assert_err(e, ERR_UNSUPPORTED, "megapixels");
    int n = 0, rc;
    do {
        e = (struct err){0};
        mem_fail_nth(++n);
        rc = picture_resize(&in, 9, 9, &out, &e);
        mem_fail_nth(0);
        if (rc) {
            assert_int_equal(rc, ERR_NOMEM);
            assert_null(out.data);
        }
    } while (rc);
    assert_true(n > 8); /* every allocation has failed once */
    picture_release(&in);
    picture_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pillow),
        cmocka_unit_test(same_size_is_a_copy),
        cmocka_unit_test(bad_sizes_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
