/* picture.h - pictures: reading and writing PNG, JPEG and WebP, and the way to and from tensors.
 *
 *     bytes --sniff--> png.c | jpeg.c | webp.c --> struct picture --exif.c--> turned upright
 *                                 \--> struct picture_text (recipes, comments)
 *
 * Colours are taken as sRGB: gamma chunks and ICC profiles are ignored, as diffusers does.
 */
#ifndef LAR_FORMAT_PICTURE_H
#define LAR_FORMAT_PICTURE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;

/* The most pixels a picture may have; larger ones are refused before memory is taken. */
#define PICTURE_MAX_PIXELS (64L * 1024 * 1024)

/* 8 bits per sample, no padding, rows from the top. A zeroed struct holds no picture. */
struct picture {
    int width, height;
    int channels;        /* 3: RGB, 4: RGBA, straight (not premultiplied) alpha */
    unsigned char *data; /* [height, width, channels], owned */
};

/* Text found in a picture or to be written into one, in file order. A zeroed struct is empty.
 * Keys are PNG keywords ("parameters", "lar", "Comment", ...) or the EXIF fields
 * "ImageDescription" and "UserComment"; JPEG comments have the key "Comment". */
struct picture_text_item {
    char *key;
    char *value; /* UTF-8 */
};

struct picture_text {
    struct picture_text_item *items;
    int n;
};

void picture_text_add(struct picture_text *t, const char *key, const char *value); /* copies */

/* The same for bytes of a file: decoded up to the first NUL, malformed parts become U+FFFD. Bytes
 * said to be UTF-8 that are not are taken as Latin-1. Texts beyond 4 MiB and beyond the 256th are
 * dropped. `t` may be NULL. */
enum picture_charset { PICTURE_UTF8, PICTURE_LATIN1, PICTURE_UTF16BE, PICTURE_UTF16LE };
void picture_text_add_coded(struct picture_text *t, const char *key, const void *bytes, size_t n,
                            enum picture_charset charset);

/* The first value of the key, borrowed until the text changes; NULL when absent. */
const char *picture_text_get(const struct picture_text *t, const char *key);
void picture_text_release(struct picture_text *t);

/* A black (and transparent) picture of this size; refuses sizes < 1, > PICTURE_MAX_PIXELS
 * (ERR_UNSUPPORTED) and a lack of memory. `name` is the file in messages. */
int picture_alloc(struct picture *p, int width, int height, int channels, const char *name,
                  struct err *e);
void picture_release(struct picture *p);

/* Reads a picture, upright (EXIF orientation applied), 3 channels, or 4 where the file has
 * transparency. `text` receives its texts and may be NULL. Truncated or damaged files give
 * ERR_FORMAT naming the file, kinds of picture we do not read ERR_UNSUPPORTED. On failure `p` and
 * `text` are empty. */
int picture_read(const char *path, struct picture *p, struct picture_text *text, struct err *e);
/* The same for a file in memory; `name` is used in messages. */
int picture_decode(const void *data, size_t size, const char *name, struct picture *p,
                   struct picture_text *text, struct err *e);
/* Whether the bytes start like a picture that picture_decode() reads. */
bool picture_sniff(const void *data, size_t size);

/* Writes an 8-bit PNG with the texts inside (`text` may be NULL), whole or not at all. A text that
 * fits Latin-1 becomes tEXt, others iTXt, as Pillow and so A1111 do; "lar" is always iTXt. */
int picture_write_png(const char *path, const struct picture *p, const struct picture_text *text,
                      struct err *e);
/* The same, appended to a buffer. */
int picture_encode_png(const struct picture *p, const struct picture_text *text, struct buf *out,
                       struct err *e);

enum picture_format { PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP, N_PICTURE_FORMAT };

/* By the path's suffix: .png, .jpg, .jpeg, .webp in any case; else N_PICTURE_FORMAT. */
enum picture_format picture_format_of(const char *path);

/* Writes the picture, whole or not at all, in the format of the path's suffix; ERR_ARG for another
 * one. `text` may be NULL; in JPEG and WebP its `parameters` and `lar` become EXIF (exif.h), and
 * what exceeds the 64 KB that a JPEG has for them is left out with a warning. `quality` is 1..100,
 * 0 is PICTURE_QUALITY; at 100 a WebP is lossless. JPEG has no alpha: it is blended over white. */
#define PICTURE_QUALITY 90
int picture_write(const char *path, const struct picture *p, const struct picture_text *text,
                  int quality, struct err *e);
/* The same, appended to a buffer. */
struct picture_coding {
    enum picture_format format;
    int quality;
};
int picture_encode(const struct picture *p, const struct picture_text *text,
                   struct picture_coding coding, struct buf *out, struct err *e);

/* Blends RGBA over white and leaves RGB; does nothing to RGB. */
void picture_flatten(struct picture *p);

/* EXIF orientation 1..8 (JEITA CP-3451 4.6.4 A): turns and mirrors so that the picture is upright.
 * Other values do nothing. `name` is the file in messages. */
int picture_orient(struct picture *p, int orientation, const char *name, struct err *e);

/* out [height, width, 3] = 2 * (sample / 255) - 1, in [-1, 1]; alpha is blended over white. The
 * arithmetic is that of diffusers' VaeImageProcessor.preprocess, in float32. */
void picture_to_tensor(const struct picture *p, float *out);
/* From x [height, width, 3] in [0, 1], clamped: round half to even of x * 255, as diffusers'
 * numpy_to_pil. NaN gives ERR_NUMERIC. */
int picture_from_unit(struct picture *p, const float *x, int width, int height, struct err *e);
/* From x [height, width, 3] in [-1, 1]: picture_from_unit of x / 2 + 0.5. */
int picture_from_tensor(struct picture *p, const float *x, int width, int height, struct err *e);

#endif
