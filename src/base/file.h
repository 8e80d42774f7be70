/* file.h - files: mapped for reading, replaced atomically for writing. */
#ifndef LAR_BASE_FILE_H
#define LAR_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct err;

/* A read-only mapping of a whole file. */
struct file_map {
    const unsigned char *data; /* NULL for an empty file */
    size_t size;
};

int file_map_open(struct file_map *m, const char *path, struct err *e);
void file_map_close(struct file_map *m);

/* The bytes of a small file, NUL-terminated, owned by the caller (free). Files larger than `max`
 * give ERR_FORMAT. */
int file_read(const char *path, size_t max, char **data, size_t *size, struct err *e);

bool file_is_dir(const char *path);
bool file_exists(const char *path);

/* "dir/name" on the heap. */
char *file_join(const char *dir, const char *name);

/* The last part of a path: where it begins, up to slashes at the end; *n, unless NULL, is its
 * length. */
const char *file_base(const char *path, size_t *n);
/* What is before that, "." where nothing is; heap. */
char *file_folder(const char *path);

/* Makes the folders that the file of this path lies in, as far as they are missing. */
int file_make_folders(const char *path, unsigned mode, struct err *e);

/* Writes a file so that it appears complete or not at all: bytes go to a temporary file beside it,
 * which is synced and renamed on commit, removed on abort. */
struct file_writer {
    FILE *f;
    char *path; /* final */
    char *temp;
    bool failed;
    int saved_errno; /* of the first failed write */
};

int file_writer_open(struct file_writer *w, const char *path, struct err *e);
void file_writer_write(struct file_writer *w, const void *data, size_t n); /* failures are kept */
/* Renames into place; an earlier failed write (a full disk, say) is reported here and nothing is
 * left behind. Releases the writer in every case. */
int file_writer_commit(struct file_writer *w, struct err *e);
void file_writer_abort(struct file_writer *w); /* no-op on a zeroed or committed writer */

/* Removes the temporary files of writers still open; async-signal-safe, for Ctrl-C handlers. */
void file_writer_unlink_all(void);

#endif
