/* webp_test.c - WebP against the pixels libwebp gives Pillow (tools/reference/pictures.py). */
#include "support/pictures.h"
#include "support/test.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static void same(const char *a, const char *b)
{
    struct picture got = test_picture(a, NULL), want = test_picture(b, NULL);
    int worst = test_picture_difference(&got, &want);
    if (worst > 0)
        fail_msg("%s: a sample is off by %d", a, worst);
    picture_release(&got);
    picture_release(&want);
}

static void pixels(void **state)
{
    (void)state;
    same("lossy.webp", "lossy.webp.png");
    same("lossy_alpha.webp", "lossy_alpha.webp.png");
    same("lossless_alpha.webp", "alpha.png");
    same("turned8.webp", "upright.png"); /* EXIF orientation */
}

static void reads_exif_text(void **state)
{
    (void)state;
    struct picture_text t;
    struct picture p = test_picture("comment_ascii.webp", &t);
    assert_string_equal(picture_text_get(&t, "ImageDescription"), "described");
    assert_int_equal(strncmp(picture_text_get(&t, "UserComment"), "a lighthouse", 12), 0);
    picture_text_release(&t);
    picture_release(&p);
}

static void refuses(void **state)
{
    (void)state;
    char *path = test_data("pictures/animated.webp");
    test_picture_refused(path, ERR_UNSUPPORTED);
    free(path);
    test_picture_mutations("lossy_alpha.webp");
    test_picture_mutations("turned8.webp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels),
        cmocka_unit_test(reads_exif_text),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
