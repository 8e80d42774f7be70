/* picture_fuzz.c - any bytes as a picture: decoded or refused, and what is decoded survives being
 * turned, written and read again. */
#include "base/buf.h"
#include "base/err.h"
#include "format/exif.h"
#include "format/picture.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A picture of few bytes may have many pixels; that is allowed, but too slow to fuzz. */
static int is_small(const struct picture *p)
{
    return (long)p->width * p->height <= 64L * 64;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct picture p, q;
    struct picture_text text, again;
    struct err e = {0};
    if (picture_decode(data, size, "fuzz", &p, &text, &e)) {
        if (e.code == ERR_OK || !strstr(e.text, "fuzz"))
            abort(); /* refused without a sentence that names the file */
        exif_parse(data, size, NULL);
        return 0;
    }
    if (is_small(&p)) {
        struct buf png;
        buf_init(&png, 1 << 24);
        if (picture_encode_png(&p, NULL, &png, NULL) == 0) {
            if (picture_decode(png.data, png.len, "again", &q, &again, NULL) != 0 ||
                memcmp(p.data, q.data, (size_t)(p.width * p.height * p.channels)) != 0)
                abort();
            picture_release(&q);
            picture_text_release(&again);
        }
        buf_reset(&png);
        for (int format = 0; format < N_PICTURE_FORMAT; format++) {
            buf_reset(&png);
            struct picture_coding coding = {(enum picture_format)format, 1 + (int)(size % 100)};
            if (picture_encode(&p, &text, coding, &png, NULL) ||
                picture_decode(png.data, png.len, "again", &q, &again, NULL))
                continue; /* a key that no PNG may have */
            if (p.width != q.width || p.height != q.height)
                abort();
            picture_release(&q);
            picture_text_release(&again);
        }
        buf_release(&png);
    }
    picture_release(&p);
    picture_text_release(&text);
    return 0;
}
