/* zip.h - the directory of a zip archive, as PyTorch writes its checkpoints; zip64 too.
 *
 * Stored entries are used where they lie; deflated ones, which only repacked files have, are
 * inflated into memory when they are asked for.
 * Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
#ifndef LAR_FORMAT_ZIP_H
#define LAR_FORMAT_ZIP_H

#include "base/arena.h"
#include "base/map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct zip_entry {
    const char *name;          /* "archive/data/0" */
    const unsigned char *data; /* as stored; packed bytes of the archive */
    size_t packed, size;       /* bytes as stored, and as they are */
    uint32_t crc;
    bool deflated;
    unsigned char *inflated; /* owned; NULL until asked for */
};

struct zip {
    struct arena arena;        /* names */
    struct zip_entry *entries; /* owned; in the order of the directory */
    size_t n;
    struct map by_name;
    size_t inflated; /* bytes held for deflated entries */
};

bool zip_probe(const void *data, size_t n);

/* Reads the directory. `data` is borrowed until zip_release(); on an error nothing is held. Parts
 * of several volumes, encrypted entries and other methods are ERR_UNSUPPORTED. */
int zip_parse(struct zip *z, const void *data, size_t n, struct err *e);
void zip_release(struct zip *z); /* a zeroed one is fine */

struct zip_entry *zip_find(const struct zip *z, const char *name); /* or NULL */

/* The entry's bytes, entry->size of them, valid until zip_release(). A checksum is only compared
 * where bytes are inflated. */
int zip_read(struct zip *z, struct zip_entry *entry, const unsigned char **data, struct err *e);

#endif
