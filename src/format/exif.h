/* exif.h - the two things we want from EXIF: which way is up, and what somebody wrote; and writing
 * a recipe into it.
 *
 * EXIF is a TIFF file in miniature (TIFF 6.0; EXIF is JEITA CP-3451): a header with the byte order,
 * then directories of 12-byte entries {tag, type, count, value or offset}.
 */
#ifndef LAR_FORMAT_EXIF_H
#define LAR_FORMAT_EXIF_H

#include <stddef.h>

struct buf;
struct picture_text;

/* The orientation, 1..8 (1 when absent or wrong); adds ImageDescription, UserComment and, as "lar",
 * our MakerNote to `text` (may be NULL) as UTF-8. The block may start with "Exif\0\0". Never fails:
 * a damaged block tells what can be read of it, as EXIF must not make a picture unreadable. */
int exif_parse(const void *data, size_t size, struct picture_text *text);

/* Appends a block, without "Exif\0\0", that says the texts `parameters` and `lar`; nothing where
 * there is neither.
 *
 *     parameters   UserComment, "UNICODE\0" and UTF-16 in big endian, as AUTOMATIC1111 (piexif)
 *     lar          MakerNote, "Lar\0" and UTF-8: the tag that EXIF leaves to the maker's program
 */
void exif_append(struct buf *out, const char *parameters, const char *lar);

#endif
