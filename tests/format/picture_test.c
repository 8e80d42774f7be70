/* picture_test.c - sniffing, turning, tensors, and writing PNGs that survive. */
#include "support/pictures.h"
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void sniffs(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int size, code;
        const char *says;
    } rows[] = {
        {"", 0, ERR_FORMAT, "empty"},
        {"hello, world", 12, ERR_FORMAT, "not a picture"},
        {"GIF89a......", 12, ERR_UNSUPPORTED, "GIF"},
        {"BM..........", 12, ERR_UNSUPPORTED, "BMP"},
        {"....ftypavif", 12, ERR_UNSUPPORTED, "AVIF"},
        {"....ftypheic", 12, ERR_UNSUPPORTED, "HEIC"},
        {"\x89PNG", 4, ERR_FORMAT, "PNG"},
        {"\xff\xd8\xff", 3, ERR_FORMAT, "JPEG"},
        {"RIFF....WEBP", 12, ERR_FORMAT, "WebP"},
        {"RIFF\x04\0\0\0WEBP", 12, ERR_FORMAT, "WebP"},
        {"RIFF....WAVE", 12, ERR_FORMAT, "not a picture"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct picture p;
        int rc = picture_decode(rows[i].bytes, (size_t)rows[i].size, "in.png", &p, NULL, &e);
        if (rc != rows[i].code || !strstr(e.text, rows[i].says) || !strstr(e.text, "in.png"))
            fail_msg("row %zu: %s: %s", i, err_name(rc), e.text);
        assert_null(p.data);
    }
    assert_true(picture_sniff("RIFF....WEBP", 12));
    assert_false(picture_sniff("RIFF....WEBP", 11));
    test_picture_refused("/nonexistent/lar.png", ERR_NOT_FOUND);
}

/* 3 x 2 letters, as in the drawing of the orientations in the EXIF specification. */
static void orients(void **state)
{
    (void)state;
    static const char *const want[] = {"abcdef", "cbafed", "fedcba", "defabc",
                                       "adbecf", "daebfc", "fcebda", "cfbead"};
    for (int o = 1; o <= 8; o++) {
        struct err e = {0};
        struct picture p;
        assert_ok(picture_alloc(&p, 3, 2, 3, "letters", &e), e);
        for (int i = 0; i < 18; i++)
            p.data[i] = (unsigned char)("abcdef"[i / 3] + i % 3);
        assert_ok(picture_orient(&p, o, "letters", &e), e);
        assert_int_equal(p.width, o < 5 ? 3 : 2);
        assert_int_equal(p.height, o < 5 ? 2 : 3);
        for (int i = 0; i < 18; i++)
            if (p.data[i] != want[o - 1][i / 3] + i % 3)
                fail_msg("orientation %d, sample %d", o, i);
        picture_release(&p);
    }
}

static void flattens_over_white(void **state)
{
    (void)state;
    unsigned char pixels[] = {10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 200, 128};
    static const unsigned char want[] = {10, 20, 30, 255, 255, 255, 127, 177, 227};
    float tensor[9];
    struct picture p = {3, 1, 4, pixels};
    picture_to_tensor(&p, tensor);
    picture_flatten(&p);
    assert_int_equal(p.channels, 3);
    assert_memory_equal(p.data, want, 9);
    for (int i = 0; i < 9; i++)
        assert_true(tensor[i] == 2.0f * ((float)want[i] / 255.0f) - 1.0f);
    picture_flatten(&p);
    assert_memory_equal(p.data, want, 9);
}

static void tensors_round_trip(void **state)
{
    (void)state;
    struct err e = {0};
    struct picture p, q;
    float x[3 * 256];
    assert_ok(picture_alloc(&p, 256, 1, 3, "ramp", &e), e);
    for (int i = 0; i < 768; i++)
        p.data[i] = (unsigned char)(i / 3);
    picture_to_tensor(&p, x);
    assert_true(x[0] == -1 && x[767] == 1);
    assert_ok(picture_from_tensor(&q, x, 256, 1, &e), e);
    assert_int_equal(test_picture_difference(&p, &q), 0);
    picture_release(&q);
    picture_release(&p);

    /* Half to even, as numpy rounds: 0.5, 1.5, 2.5 of 255; and clamping. */
    const float halves[6] = {0.5f / 255, 1.5f / 255, 2.5f / 255, -3, 1.0001f, INFINITY};
    static const unsigned char want[6] = {0, 2, 2, 0, 255, 255};
    assert_ok(picture_from_unit(&q, halves, 2, 1, &e), e);
    assert_memory_equal(q.data, want, 6);
    picture_release(&q);

    const float bad[6] = {0, 0, 0, 0, NAN, 0};
    assert_int_equal(picture_from_unit(&q, bad, 2, 1, &e), ERR_NUMERIC);
    assert_err(e, ERR_NUMERIC, "pixel 1");
    assert_null(q.data);
}

static void too_large_is_refused_before_memory(void **state)
{
    (void)state;
    /* A PNG header of 20000 x 20000 pixels. */
    static const unsigned char huge[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0N \0\0N \x08\2\0\0\0"
                                        "\x6c\x12\xd1\x6e\0\0\0\0IDAT";
    struct err e = {0};
    struct picture p;
    assert_int_equal(picture_alloc(&p, 65536, 65536, 3, "x.png", &e), ERR_UNSUPPORTED);
    assert_err(e, ERR_UNSUPPORTED, "64 megapixels");
    e = (struct err){0};
    assert_int_equal(picture_alloc(&p, 8192, 8193, 3, "x.png", &e), ERR_UNSUPPORTED);
    e = (struct err){0};
    assert_int_equal(picture_alloc(&p, 0, 7, 3, "x.png", &e), ERR_FORMAT);
    mem_fail_nth(1);
    e = (struct err){0};
    assert_int_equal(picture_alloc(&p, 8, 8, 3, "x.png", &e), ERR_NOMEM);
    mem_fail_nth(0);
    e = (struct err){0};
    picture_decode(huge, sizeof huge - 1, "huge.png", &p, NULL, &e);
    assert_err(e, ERR_UNSUPPORTED, "huge.png: 20000 x 20000");
}

/* Finds the chunk type that carries a keyword; "" when none does. */
static void chunk_of(const struct buf *png, const char *key, char type[5])
{
    const unsigned char *p = (const unsigned char *)png->data + 8;
    const unsigned char *end = (const unsigned char *)png->data + png->len;
    type[0] = '\0';
    while (end - p >= 12) {
        size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if ((p[4] == 't' || p[4] == 'i') && strcmp((const char *)p + 8, key) == 0) {
            memcpy(type, p + 4, 4);
            type[4] = '\0';
        }
        p += n + 12;
    }
}

static void writes_texts(void **state)
{
    (void)state;
    struct err e = {0};
    struct buf png;
    struct picture p = test_picture("alpha.png", NULL), q;
    struct picture_text t = {0}, u;
    char type[5];
    picture_text_add(&t, "parameters", "caf\u00e9\nSteps: 20");
    picture_text_add(&t, "lar", "{\"prompt\": \"plain\"}");
    picture_text_add(&t, "Comment", "\u706f\u53f0");
    picture_text_add(&t, "Empty", "");
    buf_init(&png, 1 << 20);
    assert_ok(picture_encode_png(&p, &t, &png, &e), e);
    chunk_of(&png, "parameters", type);
    assert_string_equal(type, "tEXt");
    chunk_of(&png, "lar", type);
    assert_string_equal(type, "iTXt");
    chunk_of(&png, "Comment", type);
    assert_string_equal(type, "iTXt");
    assert_ok(picture_decode(png.data, png.len, "memory", &q, &u, &e), e);
    assert_int_equal(test_picture_difference(&p, &q), 0);
    assert_int_equal(u.n, t.n);
    for (int i = 0; i < t.n; i++) {
        assert_string_equal(u.items[i].key, t.items[i].key);
        assert_string_equal(u.items[i].value, t.items[i].value);
    }
    picture_release(&q);
    picture_text_release(&u);
    buf_release(&png);

    buf_init(&png, 100); /* too small */
    assert_int_equal(picture_encode_png(&p, NULL, &png, &e), ERR_NOMEM);
    buf_release(&png);
    char key[100];
    memset(key, 'k', 99);
    key[99] = '\0';
    picture_text_add(&t, key, "v");
    buf_init(&png, 1 << 20);
    e = (struct err){0};
    assert_int_equal(picture_encode_png(&p, &t, &png, &e), ERR_ARG);
    buf_release(&png);
    picture_text_release(&t);
    picture_release(&p);
}

/* The picture as this format keeps it; its texts with `text`, which may be NULL. */
static struct picture recoded(const struct picture *p, const struct picture_text *text,
                              struct picture_coding coding, struct picture_text *found)
{
    struct err e = {0};
    struct buf file;
    struct picture q;
    buf_init(&file, 1 << 24);
    assert_ok(picture_encode(p, text, coding, &file, &e), e);
    assert_ok(picture_decode(file.data, file.len, "memory", &q, found, &e), e);
    buf_release(&file);
    return q;
}

static double mean_difference(const struct picture *a, const struct picture *b)
{
    size_t n = (size_t)a->width * (size_t)a->height * (size_t)a->channels;
    double sum = 0;
    assert_int_equal(a->channels, b->channels);
    for (size_t i = 0; i < n; i++)
        sum += abs(a->data[i] - b->data[i]);
    return sum / (double)n;
}

/* More quality, less loss; alpha where the format has it, else white; both texts. */
static void writes_jpeg_and_webp(void **state)
{
    (void)state;
    struct picture rgb = test_picture("upright.png", NULL);
    struct picture rgba = test_picture("alpha.png", NULL), flat = test_picture("alpha.png", NULL);
    struct picture_text t = {0}, found;
    picture_flatten(&flat);
    picture_text_add(&t, "parameters", "um farol \u706f \U0001f5fc\nSteps: 20");
    picture_text_add(&t, "lar", "{\"prompt\": \"um farol \U0001f5fc\"}");
    for (int format = PICTURE_JPEG; format <= PICTURE_WEBP; format++) {
        double before = 255;
        for (int quality = 30; quality <= 90; quality += 30) {
            struct picture_coding coding = {(enum picture_format)format, quality};
            struct picture q = recoded(&rgb, &t, coding, &found);
            double d = mean_difference(&rgb, &q);
            assert_true(d < before && d < 40);
            before = d;
            assert_string_equal(picture_text_get(&found, "UserComment"), t.items[0].value);
            assert_string_equal(picture_text_get(&found, "lar"), t.items[1].value);
            picture_text_release(&found);
            picture_release(&q);
        }
        struct picture_coding best = {(enum picture_format)format, 100};
        struct picture q = recoded(&rgba, NULL, best, NULL);
        struct picture *want = format == PICTURE_WEBP ? &rgba : &flat;
        assert_int_equal(q.channels, want->channels);
        if (format == PICTURE_WEBP) /* lossless, under transparency too */
            assert_int_equal(test_picture_difference(&q, want), 0);
        else
            assert_true(mean_difference(&q, want) < 3);
        picture_release(&q);
    }
    picture_text_release(&t);
    picture_release(&rgb);
    picture_release(&rgba);
    picture_release(&flat);
}

/* A JPEG has 64 KB for EXIF: then our form alone, then nothing; a WebP has room. */
static void long_recipes(void **state)
{
    (void)state;
    static const int lengths[] = {100, 30000, 70000};
    struct picture p = test_picture("upright.png", NULL);
    for (int i = 0; i < 3; i++) {
        struct picture_text t = {0}, found;
        char *text = mem_alloc((size_t)lengths[i] + 1);
        memset(text, 'x', (size_t)lengths[i]);
        picture_text_add(&t, "parameters", text);
        picture_text_add(&t, "lar", text);
        struct picture q = recoded(&p, &t, (struct picture_coding){PICTURE_JPEG, 0}, &found);
        assert_int_equal(found.n, 2 - i);
        if (i < 2)
            assert_string_equal(picture_text_get(&found, "lar"), text);
        picture_release(&q);
        picture_text_release(&found);
        q = recoded(&p, &t, (struct picture_coding){PICTURE_WEBP, 0}, &found);
        assert_int_equal(found.n, 2);
        assert_string_equal(picture_text_get(&found, "UserComment"), text);
        picture_release(&q);
        picture_text_release(&found);
        picture_text_release(&t);
        free(text);
    }
    picture_release(&p);
}

static int count_files(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

static void formats_by_suffix(void **state)
{
    (void)state;
    struct err e = {0};
    char *dir = test_temp_dir();
    static const char *const names[] = {"a.png", "b.JPG", "c.jpeg", "d.WebP"};
    static const char *const magic[] = {"\x89PNG", "\xff\xd8\xff", "\xff\xd8\xff", "RIFF"};
    struct picture p = test_picture("upright.png", NULL);
    for (int i = 0; i < 4; i++) {
        struct file_map m;
        char *path = file_join(dir, names[i]);
        assert_ok(picture_write(path, &p, NULL, 0, &e), e);
        assert_ok(file_map_open(&m, path, &e), e);
        assert_memory_equal(m.data, magic[i], strlen(magic[i]));
        file_map_close(&m);
        free(path);
    }
    char *gif = file_join(dir, "e.gif");
    assert_int_equal(picture_write(gif, &p, NULL, 0, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "e.gif: pictures are written as .png, .jpg or .webp");
    assert_int_equal(count_files(dir), 4);
    assert_int_equal(picture_format_of("dir.jpg/x"), N_PICTURE_FORMAT);
    e = (struct err){0};
    struct picture wide;
    assert_ok(picture_alloc(&wide, 16384, 1, 3, "wide", &e), e);
    char *webp = file_join(dir, "f.webp");
    assert_int_equal(picture_write(webp, &wide, NULL, 0, &e), ERR_UNSUPPORTED);
    assert_err(e, ERR_UNSUPPORTED, "f.webp: a WebP has at most 16383 pixels a side");
    assert_int_equal(count_files(dir), 4);
    picture_release(&wide);
    picture_release(&p);
    free(webp);
    free(gif);
    free(dir);
}

/* The disk is "full" where the process may not write files beyond 8 kB. */
static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    struct err e = {0};
    struct picture p, q;
    char *dir = test_temp_dir(), *path = file_join(dir, "out.png");
    assert_ok(picture_alloc(&p, 200, 200, 3, "noise", &e), e);
    uint32_t seed = 1;
    for (int i = 0; i < 200 * 200 * 3; i++)
        p.data[i] = (unsigned char)((seed = seed * 1664525u + 1013904223u) >> 24);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){8192, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int rc = picture_write_png(path, &p, NULL, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, ERR_IO);
    assert_err(e, ERR_IO, "out.png");
    assert_int_equal(count_files(dir), 0);

    char *webp = file_join(dir, "out.webp");
    e = (struct err){0};
    setrlimit(RLIMIT_FSIZE, &small);
    rc = picture_write(webp, &p, NULL, 100, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, ERR_IO);
    assert_err(e, ERR_IO, "out.webp");
    assert_int_equal(count_files(dir), 0);
    free(webp);

    e = (struct err){0};
    assert_ok(picture_write_png(path, &p, NULL, &e), e);
    assert_int_equal(count_files(dir), 1);
    assert_ok(picture_read(path, &q, NULL, &e), e);
    assert_int_equal(test_picture_difference(&p, &q), 0);
    picture_release(&q);

    char *nowhere = file_join(dir, "missing/out.png");
    assert_int_equal(picture_write_png(nowhere, &p, NULL, &e), ERR_IO);
    assert_err(e, ERR_IO, "missing/out.png");
    picture_release(&p);
    free(nowhere);
    free(path);
    free(dir);
}

static void decodes_foreign_charsets(void **state)
{
    (void)state;
    struct picture_text t = {0};
    picture_text_add_coded(&t, "a", "caf\xe9", 4, PICTURE_LATIN1);
    picture_text_add_coded(&t, "b", "caf\xe9", 4, PICTURE_UTF8); /* is not: taken as Latin-1 */
    picture_text_add_coded(&t, "c", "caf\xc3\xa9\0no", 8, PICTURE_UTF8);
    picture_text_add_coded(&t, "d", "\xd8\x3d\xdd\xfc", 4, PICTURE_UTF16BE);
    picture_text_add_coded(&t, "e", "\x3d\xd8\xfc\xdd", 4, PICTURE_UTF16LE);
    picture_text_add_coded(&t, "f", "\xd8\x3d\0x\xdd\xfc\xd8\x3d", 8, PICTURE_UTF16BE);
    picture_text_add_coded(&t, "g", "\xef\xbf\xbd", 3, PICTURE_UTF8); /* U+FFFD itself */
    assert_string_equal(picture_text_get(&t, "a"), "caf\u00e9");
    assert_string_equal(picture_text_get(&t, "b"), "caf\u00e9");
    assert_string_equal(picture_text_get(&t, "c"), "caf\u00e9");
    assert_string_equal(picture_text_get(&t, "d"), "\U0001f5fc");
    assert_string_equal(picture_text_get(&t, "e"), "\U0001f5fc");
    assert_string_equal(picture_text_get(&t, "f"), "\ufffdx\ufffd\ufffd");
    assert_string_equal(picture_text_get(&t, "g"), "\ufffd");
    for (int i = 0; i < 1000; i++)
        picture_text_add_coded(&t, "many", "x", 1, PICTURE_UTF8);
    assert_int_equal(t.n, 256);
    picture_text_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sniffs),
        cmocka_unit_test(orients),
        cmocka_unit_test(flattens_over_white),
        cmocka_unit_test(tensors_round_trip),
        cmocka_unit_test(too_large_is_refused_before_memory),
        cmocka_unit_test(writes_texts),
        cmocka_unit_test(writes_jpeg_and_webp),
        cmocka_unit_test(long_recipes),
        cmocka_unit_test(formats_by_suffix),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(decodes_foreign_charsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
