/* exif.c - see exif.h. */
#include "format/exif.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "format/picture.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TAG_IMAGE_DESCRIPTION 0x010e
#define TAG_ORIENTATION       0x0112
#define TAG_EXIF_IFD          0x8769
#define TAG_MAKER_NOTE        0x927c
#define TAG_USER_COMMENT      0x9286

enum { TYPE_BYTE = 1, TYPE_ASCII = 2, TYPE_SHORT = 3, TYPE_LONG = 4, TYPE_UNDEFINED = 7 };

struct tiff {
    const unsigned char *data;
    size_t size;
    bool little;
    struct picture_text *text;
    int orientation;
};

static uint32_t read_u16(const struct tiff *t, const unsigned char *p)
{
    return t->little ? p[0] | (uint32_t)p[1] << 8 : (uint32_t)p[0] << 8 | p[1];
}

static uint32_t read_u32(const struct tiff *t, const unsigned char *p)
{
    uint32_t a = read_u16(t, p), b = read_u16(t, p + 2);
    return t->little ? a | b << 16 : a << 16 | b;
}

/* An entry's value as an integer; 0 when it is not one. */
static uint32_t entry_integer(const struct tiff *t, const unsigned char *entry)
{
    switch (read_u16(t, entry + 2)) {
    case TYPE_BYTE:
        return entry[8];
    case TYPE_SHORT:
        return read_u16(t, entry + 8);
    case TYPE_LONG:
        return read_u32(t, entry + 8);
    }
    return 0;
}

/* An entry's bytes; NULL unless it is made of bytes that lie in the block. */
static const unsigned char *entry_bytes(const struct tiff *t, const unsigned char *entry, size_t *n)
{
    uint32_t type = read_u16(t, entry + 2);
    *n = read_u32(t, entry + 4);
    if (type != TYPE_BYTE && type != TYPE_ASCII && type != TYPE_UNDEFINED)
        return NULL;
    if (*n <= 4)
        return entry + 8;
    uint32_t at = read_u32(t, entry + 8);
    return at <= t->size && *n <= t->size - at ? t->data + at : NULL;
}

/* UserComment starts with 8 bytes that name its character set. "UNICODE" is UTF-16 in, by the
 * specification, the byte order of the TIFF; piexif (so A1111) writes big endian into big-endian
 * blocks, others differ: where the first character would be nonsense, the other order is taken. */
static void add_user_comment(const struct tiff *t, const unsigned char *s, size_t n)
{
    if (n < 8)
        return;
    enum picture_charset charset = PICTURE_UTF8;
    const unsigned char *text = s + 8;
    n -= 8;
    if (memcmp(s, "UNICODE", 7) == 0) {
        bool little = t->little;
        if (n >= 2 && ((text[0] == 0xff && text[1] == 0xfe) || (text[0] && !text[1])))
            little = true;
        else if (n >= 2 && ((text[0] == 0xfe && text[1] == 0xff) || (!text[0] && text[1])))
            little = false;
        bool mark = n >= 2 && text[little] == 0xfe && text[!little] == 0xff;
        charset = little ? PICTURE_UTF16LE : PICTURE_UTF16BE;
        text += mark ? 2 : 0;
        n -= mark ? 2 : 0;
    } else if (memcmp(s, "JIS\0", 4) == 0) {
        return; /* ISO-2022-JP: not worth a table here */
    }
    picture_text_add_coded(t->text, "UserComment", text, n, charset);
}

/* Reads one directory; the EXIF directory is entered from the first one only, so no cycle can
 * arise. */
static void read_directory(struct tiff *t, uint32_t at, bool first)
{
    if (at > t->size || t->size - at < 2)
        return;
    uint32_t n_entries = read_u16(t, t->data + at);
    const unsigned char *entry = t->data + at + 2;
    const unsigned char *end = t->data + t->size;
    for (uint32_t i = 0; i < n_entries && end - entry >= 12; i++, entry += 12) {
        uint32_t tag = read_u16(t, entry), value = entry_integer(t, entry);
        size_t n;
        const unsigned char *bytes = entry_bytes(t, entry, &n);
        if (first && tag == TAG_ORIENTATION && value >= 1 && value <= 8)
            t->orientation = (int)value;
        else if (first && tag == TAG_IMAGE_DESCRIPTION && bytes)
            picture_text_add_coded(t->text, "ImageDescription", bytes, n, PICTURE_UTF8);
        else if (first && tag == TAG_EXIF_IFD)
            read_directory(t, value, false);
        else if (!first && tag == TAG_USER_COMMENT && bytes)
            add_user_comment(t, bytes, n);
        else if (!first && tag == TAG_MAKER_NOTE && bytes && n > 4 && !memcmp(bytes, "Lar", 4))
            picture_text_add_coded(t->text, "lar", bytes + 4, n - 4, PICTURE_UTF8);
    }
}

int exif_parse(const void *data, size_t size, struct picture_text *text)
{
    struct tiff t = {.data = data, .size = size, .text = text, .orientation = 1};
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        t.data += 6;
        t.size -= 6;
    }
    if (t.size < 8)
        return 1;
    t.little = t.data[0] == 'I';
    if (memcmp(t.data, t.little ? "II*\0" : "MM\0*", 4) != 0)
        return 1;
    read_directory(&t, read_u32(&t, t.data + 4), true);
    return t.orientation;
}

static void append_u16(struct buf *b, uint32_t v)
{
    buf_append(b, (unsigned char[]){(unsigned char)(v >> 8), (unsigned char)v}, 2);
}

static void append_u32(struct buf *b, size_t v)
{
    append_u16(b, (uint32_t)(v >> 16));
    append_u16(b, (uint32_t)v & 0xffff);
}

static void append_utf16(struct buf *b, const char *s)
{
    size_t n = strlen(s), taken;
    for (size_t i = 0; i < n; i += taken) {
        uint32_t c = utf8_decode(s + i, n - i, &taken);
        if (c > 0xffff)
            append_u16(b, 0xd800 + ((c - 0x10000) >> 10));
        append_u16(b, c > 0xffff ? 0xdc00 + (c & 0x3ff) : c);
    }
}

static void append_entry(struct buf *b, uint32_t tag, uint32_t type, size_t count, size_t value)
{
    append_u16(b, tag);
    append_u16(b, type);
    append_u32(b, count);
    append_u32(b, value);
}

/* Header, first directory with one entry, EXIF directory, then the values: all longer than the 4
 * bytes that would stand in the entry. */
void exif_append(struct buf *out, const char *parameters, const char *lar)
{
    struct buf note, comment;
    uint32_t n = (lar ? 1 : 0) + (parameters ? 1 : 0);
    size_t first = 8, second = first + 2 + 12 + 4, values = second + 2 + 12 * n + 4;
    if (!n)
        return;
    buf_init(&note, out->max);
    buf_init(&comment, out->max);
    buf_append(&note, "Lar", 4);
    buf_append_str(&note, lar ? lar : "");
    buf_append(&comment, "UNICODE", 8);
    append_utf16(&comment, parameters ? parameters : "");
    buf_append(out, "MM\0*", 4);
    append_u32(out, first);
    append_u16(out, 1);
    append_entry(out, TAG_EXIF_IFD, TYPE_LONG, 1, second);
    append_u32(out, 0);
    append_u16(out, n);
    if (lar)
        append_entry(out, TAG_MAKER_NOTE, TYPE_UNDEFINED, note.len, values);
    if (parameters)
        append_entry(out, TAG_USER_COMMENT, TYPE_UNDEFINED, comment.len,
                     values + (lar ? note.len : 0));
    append_u32(out, 0);
    if (lar)
        buf_append(out, note.data, note.len);
    if (parameters)
        buf_append(out, comment.data, comment.len);
    out->failed = out->failed || buf_failed(&note) || buf_failed(&comment);
    buf_release(&note);
    buf_release(&comment);
}
