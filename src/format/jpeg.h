/* jpeg.h - JPEG through libjpeg-turbo; called by picture.c only. Specification: ITU-T T.81. */
#ifndef LAR_FORMAT_JPEG_H
#define LAR_FORMAT_JPEG_H

#include <stddef.h>

struct err;
struct picture;
struct picture_text;

/* Decodes baseline, progressive and arithmetic-coded JPEGs in gray, YCbCr, RGB, CMYK and YCCK to
 * RGB, turned upright when EXIF says so. `text` may be NULL. */
int jpeg_decode_picture(const void *data, size_t size, const char *name, struct picture *p,
                        struct picture_text *text, struct err *e);

#endif
