/* png.c - see png.h.
 *
 * libpng reports errors by a callback that must not return: both directions are one small function
 * below setjmp, whose state lives in the caller's struct and is released there.
 */
#include "format/png.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/exif.h"
#include "format/picture.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* Texts may be compressed, each up to libpng's limit of 8 MB: this bounds the memory they take. */
#define MAX_TEXTS 64

struct reader {
    const unsigned char *data;
    size_t size, at;
    const char *name;
    struct picture *p;
    struct err *e;
    int rc;
    jmp_buf jump;
};

static void on_read_error(png_structp png, png_const_charp message)
{
    struct reader *r = png_get_error_ptr(png);
    r->rc = err_set(r->e, ERR_FORMAT, "%s: a damaged PNG: %s", r->name, message);
    longjmp(r->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    log_line(LOG_DEBUG, "libpng: %s", message);
}

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    struct reader *r = png_get_io_ptr(png);
    if (n > r->size - r->at)
        png_error(png, "the file ends too early");
    memcpy(out, r->data + r->at, n);
    r->at += n;
}

/* Asks for 8-bit RGB or RGBA, whatever the file has; returns the channels. */
static int set_transforms(png_structp png, png_infop info)
{
    int type = png_get_color_type(png, info);
    bool alpha = (type & PNG_COLOR_MASK_ALPHA) || png_get_valid(png, info, PNG_INFO_tRNS);
    png_set_expand(png); /* palettes, 1 to 4 bits and tRNS become 8-bit samples */
    png_set_scale_16(png);
    if (!(type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
    return alpha ? 4 : 3;
}

static int decode_guarded(struct reader *r, png_structp png, png_infop info)
{
    if (setjmp(r->jump))
        return r->rc;
    png_set_read_fn(png, r, read_bytes);
    png_set_chunk_cache_max(png, MAX_TEXTS);
    png_read_info(png, info);
    int channels = set_transforms(png, info);
    int n_passes = png_set_interlace_handling(png);
    r->rc = picture_alloc(r->p, (int)png_get_image_width(png, info),
                          (int)png_get_image_height(png, info), channels, r->name, r->e);
    if (r->rc)
        return r->rc;
    png_read_update_info(png, info);
    size_t stride = (size_t)r->p->width * (size_t)channels;
    if (png_get_rowbytes(png, info) != stride)
        png_error(png, "rows of an unexpected size");
    for (int pass = 0; pass < n_passes; pass++)
        for (int y = 0; y < r->p->height; y++)
            png_read_row(png, r->p->data + (size_t)y * stride, NULL);
    png_read_end(png, info); /* texts may follow the pixels */
    return 0;
}

static void collect_texts(png_structp png, png_infop info, struct picture_text *text)
{
    png_textp items;
    int n = png_get_text(png, info, &items, NULL);
    for (int i = 0; i < n; i++) {
        bool utf8 = items[i].compression >= PNG_ITXT_COMPRESSION_NONE;
        size_t len = utf8 ? items[i].itxt_length : items[i].text_length;
        picture_text_add_coded(text, items[i].key, items[i].text, len,
                               utf8 ? PICTURE_UTF8 : PICTURE_LATIN1);
    }
}

int png_decode_picture(const void *data, size_t size, const char *name, struct picture *p,
                       struct picture_text *text, struct err *e)
{
    struct reader r = {.data = data, .size = size, .name = name, .p = p, .e = e};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_read_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return err_set(e, ERR_NOMEM, "%s: not enough memory to read it", name);
    }
    int rc = decode_guarded(&r, png, info);
    int orientation = 1;
    if (!rc) {
        png_uint_32 n;
        png_bytep exif;
        collect_texts(png, info, text);
        if (png_get_eXIf_1(png, info, &n, &exif))
            orientation = exif_parse(exif, n, text);
    }
    png_destroy_read_struct(&png, &info, NULL);
    return rc ? rc : picture_orient(p, orientation, name, e);
}

struct writer {
    const struct picture *p;
    const struct png_sink *sink;
    png_textp items; /* borrowed from the lists of strings below */
    int n_items;
    struct err *e;
    int rc;
    jmp_buf jump;
};

static void on_write_error(png_structp png, png_const_charp message)
{
    struct writer *w = png_get_error_ptr(png);
    w->rc = err_set(w->e, ERR_INTERNAL, "writing a PNG failed: %s", message);
    longjmp(w->jump, 1);
}

static void write_bytes(png_structp png, png_bytep data, size_t n)
{
    struct writer *w = png_get_io_ptr(png);
    if (w->sink->buf)
        buf_append(w->sink->buf, data, n);
    if (w->sink->file)
        file_writer_write(w->sink->file, data, n);
}

static void flush_bytes(png_structp png)
{
    (void)png;
}

static int encode_guarded(struct writer *w, png_structp png, png_infop info)
{
    if (setjmp(w->jump))
        return w->rc;
    const struct picture *p = w->p;
    size_t stride = (size_t)p->width * (size_t)p->channels;
    png_set_write_fn(png, w, write_bytes, flush_bytes);
    png_set_IHDR(png, info, (png_uint_32)p->width, (png_uint_32)p->height, 8,
                 p->channels == 4 ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
    if (w->n_items)
        png_set_text(png, info, w->items, w->n_items);
    png_write_info(png, info);
    for (int y = 0; y < p->height; y++)
        png_write_row(png, p->data + (size_t)y * stride);
    png_write_end(png, info);
    return 0;
}

/* UTF-8 as Latin-1 on the heap, or NULL where that cannot say it. */
static char *to_latin1(const char *s)
{
    size_t n = strlen(s), taken;
    char *out = mem_alloc(n + 1), *to = out;
    for (size_t i = 0; i < n; i += taken) {
        uint32_t cp = utf8_decode(s + i, n - i, &taken);
        if (cp > 0xff) {
            free(out);
            return NULL;
        }
        *to++ = (char)(unsigned char)cp;
    }
    return out;
}

/* Keywords are 1..79 printable Latin-1 characters (PNG 11.3.3.1). */
static int check_key(const char *key, struct err *e)
{
    size_t n = strlen(key);
    if (n < 1 || n > 79)
        return err_set(e, ERR_ARG, "a PNG keyword has 1 to 79 characters, \"%.99s\" has %zu", key,
                       n);
    return 0;
}

int png_encode_picture(const struct picture *p, const struct picture_text *text,
                       const struct png_sink *sink, struct err *e)
{
    int n = text ? text->n : 0, rc = 0;
    struct writer w = {.p = p, .sink = sink, .e = e, .n_items = n};
    char **latin1 = mem_alloc(((size_t)n + 1) * sizeof *latin1);
    w.items = mem_alloc(((size_t)n + 1) * sizeof *w.items);
    for (int i = 0; i < n && !rc; i++) {
        struct picture_text_item *item = &text->items[i];
        rc = check_key(item->key, e);
        latin1[i] = strcmp(item->key, "lar") == 0 ? NULL : to_latin1(item->value);
        w.items[i].compression = latin1[i] ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        w.items[i].key = item->key;
        w.items[i].text = latin1[i] ? latin1[i] : item->value;
    }
    png_structp png = NULL;
    png_infop info = NULL;
    if (!rc)
        png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, on_write_error, on_warning);
    if (png)
        info = png_create_info_struct(png);
    if (info)
        rc = encode_guarded(&w, png, info);
    else if (!rc)
        rc = err_set(e, ERR_NOMEM, "not enough memory to write a PNG");
    png_destroy_write_struct(&png, &info);
    for (int i = 0; i < n; i++)
        free(latin1[i]);
    free(latin1);
    free(w.items);
    return rc;
}
