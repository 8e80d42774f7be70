/* file.c - see file.h. */
#include "base/file.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens a regular file and tells its size. */
static int open_regular(const char *path, size_t *size, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: cannot open it: %s", path,
                       strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, ERR_IO, "%s: not a regular file", path);
    }
    *size = (size_t)st.st_size;
    return fd;
}

int file_map_open(struct file_map *m, const char *path, struct err *e)
{
    *m = (struct file_map){0};
    int fd = open_regular(path, &m->size, e);
    if (fd < 0)
        return fd;
    void *p = m->size ? mmap(NULL, m->size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
    int saved = errno;
    close(fd);
    if (p == MAP_FAILED) {
        *m = (struct file_map){0};
        return err_set(e, ERR_IO, "%s: cannot map it: %s", path, strerror(saved));
    }
    m->data = p;
    return 0;
}

void file_map_close(struct file_map *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->size);
    *m = (struct file_map){0};
}

int file_read(const char *path, size_t max, char **data, size_t *size, struct err *e)
{
    size_t want, got = 0;
    *data = NULL;
    int fd = open_regular(path, &want, e);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (want > max)
        rc = err_set(e, ERR_FORMAT, "%s: %zu bytes, more than the %zu allowed here", path, want,
                     max);
    else if (!(*data = mem_try_array(want + 1, 1, path, e)))
        rc = ERR_NOMEM;
    while (!rc && got < want) {
        ssize_t n = read(fd, *data + got, want - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_set(e, ERR_IO, "%s: reading failed: %s", path, strerror(errno));
        if (n <= 0)
            break; /* the file shrank meanwhile */
        got += (size_t)n;
    }
    close(fd);
    if (rc) {
        free(*data);
        *data = NULL;
    }
    if (size)
        *size = got;
    return rc;
}

bool file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

char *file_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return mem_printf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

const char *file_base(const char *path, size_t *n)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (n)
        *n = end - begin;
    return path + begin;
}

char *file_folder(const char *path)
{
    size_t n = (size_t)(file_base(path, NULL) - path);
    return n ? mem_strndup(path, n > 1 ? n - 1 : 1) : mem_strdup(".");
}

int file_make_folders(const char *path, unsigned mode, struct err *e)
{
    char *p = mem_strdup(path);
    int rc = 0;
    for (char *slash = strchr(p + (*p != '\0'), '/'); slash && !rc;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(p, mode) != 0 && errno != EEXIST)
            rc = err_set(e, ERR_IO, "%s: cannot make this folder: %s", p, strerror(errno));
        *slash = '/';
    }
    free(p);
    return rc;
}

/* Temporary files of open writers, for the signal handler: a fixed table of atomic pointers. */
#define MAX_OPEN 16
static _Atomic(char *) open_temps[MAX_OPEN];

static void temps_replace(char *from, char *to)
{
    for (int i = 0; i < MAX_OPEN; i++) {
        char *expected = from;
        if (atomic_compare_exchange_strong(&open_temps[i], &expected, to))
            return;
    }
}

void file_writer_unlink_all(void)
{
    for (int i = 0; i < MAX_OPEN; i++) {
        char *temp = atomic_load(&open_temps[i]);
        if (temp)
            unlink(temp);
    }
}

int file_writer_open(struct file_writer *w, const char *path, struct err *e)
{
    struct stat st;
    *w = (struct file_writer){0};
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* never rename over a device */
        return err_set(e, ERR_IO, "%s: %s; name a file to write", path,
                       S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
    char *temp = mem_printf("%s.part-XXXXXX", path);
    int fd = mkstemp(temp);
    mode_t mask = umask(0);
    umask(mask);
    if (fd < 0 || fchmod(fd, 0666 & ~mask) != 0 || !(w->f = fdopen(fd, "wb"))) {
        int rc = err_set(e, ERR_IO, "%s: cannot create it: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
            unlink(temp);
        }
        free(temp);
        return rc;
    }
    w->temp = temp;
    w->path = mem_strdup(path);
    temps_replace(NULL, temp);
    return 0;
}

void file_writer_write(struct file_writer *w, const void *data, size_t n)
{
    if (!w->failed && n && fwrite(data, 1, n, w->f) != n) {
        w->failed = true;
        w->saved_errno = errno;
    }
}

static void writer_release(struct file_writer *w)
{
    temps_replace(w->temp, NULL);
    free(w->path);
    free(w->temp);
    *w = (struct file_writer){0};
}

int file_writer_commit(struct file_writer *w, struct err *e)
{
    int rc = 0;
    if (!w->failed && (fflush(w->f) != 0 || fsync(fileno(w->f)) != 0)) {
        w->failed = true;
        w->saved_errno = errno;
    }
    if (fclose(w->f) != 0 && !w->failed) {
        w->failed = true;
        w->saved_errno = errno;
    }
    if (!w->failed && rename(w->temp, w->path) != 0) {
        w->failed = true;
        w->saved_errno = errno;
    }
    if (w->failed) {
        unlink(w->temp);
        rc = err_set(e, ERR_IO, "%s: writing failed: %s; nothing was left behind", w->path,
                     strerror(w->saved_errno));
    }
    writer_release(w);
    return rc;
}

void file_writer_abort(struct file_writer *w)
{
    if (!w->f)
        return;
    fclose(w->f);
    unlink(w->temp);
    writer_release(w);
}
