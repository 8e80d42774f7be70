/* webp.h - WebP through libwebp; called by picture.c only. Specification: RFC 9649. */
#ifndef LAR_FORMAT_WEBP_H
#define LAR_FORMAT_WEBP_H

#include <stddef.h>

struct buf;
struct err;
struct picture;
struct picture_text;

/* Decodes lossy and lossless WebP to RGB, or RGBA where it has alpha, turned upright when EXIF
 * says so. Animations give ERR_UNSUPPORTED. `text` may be NULL. */
int webp_decode_picture(const void *data, size_t size, const char *name, struct picture *p,
                        struct picture_text *text, struct err *e);

/* Appends a WebP of an RGB or RGBA picture, quality 1..100: lossy, at 100 lossless. `exif` is what
 * exif_append() made; size 0: none. ERR_UNSUPPORTED beyond 16383 pixels a side. */
struct webp_options {
    int quality;
    const void *exif;
    size_t exif_size;
};
int webp_encode_picture(const struct picture *p, const struct webp_options *o, struct buf *out,
                        struct err *e);

#endif
