/* zip.c - see zip.h. The end of the archive tells where its directory lies. */
#include "format/zip.h"

#include "base/err.h"
#include "base/mem.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define END_SIZE     22 /* of the end record, without its comment */
#define MAX_COMMENT  65535
#define LOCATOR_SIZE 20
#define END64_SIZE   56
#define ENTRY_SIZE   46
#define LOCAL_SIZE   30
#define MAX_INFLATED ((size_t)4 << 30)

static uint64_t load(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

bool zip_probe(const void *data, size_t n)
{
    return n >= 4 && memcmp(data, "PK\3\4", 4) == 0;
}

struct directory {
    uint64_t offset, size, n;
};

/* Where an archive larger than 4 GB has its directory. */
static bool find_end64(const unsigned char *p, size_t end, struct directory *d)
{
    if (end < LOCATOR_SIZE || memcmp(p + end - LOCATOR_SIZE, "PK\6\7", 4) != 0)
        return false;
    uint64_t at = load(p + end - LOCATOR_SIZE + 8, 8);
    if (at > end || end - at < END64_SIZE || memcmp(p + at, "PK\6\6", 4) != 0)
        return false;
    *d = (struct directory){load(p + at + 48, 8), load(p + at + 40, 8), load(p + at + 32, 8)};
    return true;
}

static int find_directory(const unsigned char *p, size_t n, struct directory *d, struct err *e)
{
    size_t least = n > END_SIZE + MAX_COMMENT ? n - END_SIZE - MAX_COMMENT : 0;
    size_t at = n < END_SIZE ? 0 : n - END_SIZE + 1;
    while (at > least && memcmp(p + at - 1, "PK\5\6", 4) != 0)
        at--;
    if (at == least)
        return err_set(e, ERR_FORMAT,
                       "the zip archive has no end; it was not downloaded completely");
    at--;
    *d = (struct directory){load(p + at + 16, 4), load(p + at + 12, 4), load(p + at + 10, 2)};
    if ((d->offset == UINT32_MAX || d->size == UINT32_MAX || d->n == UINT16_MAX) &&
        !find_end64(p, at, d))
        return err_set(e, ERR_FORMAT, "the zip archive's 64-bit end record is damaged");
    if (d->offset > n || d->size > n - d->offset || d->n > d->size / ENTRY_SIZE)
        return err_set(e, ERR_FORMAT, "the zip archive's directory lies outside the file");
    return 0;
}

/* Sizes and place of an entry; where they are too large for 32 bits, its extra field has them. */
struct numbers {
    uint64_t size, packed, local;
};

static bool read_numbers(const unsigned char *p, const unsigned char *extra, size_t n_extra,
                         struct numbers *x)
{
    uint64_t *const slots[] = {&x->size, &x->packed, &x->local};
    *x = (struct numbers){load(p + 24, 4), load(p + 20, 4), load(p + 42, 4)};
    while (n_extra >= 4) {
        size_t id = load(extra, 2), len = load(extra + 2, 2), at = 4;
        if (len > n_extra - 4)
            return false;
        for (int i = 0; id == 1 && i < 3; i++) {
            if (*slots[i] != UINT32_MAX)
                continue;
            if (at + 8 > len + 4)
                return false;
            *slots[i] = load(extra + at, 8);
            at += 8;
        }
        extra += 4 + len;
        n_extra -= 4 + len;
    }
    return true;
}

/* Finds the entry's bytes behind its local header. */
static int place_entry(struct zip_entry *z, const unsigned char *file, size_t n, uint64_t local,
                       struct err *e)
{
    size_t skip = 0;
    bool good = local <= n && n - local >= LOCAL_SIZE && memcmp(file + local, "PK\3\4", 4) == 0;
    if (good) {
        skip = LOCAL_SIZE + load(file + local + 26, 2) + load(file + local + 28, 2);
        good = skip <= n - local && z->packed <= n - local - skip;
    }
    if (!good)
        return err_set(e, ERR_FORMAT,
                       "%s: its %zu bytes lie outside the zip archive; it is damaged or was not "
                       "downloaded completely",
                       z->name, z->packed);
    z->data = file + local + skip;
    return 0;
}

static int read_entry(struct zip *z, const unsigned char *file, size_t n, const unsigned char **p,
                      const unsigned char *end, struct err *e)
{
    struct zip_entry *entry = &z->entries[z->n];
    struct numbers x;
    if (end - *p < ENTRY_SIZE || memcmp(*p, "PK\1\2", 4) != 0)
        return err_set(e, ERR_FORMAT, "the zip archive's directory is damaged at entry %zu", z->n);
    size_t name = load(*p + 28, 2), extra = load(*p + 30, 2), comment = load(*p + 32, 2);
    uint64_t flags = load(*p + 8, 2), method = load(*p + 10, 2);
    const unsigned char *text = *p + ENTRY_SIZE;
    if ((size_t)(end - text) < name + extra + comment || memchr(text, 0, name) ||
        !read_numbers(*p, text + name, extra, &x))
        return err_set(e, ERR_FORMAT, "the zip archive's directory is damaged at entry %zu", z->n);
    entry->name = arena_strndup(&z->arena, (const char *)text, name);
    entry->crc = (uint32_t)load(*p + 16, 4);
    entry->deflated = method == 8;
    entry->packed = x.packed;
    entry->size = x.size;
    if (flags & 1 || (method != 0 && method != 8))
        return err_set(e, ERR_UNSUPPORTED, "%s: encrypted, or compressed by method %" PRIu64,
                       entry->name, method);
    if (method == 0 && x.packed != x.size)
        return err_set(e, ERR_FORMAT, "%s: a stored zip entry with two sizes", entry->name);
    *p = text + name + extra + comment;
    return place_entry(entry, file, n, x.local, e);
}

int zip_parse(struct zip *z, const void *data, size_t n, struct err *e)
{
    const unsigned char *file = data;
    struct directory d = {0};
    *z = (struct zip){0};
    int rc = find_directory(file, n, &d, e);
    if (!rc) {
        z->entries = mem_try_array(d.n, sizeof(*z->entries), "the zip directory", e);
        rc = z->entries ? 0 : ERR_NOMEM;
    }
    const unsigned char *p = file + d.offset, *end = p + d.size;
    for (; !rc && z->n < d.n; z->n++) {
        struct zip_entry *entry = &z->entries[z->n];
        rc = read_entry(z, file, n, &p, end, e);
        if (!rc && map_put(&z->by_name, entry->name, strlen(entry->name), entry))
            rc = err_set(e, ERR_FORMAT, "%s appears twice in the zip archive", entry->name);
    }
    if (rc)
        zip_release(z);
    return rc;
}

void zip_release(struct zip *z)
{
    for (size_t i = 0; i < z->n; i++)
        free(z->entries[i].inflated);
    free(z->entries);
    map_release(&z->by_name);
    arena_release(&z->arena);
    *z = (struct zip){0};
}

struct zip_entry *zip_find(const struct zip *z, const char *name)
{
    return map_get_str(&z->by_name, name);
}

/* zlib counts in 32 bits: larger entries go through in pieces. */
static bool inflate_all(const struct zip_entry *entry, unsigned char *out)
{
    z_stream s = {0};
    size_t from = 0, to = 0;
    int rc = inflateInit2(&s, -MAX_WBITS);
    if (rc != Z_OK)
        return false;
    while (rc == Z_OK) {
        size_t in_left = entry->packed - from, out_left = entry->size - to;
        uInt in = in_left < INT_MAX ? (uInt)in_left : INT_MAX;
        uInt room = out_left < INT_MAX ? (uInt)out_left : INT_MAX;
        s.next_in = (Bytef *)(uintptr_t)(entry->data + from);
        s.avail_in = in;
        s.next_out = out + to;
        s.avail_out = room;
        rc = inflate(&s, Z_NO_FLUSH);
        from += in - s.avail_in;
        to += room - s.avail_out;
        if (rc == Z_OK && s.avail_in == in && s.avail_out == room)
            rc = Z_BUF_ERROR; /* nothing moved */
    }
    inflateEnd(&s);
    uLong crc = crc32(0, NULL, 0);
    for (size_t at = 0; at < to; at += INT_MAX)
        crc = crc32(crc, out + at, to - at < INT_MAX ? (uInt)(to - at) : INT_MAX);
    return rc == Z_STREAM_END && to == entry->size && crc == entry->crc;
}

int zip_read(struct zip *z, struct zip_entry *entry, const unsigned char **data, struct err *e)
{
    *data = entry->inflated ? entry->inflated : entry->data;
    if (!entry->deflated || entry->inflated)
        return 0;
    /* Deflate cannot gain more than a factor of 1032. */
    if (entry->size / 1032 > entry->packed || entry->size > MAX_INFLATED - z->inflated)
        return err_set(e, ERR_FORMAT, "%s: %zu bytes that claim to become %zu", entry->name,
                       entry->packed, entry->size);
    unsigned char *out = mem_try_array(entry->size + !entry->size, 1, entry->name, e);
    if (!out)
        return ERR_NOMEM;
    if (!inflate_all(entry, out)) {
        free(out);
        return err_set(e, ERR_FORMAT, "%s: its compressed bytes are damaged", entry->name);
    }
    z->inflated += entry->size;
    *data = entry->inflated = out;
    return 0;
}
