/* canny_test.c - edges against OpenCV's cv2.Canny (tools/reference/canny.py). */
#include "support/pictures.h"
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/canny.h"

#include <stdlib.h>

static void compare(const char *picture, int low, int high)
{
    struct err e = {0};
    char *from = mem_printf("canny_%s.png", picture);
    char *name = mem_printf("canny_%s_%d_%d.png", picture, low, high);
    struct picture p = test_picture(from, NULL), want = test_picture(name, NULL);
    assert_ok(picture_canny(&p, low, high, &e), e);
    if (test_picture_difference(&p, &want) > 0)
        fail_msg("%s: an edge differs", name);
    picture_release(&p);
    picture_release(&want);
    free(from);
    free(name);
}

static void equals_opencv(void **state)
{
    (void)state;
    static const char *const pictures[] = {"shapes", "noise", "flat", "line"};
    for (int i = 0; i < 4; i++) {
        compare(pictures[i], 100, 200);
        compare(pictures[i], 30, 90);
        compare(pictures[i], 0, 0);
        compare(pictures[i], 150, 151);
    }
}

static void no_memory(void **state)
{
    (void)state;
    struct picture p = test_picture("canny_flat.png", NULL);
    int n = 0, rc;
    do {
        struct err e = {0};
        mem_fail_nth(++n);
        rc = picture_canny(&p, 100, 200, &e);
        mem_fail_nth(0);
        if (rc)
            assert_int_equal(rc, ERR_NOMEM);
    } while (rc);
    assert_int_equal(n, 4); /* each of three allocations has failed once */
    picture_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_opencv),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
