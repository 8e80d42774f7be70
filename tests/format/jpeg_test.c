/* jpeg_test.c - JPEGs of all colour models and codings, libjpeg-turbo's and damaged ones. */
#include "support/pictures.h"
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { W = 40, H = 24 };

struct coding {
    J_COLOR_SPACE in, file;
    int quality;
    bool progressive, arithmetic, subsampled;
    bool no_adobe; /* leave out the marker that says CMYK is inverted */
};

/* A smooth picture, so that JPEG keeps it closely. */
static unsigned char smooth(int x, int y, int c)
{
    return (unsigned char)(c == 0 ? 40 + 4 * x : c == 1 ? 30 + 7 * y : 200 - 2 * x - 2 * y);
}

/* Compresses smooth(); CMYK as 255 - RGB with some black taken out. */
static unsigned char *encode(const struct coding *how, unsigned long *size)
{
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL, row[W * 4];
    j.err = jpeg_std_error(&errors);
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &data, size);
    j.image_width = W;
    j.image_height = H;
    j.in_color_space = how->in;
    j.input_components = how->in == JCS_CMYK ? 4 : how->in == JCS_GRAYSCALE ? 1 : 3;
    jpeg_set_defaults(&j);
    jpeg_set_colorspace(&j, how->file);
    jpeg_set_quality(&j, how->quality, TRUE);
    j.arith_code = how->arithmetic;
    j.write_Adobe_marker = j.write_Adobe_marker && !how->no_adobe;
    if (!how->subsampled)
        j.comp_info[0].h_samp_factor = j.comp_info[0].v_samp_factor = 1;
    if (how->progressive)
        jpeg_simple_progression(&j);
    jpeg_start_compress(&j, TRUE);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++)
            for (int c = 0; c < j.input_components; c++) {
                int black = 20, v = c < 3 ? smooth(x, y, c) : 255 - black;
                if (how->in == JCS_CMYK && c < 3) /* ink = 1 - v / (1 - black) */
                    v = v * 255 / (255 - black) > 255 ? 255 : v * 255 / (255 - black);
                row[x * j.input_components + c] = (unsigned char)(how->no_adobe ? 255 - v : v);
            }
        JSAMPROW rows[] = {row};
        jpeg_write_scanlines(&j, rows, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    return data;
}

static void check(const char *name, const struct coding *how, int tolerance)
{
    unsigned long size = 0;
    struct err e = {0};
    struct picture p;
    unsigned char *data = encode(how, &size);
    assert_ok(picture_decode(data, size, name, &p, NULL, &e), e);
    assert_int_equal(p.width, W);
    assert_int_equal(p.height, H);
    assert_int_equal(p.channels, 3);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++) {
                int want = smooth(x, y, how->in == JCS_GRAYSCALE ? 0 : c);
                int got = p.data[(y * W + x) * 3 + c];
                if (abs(got - want) > tolerance)
                    fail_msg("%s at %d, %d: %d instead of %d", name, x, y, got, want);
            }
    picture_release(&p);
    free(data);
}

static void colour_models_and_codings(void **state)
{
    (void)state;
    check("baseline", &(struct coding){JCS_RGB, JCS_YCbCr, .quality = 98}, 4);
    check("subsampled", &(struct coding){JCS_RGB, JCS_YCbCr, .quality = 98, .subsampled = true}, 6);
    check("progressive", &(struct coding){JCS_RGB, JCS_YCbCr, .quality = 98, .progressive = true},
          4);
    check("arithmetic", &(struct coding){JCS_RGB, JCS_YCbCr, .quality = 98, .arithmetic = true}, 4);
    check("arithmetic progressive",
          &(struct coding){JCS_RGB, JCS_YCbCr, .quality = 98, .arithmetic = true,
                           .progressive = true},
          4);
    check("rgb", &(struct coding){JCS_RGB, JCS_RGB, .quality = 98}, 4);
    check("gray", &(struct coding){JCS_GRAYSCALE, JCS_GRAYSCALE, .quality = 98}, 3);
    check("cmyk", &(struct coding){JCS_CMYK, JCS_CMYK, .quality = 98}, 4);
    check("ycck", &(struct coding){JCS_CMYK, JCS_YCCK, .quality = 98}, 5);
    check("cmyk as is", &(struct coding){JCS_CMYK, JCS_CMYK, .quality = 98, .no_adobe = true}, 4);
}

static void equals_libjpeg_turbo(void **state)
{
    (void)state;
    char *jpg = test_shared("reference/jpeg-testimages/testimages/testorig.jpg");
    char *ppm = test_shared("reference/jpeg-testimages/testimages/testorig.ppm");
    if (!jpg || !ppm)
        test_skip("no shared JPEG test images");
    struct err e = {0};
    struct picture p, want;
    int width, height;
    assert_ok(picture_read(jpg, &p, NULL, &e), e);
    FILE *f = fopen(ppm, "rb");
    assert_int_equal(fscanf(f, "P6 %d %d 255", &width, &height), 2);
    fgetc(f);
    assert_ok(picture_alloc(&want, width, height, 3, ppm, &e), e);
    assert_int_equal(fread(want.data, 3, (size_t)(width * height), f), width * height);
    fclose(f);
    assert_true(test_picture_difference(&p, &want) <= 3); /* an older inverse DCT made it */
    picture_release(&p);
    picture_release(&want);
    free(jpg);
    free(ppm);
}

/* The same coefficients, once arithmetic and once Huffman coded. */
static void arithmetic_equals_huffman(void **state)
{
    (void)state;
    char *ari = test_shared("reference/jpeg-testimages/testimages/testimgari.jpg");
    char *huffman = test_shared("reference/jpeg-testimages/testimages/testimgint.jpg");
    if (!ari || !huffman)
        test_skip("no shared JPEG test images");
    struct err e = {0};
    struct picture p, want;
    assert_ok(picture_read(ari, &p, NULL, &e), e);
    assert_ok(picture_read(huffman, &want, NULL, &e), e);
    assert_int_equal(test_picture_difference(&p, &want), 0);
    picture_release(&p);
    picture_release(&want);
    free(ari);
    free(huffman);
}

static void equals_pillow_cmyk(void **state)
{
    (void)state;
    struct picture p = test_picture("cmyk.jpg", NULL), want = test_picture("cmyk.jpg.png", NULL);
    assert_true(test_picture_difference(&p, &want) <= 2);
    picture_release(&p);
    picture_release(&want);
}

static void twelve_bits_are_refused(void **state)
{
    (void)state;
    unsigned long size;
    struct err e = {0};
    struct picture p;
    unsigned char *data = encode(&(struct coding){JCS_RGB, JCS_YCbCr, .quality = 90}, &size);
    for (unsigned long i = 0; i + 4 < size; i++)
        if (data[i] == 0xff && data[i + 1] == 0xc0) {
            data[i + 4] = 12; /* the precision in the frame header */
            break;
        }
    assert_int_equal(picture_decode(data, size, "12 bits.jpg", &p, NULL, &e), ERR_UNSUPPORTED);
    assert_err(e, ERR_UNSUPPORTED, "12 bits.jpg");
    free(data);
}

/* A progressive file whose scans are repeated without end takes time, not forever. */
static void endless_scans_are_refused(void **state)
{
    (void)state;
    unsigned long size;
    struct err e = {0};
    struct picture p;
    unsigned char *data = encode(
        &(struct coding){JCS_RGB, JCS_YCbCr, .quality = 90, .progressive = true}, &size);
    unsigned long sos = 0, end; /* the first scan: the DC coefficients */
    while (data[sos] != 0xff || data[sos + 1] != 0xda)
        sos++;
    for (end = sos + 2; data[end] != 0xff || data[end + 1] == 0; end++)
        continue;
    unsigned long scan = end - sos;
    unsigned char *bomb = malloc(size + 1000 * scan);
    memcpy(bomb, data, size - 2);
    for (int i = 0; i < 1000; i++)
        memcpy(bomb + size - 2 + (unsigned long)i * scan, data + sos, scan);
    memcpy(bomb + size - 2 + 1000 * scan, data + size - 2, 2);
    assert_int_equal(picture_decode(bomb, size + 1000 * scan, "bomb.jpg", &p, NULL, &e),
                     ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "scans");
    free(bomb);
    free(data);
}

static void damaged_files(void **state)
{
    (void)state;
    test_picture_mutations("comment_be.jpg");
    test_picture_mutations("cmyk.jpg");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colour_models_and_codings),
        cmocka_unit_test(equals_libjpeg_turbo),
        cmocka_unit_test(arithmetic_equals_huffman),
        cmocka_unit_test(equals_pillow_cmyk),
        cmocka_unit_test(twelve_bits_are_refused),
        cmocka_unit_test(endless_scans_are_refused),
        cmocka_unit_test(damaged_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
