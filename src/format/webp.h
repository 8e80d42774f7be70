/* webp.h - WebP through libwebp; called by picture.c only. Specification: RFC 9649. */
#ifndef LAR_FORMAT_WEBP_H
#define LAR_FORMAT_WEBP_H

#include <stddef.h>

struct err;
struct picture;
struct picture_text;

/* Decodes lossy and lossless WebP to RGB, or RGBA where it has alpha, turned upright when EXIF
 * says so. Animations give ERR_UNSUPPORTED. `text` may be NULL. */
int webp_decode_picture(const void *data, size_t size, const char *name, struct picture *p,
                        struct picture_text *text, struct err *e);

#endif
