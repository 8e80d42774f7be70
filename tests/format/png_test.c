/* png_test.c - the PngSuite, texts inside PNGs, damaged files. */
#include "support/pictures.h"
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* The PngSuite's BMP renderings: 32 bits, BGRA, rows from the bottom. */
static struct picture read_bmp(const char *path)
{
    char *data;
    size_t size;
    struct err e = {0};
    int32_t offset, width, height;
    struct picture p;
    assert_ok(file_read(path, 1 << 20, &data, &size, &e), e);
    memcpy(&offset, data + 10, 4);
    memcpy(&width, data + 18, 4);
    memcpy(&height, data + 22, 4);
    assert_ok(picture_alloc(&p, width, height, 4, path, &e), e);
    assert_true((size_t)offset + (size_t)(4 * width * height) <= size);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const unsigned char *s = (unsigned char *)data + offset +
                                     4 * ((height - 1 - y) * width + x);
            unsigned char *d = p.data + 4 * (y * width + x);
            d[0] = s[2], d[1] = s[1], d[2] = s[0], d[3] = s[3];
        }
    free(data);
    return p;
}

/* Invisible pixels have no colour worth comparing: the renderings hold zeros there. */
static int difference_to_bmp(const struct picture *p, const struct picture *bmp)
{
    assert_int_equal(p->width, bmp->width);
    assert_int_equal(p->height, bmp->height);
    int worst = 0;
    for (int i = 0; i < p->width * p->height; i++) {
        const unsigned char *a = p->data + i * p->channels, *b = bmp->data + 4 * i;
        int alpha = p->channels == 4 ? a[3] : 255;
        int d = abs(alpha - b[3]);
        for (int c = 0; c < 3 && alpha > 0; c++)
            d = abs(a[c] - b[c]) > d ? abs(a[c] - b[c]) : d;
        worst = d > worst ? d : worst;
    }
    return worst;
}

/* NAME.png is <feature><interlace><colour type><bits>; 16 bits may be rounded either way. */
static void check_one(const char *dir, const char *name)
{
    struct err e = {0};
    char *png = mem_printf("%s/png/%s.png", dir, name),
         *bmp = mem_printf("%s/bmp/%s.bmp", dir, name);
    if (name[0] == 'x') {
        test_picture_refused(png, ERR_FORMAT);
    } else {
        struct picture p, want = read_bmp(bmp);
        assert_ok(picture_read(png, &p, NULL, &e), e);
        int worst = difference_to_bmp(&p, &want);
        if (worst > (strcmp(name + 6, "16") == 0 ? 1 : 0))
            fail_msg("%s: a sample is off by %d", name, worst);
        picture_release(&p);
        picture_release(&want);
    }
    free(png);
    free(bmp);
}

static void png_suite(void **state)
{
    (void)state;
    char *dir = test_shared("reference/pngsuite"), *png;
    if (!dir)
        test_skip("no shared PngSuite");
    png = file_join(dir, "png");
    DIR *d = opendir(png);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        size_t len = strlen(entry->d_name);
        if (len != 12 || strcmp(entry->d_name + 8, ".png") != 0)
            continue;
        entry->d_name[8] = '\0';
        check_one(dir, entry->d_name);
        n++;
    }
    closedir(d);
    assert_true(n >= 175);
    free(png);
    free(dir);
}

static void reads_texts(void **state)
{
    (void)state;
    struct picture_text t;
    struct picture p = test_picture("texts.png", &t);
    const char *unicode = "um farol ao anoitecer \u706f\u53f0 \U0001f5fc";
    assert_int_equal(t.n, 5);
    assert_int_equal(strncmp(picture_text_get(&t, "parameters"), "a lighthouse at dusk\nNeg", 24),
                     0);
    assert_string_equal(picture_text_get(&t, "Title"), "caf\u00e9"); /* Latin-1 in the file */
    assert_string_equal(picture_text_get(&t, "Comment"), unicode);
    assert_string_equal(picture_text_get(&t, "Wrapped"), unicode);
    assert_int_equal(strlen(picture_text_get(&t, "Squeezed")), 320);
    assert_null(picture_text_get(&t, "title"));
    picture_text_release(&t);
    picture_release(&p);
}

static void applies_exif_orientation(void **state)
{
    (void)state;
    struct picture want = test_picture("upright.png", NULL);
    struct picture p = test_picture("turned6.png", NULL);
    assert_int_equal(test_picture_difference(&p, &want), 0);
    picture_release(&p);
    picture_release(&want);
}

static void damaged_files(void **state)
{
    (void)state;
    test_picture_mutations("texts.png");
    test_picture_mutations("turned6.png");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_suite),
        cmocka_unit_test(reads_texts),
        cmocka_unit_test(applies_exif_orientation),
        cmocka_unit_test(damaged_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
