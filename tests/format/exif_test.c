/* exif_test.c - orientation and comments, from files and from hostile bytes. */
#include "support/pictures.h"
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/exif.h"

#include <stdlib.h>
#include <string.h>

#define UNICODE "um farol ao anoitecer \u706f\u53f0 \U0001f5fc"

static void all_orientations(void **state)
{
    (void)state;
    struct picture want = test_picture("turned1.jpg", NULL);
    struct picture exact = test_picture("upright.png", NULL);
    assert_true(test_picture_difference(&want, &exact) < 40); /* JPEG's own loss */
    for (int o = 2; o <= 8; o++) {
        char *name = mem_printf("turned%d.jpg", o);
        struct picture p = test_picture(name, NULL);
        /* Turned pixels are coded in other blocks, so some loss differs. */
        if (test_picture_difference(&p, &want) > 40)
            fail_msg("%s: is not upright", name);
        picture_release(&p);
        free(name);
    }
    picture_release(&exact);
    picture_release(&want);
}

static void user_comments(void **state)
{
    (void)state;
    static const char *const names[] = {"comment_be.jpg", "comment_le.jpg", "comment_mixed.jpg"};
    for (int i = 0; i < 3; i++) {
        struct picture_text t;
        struct picture p = test_picture(names[i], &t);
        assert_string_equal(picture_text_get(&t, "UserComment"), UNICODE);
        assert_string_equal(picture_text_get(&t, "ImageDescription"), "described");
        picture_text_release(&t);
        picture_release(&p);
    }
}

/* Byte for byte the comment that piexif wrote into AUTOMATIC1111's JPEG, and that text read from
 * its WebP. */
static void equals_piexif(void **state)
{
    (void)state;
    struct err e = {0};
    struct picture_text t;
    struct file_map m;
    struct buf ours;
    struct picture p = test_picture("a1111.webp", &t);
    const char *text = picture_text_get(&t, "UserComment");
    assert_non_null(text);
    assert_non_null(strstr(text, UNICODE));
    buf_init(&ours, 1 << 20);
    exif_append(&ours, text, NULL);
    char *path = test_data("pictures/a1111.jpg");
    assert_ok(file_map_open(&m, path, &e), e);
    const char *comment = memmem(ours.data, ours.len, "UNICODE", 8);
    assert_non_null(comment);
    assert_non_null(memmem(m.data, m.size, comment, ours.len - (size_t)(comment - ours.data)));
    buf_reset(&ours);
    exif_append(&ours, NULL, NULL);
    assert_int_equal(ours.len, 0);
    file_map_close(&m);
    buf_release(&ours);
    picture_release(&p);
    picture_text_release(&t);
    free(path);
}

/* A little-endian block: a header and one directory of up to three entries. */
struct entry {
    uint16_t tag, type;
    uint32_t count, value;
};

static size_t build(unsigned char *out, uint32_t directory, int n, const struct entry *entries)
{
    uint16_t n16 = (uint16_t)n;
    memcpy(out, "II*\0", 4);
    memcpy(out + 4, &directory, 4);
    memcpy(out + 8, &n16, 2);
    for (int i = 0; i < n; i++) {
        unsigned char *p = out + 10 + 12 * i;
        memcpy(p, &entries[i].tag, 2);
        memcpy(p + 2, &entries[i].type, 2);
        memcpy(p + 4, &entries[i].count, 4);
        memcpy(p + 8, &entries[i].value, 4);
    }
    return (size_t)(10 + 12 * n);
}

static int parse(uint32_t directory, int n, struct entry a, struct entry b)
{
    unsigned char buffer[64], *exact;
    size_t size = build(buffer, directory, n, (struct entry[]){a, b});
    struct picture_text t = {0};
    exact = malloc(size);
    memcpy(exact, buffer, size);
    int orientation = exif_parse(exact, size, &t);
    free(exact);
    if (t.n)
        orientation += 100;
    picture_text_release(&t);
    return orientation;
}

static void hostile_blocks(void **state)
{
    (void)state;
    struct entry turn = {0x112, 3, 1, 6}, none = {0};
    assert_int_equal(parse(8, 1, turn, none), 6);
    assert_int_equal(parse(8, 2, none, turn), 6);
    assert_int_equal(parse(8, 1, (struct entry){0x112, 4, 1, 3}, none), 3);
    assert_int_equal(parse(8, 1, (struct entry){0x112, 3, 1, 9}, none), 1);
    assert_int_equal(parse(8, 1, (struct entry){0x112, 2, 1, 6}, none), 1);
    assert_int_equal(parse(0xfffffff0u, 1, turn, none), 1);
    assert_int_equal(parse(33, 1, turn, none), 1);
    /* A description outside the block, one that wraps round, and one inside. */
    assert_int_equal(parse(8, 2, turn, (struct entry){0x10e, 2, 20, 1000}), 6);
    assert_int_equal(parse(8, 2, turn, (struct entry){0x10e, 2, 0xffffffffu, 8}), 6);
    assert_int_equal(parse(8, 2, turn, (struct entry){0x10e, 2, 5, 0xfffffffeu}), 6);
    assert_int_equal(parse(8, 2, turn, (struct entry){0x10e, 2, 3, 0x00434241}), 106);
    /* An EXIF directory that is the first one again. */
    assert_int_equal(parse(8, 2, (struct entry){0x8769, 4, 1, 8}, turn), 6);
    assert_int_equal(exif_parse("", 0, NULL), 1);
    assert_int_equal(exif_parse("Exif\0\0", 6, NULL), 1);
}

/* Whichever allocation fails, the error says so and nothing is left behind. */
static void no_memory(void **state)
{
    (void)state;
    char *path = test_data("pictures/turned6.jpg");
    for (int n = 1; n <= 2; n++) { /* the pixels, the turned pixels */
        mem_fail_nth(n);
        test_picture_refused(path, ERR_NOMEM);
        mem_fail_nth(0);
    }
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_orientations), cmocka_unit_test(user_comments),
        cmocka_unit_test(equals_piexif),    cmocka_unit_test(hostile_blocks),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
