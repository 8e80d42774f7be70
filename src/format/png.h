/* png.h - PNG through libpng; called by picture.c only. Specification: W3C PNG, third edition. */
#ifndef LAR_FORMAT_PNG_H
#define LAR_FORMAT_PNG_H

#include <stddef.h>

struct buf;
struct err;
struct file_writer;
struct picture;
struct picture_text;

/* Decodes every kind of PNG to 8-bit RGB or RGBA, turned upright when an eXIf chunk says so. For
 * an animated PNG that is its still image. `text` may be NULL. */
int png_decode_picture(const void *data, size_t size, const char *name, struct picture *p,
                       struct picture_text *text, struct err *e);

/* Appends a PNG to the buffer or writes it to the file, whichever is not NULL. Failures of either
 * sink are left for its owner to report. */
struct png_sink {
    struct buf *buf;
    struct file_writer *file;
};
int png_encode_picture(const struct picture *p, const struct picture_text *text,
                       const struct png_sink *sink, struct err *e);

#endif
