/* webp.c - see webp.h. A WebP file is RIFF: "RIFF" size "WEBP", then chunks {name, size, data}. */
#include "format/webp.h"

#include "base/buf.h"
#include "base/err.h"
#include "format/exif.h"
#include "format/picture.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/encode.h>
#include <webp/mux.h>

static uint32_t read_u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Parses the EXIF chunk; returns the orientation. */
static int read_exif(const unsigned char *data, size_t size, struct picture_text *text)
{
    size_t at = 12;
    while (at <= size && size - at >= 8) {
        uint32_t n = read_u32(data + at + 4);
        if (n > size - at - 8)
            break;
        if (memcmp(data + at, "EXIF", 4) == 0)
            return exif_parse(data + at + 8, n, text);
        at += 8 + (size_t)n + (n & 1);
    }
    return 1;
}

static int decode(const void *data, size_t size, struct WebPDecoderConfig *config,
                  struct picture *p)
{
    size_t stride = (size_t)p->width * (size_t)p->channels;
    config->output.colorspace = p->channels == 4 ? MODE_RGBA : MODE_RGB;
    config->output.is_external_memory = 1;
    config->output.u.RGBA = (struct WebPRGBABuffer){p->data, (int)stride,
                                                    stride * (size_t)p->height};
    return WebPDecode(data, size, config);
}

int webp_decode_picture(const void *data, size_t size, const char *name, struct picture *p,
                        struct picture_text *text, struct err *e)
{
    struct WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return err_set(e, ERR_INTERNAL, "libwebp is of another version than its header");
    uint64_t declared = (uint64_t)read_u32((const unsigned char *)data + 4) + 8;
    if (declared > size)
        return err_set(e, ERR_FORMAT, "%s: a truncated WebP: %zu of %llu bytes", name, size,
                       (unsigned long long)declared);
    size = (size_t)declared; /* what follows the RIFF is not part of the picture */
    if (WebPGetFeatures(data, size, &config.input) != VP8_STATUS_OK)
        return err_set(e, ERR_FORMAT, "%s: a damaged WebP: its header makes no sense", name);
    if (config.input.has_animation)
        return err_set(e, ERR_UNSUPPORTED, "%s: an animated WebP; save one of its pictures", name);
    int rc = picture_alloc(p, config.input.width, config.input.height,
                           config.input.has_alpha ? 4 : 3, name, e);
    if (rc)
        return rc;
    switch (decode(data, size, &config, p)) {
    case VP8_STATUS_OK:
        return picture_orient(p, read_exif(data, size, text), name, e);
    case VP8_STATUS_OUT_OF_MEMORY:
        return err_set(e, ERR_NOMEM, "%s: not enough memory to read it", name);
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return err_set(e, ERR_FORMAT, "%s: a truncated WebP: its pixels end too early", name);
    default:
        return err_set(e, ERR_FORMAT, "%s: a damaged WebP", name);
    }
}

/* The pixels alone, as libwebp writes them. */
static int encode(const struct picture *p, int quality, struct WebPMemoryWriter *out, struct err *e)
{
    struct WebPConfig config;
    struct WebPPicture w;
    if (!WebPConfigInit(&config) || !WebPPictureInit(&w))
        return err_set(e, ERR_INTERNAL, "libwebp is of another version than its header");
    if (p->width > WEBP_MAX_DIMENSION || p->height > WEBP_MAX_DIMENSION)
        return err_set(e, ERR_UNSUPPORTED,
                       "a WebP has at most %d pixels a side, this picture is %dx%d; write a PNG",
                       WEBP_MAX_DIMENSION, p->width, p->height);
    config.lossless = w.use_argb = quality >= 100;
    config.quality = config.lossless ? 75 : (float)quality; /* lossless: the effort */
    config.exact = config.lossless; /* colours under full transparency too */
    w.width = p->width;
    w.height = p->height;
    w.writer = WebPMemoryWrite;
    w.custom_ptr = out;
    int stride = p->width * p->channels;
    bool ok = (p->channels == 4 ? WebPPictureImportRGBA : WebPPictureImportRGB)(&w, p->data,
                                                                                stride);
    ok = ok && WebPEncode(&config, &w);
    WebPPictureFree(&w);
    return ok ? 0 : err_set(e, ERR_NOMEM, "not enough memory to write a WebP");
}

/* The same with the EXIF chunk, which wants the extended file header. */
static int add_exif(const WebPData *pixels, const WebPData *exif, struct buf *out, struct err *e)
{
    WebPData whole = {0};
    WebPMux *mux = WebPMuxCreate(pixels, 0);
    bool ok = mux && WebPMuxSetChunk(mux, "EXIF", exif, 0) == WEBP_MUX_OK &&
              WebPMuxAssemble(mux, &whole) == WEBP_MUX_OK;
    if (ok)
        buf_append(out, whole.bytes, whole.size);
    WebPDataClear(&whole);
    WebPMuxDelete(mux);
    return ok ? 0 : err_set(e, ERR_NOMEM, "not enough memory to write a WebP");
}

int webp_encode_picture(const struct picture *p, const struct webp_options *o, struct buf *out,
                        struct err *e)
{
    struct WebPMemoryWriter pixels;
    WebPMemoryWriterInit(&pixels);
    int rc = encode(p, o->quality, &pixels, e);
    if (!rc && o->exif_size)
        rc = add_exif(&(WebPData){pixels.mem, pixels.size}, &(WebPData){o->exif, o->exif_size}, out,
                      e);
    else if (!rc)
        buf_append(out, pixels.mem, pixels.size);
    WebPMemoryWriterClear(&pixels);
    return rc;
}
