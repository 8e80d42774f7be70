/* download.h - one blob from a server: in parallel ranges, resumed, verified.
 *
 *     <path>-partial           the bytes so far, in their places; locked while someone works on it
 *     <path>-partial-state     how much of each part is there
 *     <path>                   appears when size and SHA-256 are right, and never otherwise
 *
 * The bytes are hashed while they come, from the beginning as far as it is complete. What a stopped
 * program leaves is gone on with; two programs that want the same blob share one download.
 */
#ifndef LAR_ENGINE_DOWNLOAD_H
#define LAR_ENGINE_DOWNLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

struct download {
    const char *url;
    const char *authorization; /* "Authorization: Bearer ...", or NULL */
    bool plain;                /* http is allowed */
    const char *digest;        /* "sha256:..." (engine/manifest.h) */
    int64_t size;
    const char *path;  /* where it is kept; the folder exists */
    int n_streams;     /* requests at once; 0: 4 */
    int64_t part_size; /* of a request; 0: 64 MiB */
    int patience;      /* seconds before the first repetition, doubled for each; 0: 1; < 0: none */
    const atomic_bool *cancel; /* or NULL */
    /* Called now and then, by one thread at a time, with the bytes that are there. */
    void (*progress)(int64_t done, int64_t size, void *ctx);
    void *ctx;
};

/* 0 once the file is there, also when it was before. ERR_FORMAT: the bytes are others than the
 * digest says; they are deleted. ERR_IO names the host or the file; what has come is kept. */
int download_blob(const struct download *d, struct err *e);

#endif
