/* jpeg.h - JPEG through libjpeg-turbo; called by picture.c only. Specification: ITU-T T.81. */
#ifndef LAR_FORMAT_JPEG_H
#define LAR_FORMAT_JPEG_H

#include <stddef.h>

struct buf;
struct err;
struct picture;
struct picture_text;

/* Decodes baseline, progressive and arithmetic-coded JPEGs in gray, YCbCr, RGB, CMYK and YCCK to
 * RGB, turned upright when EXIF says so. `text` may be NULL. */
int jpeg_decode_picture(const void *data, size_t size, const char *name, struct picture *p,
                        struct picture_text *text, struct err *e);

/* Appends a JPEG of an RGB picture, quality 1..100: chroma in full from 90 on, else halved. `exif`
 * is what exif_append() made, at most JPEG_MAX_EXIF bytes; size 0: none. */
#define JPEG_MAX_EXIF (0xffff - 2 - 6)
struct jpeg_options {
    int quality;
    const void *exif;
    size_t exif_size;
};
int jpeg_encode_picture(const struct picture *p, const struct jpeg_options *o, struct buf *out,
                        struct err *e);

#endif
