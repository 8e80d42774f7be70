/* picture.c - see picture.h. */
#include "format/picture.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/exif.h"
#include "format/jpeg.h"
#include "format/png.h"
#include "format/webp.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_TEXTS      256
#define MAX_TEXT_BYTES (4u << 20)
#define MAX_EXIF_BYTES (4 * MAX_TEXT_BYTES)
#define MAX_FILE_BYTES ((size_t)1 << 30)

void picture_text_add(struct picture_text *t, const char *key, const char *value)
{
    t->items = mem_realloc(t->items, ((size_t)t->n + 1) * sizeof *t->items);
    t->items[t->n++] = (struct picture_text_item){mem_strdup(key), mem_strdup(value)};
}

static void append_code_point(struct buf *b, uint32_t cp)
{
    char out[4];
    buf_append(b, out, utf8_encode(cp, out));
}

static bool utf8_is_valid(const char *s, size_t n)
{
    size_t taken;
    for (size_t i = 0; i < n; i += taken)
        if (utf8_decode(s + i, n - i, &taken) == UTF8_REPLACEMENT && taken < 3)
            return false;
    return true;
}

static void append_utf16(struct buf *b, const unsigned char *s, size_t n, bool little)
{
    uint32_t high = 0; /* a surrogate waiting for its other half */
    for (size_t i = 0; i + 1 < n; i += 2) {
        uint32_t u = little ? s[i] | (uint32_t)s[i + 1] << 8 : (uint32_t)s[i] << 8 | s[i + 1];
        bool is_low = (u & 0xfc00) == 0xdc00;
        if (high && !is_low)
            append_code_point(b, UTF8_REPLACEMENT);
        if (u == 0)
            return;
        if ((u & 0xfc00) == 0xd800) {
            high = u;
            continue;
        }
        if (is_low)
            u = high ? 0x10000 + ((high & 0x3ff) << 10) + (u & 0x3ff) : UTF8_REPLACEMENT;
        high = 0;
        append_code_point(b, u);
    }
    if (high)
        append_code_point(b, UTF8_REPLACEMENT);
}

void picture_text_add_coded(struct picture_text *t, const char *key, const void *bytes, size_t n,
                            enum picture_charset charset)
{
    if (!t || t->n >= MAX_TEXTS || n > MAX_TEXT_BYTES)
        return;
    struct buf b;
    buf_init(&b, MAX_TEXT_BYTES);
    if (charset == PICTURE_UTF16BE || charset == PICTURE_UTF16LE) {
        append_utf16(&b, bytes, n, charset == PICTURE_UTF16LE);
    } else {
        const char *s = bytes;
        n = strnlen(s, n);
        if (charset == PICTURE_UTF8 && utf8_is_valid(s, n))
            buf_append(&b, s, n);
        else
            for (size_t i = 0; i < n; i++)
                append_code_point(&b, (unsigned char)s[i]);
    }
    if (!buf_failed(&b))
        picture_text_add(t, key, buf_str(&b));
    buf_release(&b);
}

const char *picture_text_get(const struct picture_text *t, const char *key)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->items[i].key, key) == 0)
            return t->items[i].value;
    return NULL;
}

void picture_text_release(struct picture_text *t)
{
    for (int i = 0; i < t->n; i++) {
        free(t->items[i].key);
        free(t->items[i].value);
    }
    free(t->items);
    *t = (struct picture_text){0};
}

int picture_alloc(struct picture *p, int width, int height, int channels, const char *name,
                  struct err *e)
{
    *p = (struct picture){0};
    if (width < 1 || height < 1)
        return err_set(e, ERR_FORMAT, "%s: a picture of %d x %d pixels has no content", name, width,
                       height);
    if ((int64_t)width * height > PICTURE_MAX_PIXELS)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: %d x %d pixels are more than the %ld megapixels allowed; scale it down",
                       name, width, height, PICTURE_MAX_PIXELS >> 20);
    unsigned char *data = mem_try_array((size_t)width * (size_t)height, (size_t)channels, name, e);
    if (!data)
        return ERR_NOMEM;
    *p = (struct picture){width, height, channels, data};
    return 0;
}

static inline size_t n_pixels(const struct picture *p)
{
    return (size_t)p->width * (size_t)p->height;
}

void picture_release(struct picture *p)
{
    free(p->data);
    *p = (struct picture){0};
}

static bool starts(const void *data, size_t size, const char *magic, size_t n)
{
    return size >= n && memcmp(data, magic, n) == 0;
}

typedef int decode_fn(const void *data, size_t size, const char *name, struct picture *p,
                      struct picture_text *text, struct err *e);

static decode_fn *find_decoder(const void *data, size_t size)
{
    if (starts(data, size, "\x89PNG", 4))
        return png_decode_picture;
    if (starts(data, size, "\xff\xd8\xff", 3))
        return jpeg_decode_picture;
    if (size >= 12 && starts(data, size, "RIFF", 4) && !memcmp((const char *)data + 8, "WEBP", 4))
        return webp_decode_picture;
    return NULL;
}

/* Says what a foreign file is where that is easy to tell. */
static const char *foreign_kind(const void *data, size_t size)
{
    static const struct {
        const char *magic;
        int at, len;
        const char *kind;
    } kinds[] = {
        {"GIF8", 0, 4, "a GIF"},         {"BM", 0, 2, "a BMP"},
        {"II*\0", 0, 4, "a TIFF"},       {"MM\0*", 0, 4, "a TIFF"},
        {"ftypavif", 4, 8, "an AVIF"},   {"ftyphei", 4, 7, "a HEIC"},
        {"ftypmif1", 4, 8, "a HEIF"},    {"<svg", 0, 4, "an SVG"},
        {"\xff\x0a", 0, 2, "a JPEG XL"}, {"\0\0\0\x0cJXL ", 0, 8, "a JPEG XL"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= (size_t)(kinds[i].at + kinds[i].len) &&
            !memcmp((const char *)data + kinds[i].at, kinds[i].magic, (size_t)kinds[i].len))
            return kinds[i].kind;
    return NULL;
}

bool picture_sniff(const void *data, size_t size)
{
    return find_decoder(data, size) != NULL;
}

int picture_decode(const void *data, size_t size, const char *name, struct picture *p,
                   struct picture_text *text, struct err *e)
{
    *p = (struct picture){0};
    if (text)
        *text = (struct picture_text){0};
    decode_fn *decode = find_decoder(data, size);
    const char *kind = decode ? NULL : foreign_kind(data, size);
    int rc;
    if (kind)
        rc = err_set(e, ERR_UNSUPPORTED, "%s: %s file; save it as PNG, JPEG or WebP", name, kind);
    else if (!decode)
        rc = err_set(e, ERR_FORMAT, "%s: %s; PNG, JPEG and WebP are read", name,
                     size ? "not a picture" : "an empty file");
    else
        rc = decode(data, size, name, p, text, e);
    if (rc) {
        picture_release(p);
        if (text)
            picture_text_release(text);
    }
    return rc;
}

int picture_read(const char *path, struct picture *p, struct picture_text *text, struct err *e)
{
    *p = (struct picture){0};
    if (text)
        *text = (struct picture_text){0};
    struct file_map m;
    int rc = file_map_open(&m, path, e);
    if (rc)
        return rc;
    rc = picture_decode(m.data, m.size, path, p, text, e);
    file_map_close(&m);
    return rc;
}

int picture_write_png(const char *path, const struct picture *p, const struct picture_text *text,
                      struct err *e)
{
    struct file_writer w;
    int rc = file_writer_open(&w, path, e);
    if (rc)
        return rc;
    rc = png_encode_picture(p, text, &(struct png_sink){.file = &w}, e);
    if (!rc)
        return file_writer_commit(&w, e);
    err_prefix(e, "%s", path);
    file_writer_abort(&w);
    return rc;
}

int picture_encode_png(const struct picture *p, const struct picture_text *text, struct buf *out,
                       struct err *e)
{
    int rc = png_encode_picture(p, text, &(struct png_sink){.buf = out}, e);
    if (!rc && buf_failed(out))
        rc = err_set(e, ERR_NOMEM, "the PNG is larger than the %zu bytes there are for it",
                     out->max);
    return rc;
}

enum picture_format picture_format_of(const char *path)
{
    static const struct {
        const char *suffix;
        enum picture_format format;
    } rows[] = {{".png", PICTURE_PNG},
                {".jpg", PICTURE_JPEG},
                {".jpeg", PICTURE_JPEG},
                {".webp", PICTURE_WEBP}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof rows / sizeof *rows; i++)
        if (strcasecmp(dot, rows[i].suffix) == 0)
            return rows[i].format;
    return N_PICTURE_FORMAT;
}

/* The recipe as EXIF of at most `max` bytes: both forms, else the one that loses nothing. */
static void append_exif(struct buf *out, const struct picture_text *text, size_t max)
{
    const char *parameters = picture_text_get(text, "parameters");
    const char *lar = picture_text_get(text, "lar");
    exif_append(out, parameters, lar);
    if (out->len > max && lar && parameters) {
        buf_reset(out);
        exif_append(out, NULL, lar);
    }
    if (out->len <= max && !buf_failed(out))
        return;
    buf_reset(out);
    log_line(LOG_WARN, "the recipe is too long for this kind of picture and is left out of it; a "
                       "PNG has room");
}

static int encode_jpeg(const struct picture *p, const struct jpeg_options *o, struct buf *out,
                       struct err *e)
{
    struct picture flat = {0};
    if (p->channels == 3)
        return jpeg_encode_picture(p, o, out, e);
    int rc = picture_alloc(&flat, p->width, p->height, p->channels, "the picture", e);
    if (rc)
        return rc;
    memcpy(flat.data, p->data, n_pixels(p) * (size_t)p->channels);
    picture_flatten(&flat);
    rc = jpeg_encode_picture(&flat, o, out, e);
    picture_release(&flat);
    return rc;
}

int picture_encode(const struct picture *p, const struct picture_text *text,
                   struct picture_coding coding, struct buf *out, struct err *e)
{
    struct buf exif;
    int quality = coding.quality ? coding.quality : PICTURE_QUALITY, rc;
    if (coding.format == PICTURE_PNG)
        return picture_encode_png(p, text, out, e);
    buf_init(&exif, MAX_EXIF_BYTES);
    if (text)
        append_exif(&exif, text, coding.format == PICTURE_JPEG ? JPEG_MAX_EXIF : exif.max);
    if (coding.format == PICTURE_JPEG)
        rc = encode_jpeg(p, &(struct jpeg_options){quality, exif.data, exif.len}, out, e);
    else
        rc = webp_encode_picture(p, &(struct webp_options){quality, exif.data, exif.len}, out, e);
    buf_release(&exif);
    if (!rc && buf_failed(out))
        rc = err_set(e, ERR_NOMEM, "the picture is larger than the %zu bytes there are for it",
                     out->max);
    return rc;
}

int picture_write(const char *path, const struct picture *p, const struct picture_text *text,
                  int quality, struct err *e)
{
    struct picture_coding coding = {picture_format_of(path), quality};
    struct file_writer w;
    struct buf bytes;
    if (coding.format == PICTURE_PNG)
        return picture_write_png(path, p, text, e);
    if (coding.format == N_PICTURE_FORMAT)
        return err_set(e, ERR_ARG, "%s: pictures are written as .png, .jpg or .webp", path);
    buf_init(&bytes, MAX_FILE_BYTES);
    int rc = picture_encode(p, text, coding, &bytes, e);
    if (rc)
        err_prefix(e, "%s", path);
    else
        rc = file_writer_open(&w, path, e);
    if (!rc) {
        file_writer_write(&w, bytes.data, bytes.len);
        rc = file_writer_commit(&w, e);
    }
    buf_release(&bytes);
    return rc;
}

/* A sample over white. */
static inline unsigned char over_white(unsigned char sample, unsigned char alpha)
{
    return (unsigned char)((sample * alpha + 255 * (255 - alpha) + 127) / 255);
}

void picture_flatten(struct picture *p)
{
    if (p->channels != 4)
        return;
    const unsigned char *in = p->data;
    unsigned char *out = p->data;
    for (size_t i = n_pixels(p); i > 0; i--, in += 4, out += 3) {
        unsigned char alpha = in[3];
        for (int c = 0; c < 3; c++)
            out[c] = over_white(in[c], alpha);
    }
    p->channels = 3;
}

int picture_orient(struct picture *p, int orientation, const char *name, struct err *e)
{
    if (orientation < 2 || orientation > 8)
        return 0;
    bool swap = orientation >= 5; /* rows become columns */
    bool flip_x = (1 << orientation) & (1 << 2 | 1 << 3 | 1 << 7 | 1 << 8);
    bool flip_y = (1 << orientation) & (1 << 3 | 1 << 4 | 1 << 6 | 1 << 7);
    struct picture out;
    int rc = picture_alloc(&out, swap ? p->height : p->width, swap ? p->width : p->height,
                           p->channels, name, e);
    if (rc)
        return rc;
    unsigned char *to = out.data;
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++, to += p->channels) {
            int u = swap ? y : x, v = swap ? x : y;
            size_t from_x = (size_t)(flip_x ? p->width - 1 - u : u);
            size_t from_y = (size_t)(flip_y ? p->height - 1 - v : v);
            memcpy(to, p->data + (from_y * (size_t)p->width + from_x) * (size_t)p->channels,
                   (size_t)p->channels);
        }
    picture_release(p);
    *p = out;
    return 0;
}

void picture_to_tensor(const struct picture *p, float *out)
{
    const unsigned char *in = p->data;
    for (size_t i = n_pixels(p); i > 0; i--, in += p->channels)
        for (int c = 0; c < 3; c++) {
            unsigned char sample = p->channels == 4 ? over_white(in[c], in[3]) : in[c];
            *out++ = 2.0f * ((float)sample / 255.0f) - 1.0f;
        }
}

static int from_floats(struct picture *p, const float *x, float scale, float shift, struct err *e)
{
    size_t n = n_pixels(p) * 3;
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * scale + shift;
        if (isnan(v)) {
            size_t pixel = i / 3;
            picture_release(p);
            return err_set(e, ERR_NUMERIC,
                           "the computed picture is not a number at pixel %zu: the model "
                           "overflowed; try another model file",
                           pixel);
        }
        v = v < 0 ? 0 : v > 1 ? 1 : v;
        p->data[i] = (unsigned char)rintf(v * 255.0f);
    }
    return 0;
}

int picture_from_unit(struct picture *p, const float *x, int width, int height, struct err *e)
{
    int rc = picture_alloc(p, width, height, 3, "the computed picture", e);
    return rc ? rc : from_floats(p, x, 1.0f, 0.0f, e);
}

int picture_from_tensor(struct picture *p, const float *x, int width, int height, struct err *e)
{
    int rc = picture_alloc(p, width, height, 3, "the computed picture", e);
    return rc ? rc : from_floats(p, x, 0.5f, 0.5f, e);
}
