/* download.c - see download.h. */
#include "engine/download.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/http.h"
#include "engine/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define MAX_STREAMS 16
#define MAX_PARTS   65536
#define ATTEMPTS    6
#define HASH_CHUNK  ((size_t)1 << 20)
#define POLL_NS     100000000L /* between looks at a lock or the cancel flag */

struct job {
    const struct download *d;
    char *partial, *state;
    int fd, state_fd; /* of these, or -1 */
    int64_t part_size;
    int n_parts;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int64_t *done;    /* [n_parts] bytes of each part that are in the file */
    int64_t total;    /* their sum */
    int next;         /* the first part nobody has taken */
    int running;      /* threads */
    int rc;           /* the first failure, */
    struct err e;     /* and its sentence */
    atomic_bool stop; /* a thread failed, or the caller cancelled */
};

static int64_t part_bytes(const struct job *j, int i)
{
    int64_t left = j->d->size - i * j->part_size;
    return left < j->part_size ? left : j->part_size;
}

static void nap(long ns)
{
    nanosleep(&(struct timespec){ns / 1000000000L, ns % 1000000000L}, NULL);
}

static bool cancelled(const struct download *d)
{
    return d->cancel && atomic_load(d->cancel);
}

/* ---- the files ---- */

static int file_error(const char *path, const char *what, struct err *e)
{
    return err_set(e, errno == ENOMEM ? ERR_NOMEM : ERR_IO, "%s: cannot %s: %s", path, what,
                   strerror(errno));
}

/* Is the whole blob there? */
static bool is_there(const struct download *d)
{
    struct stat st;
    return stat(d->path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == d->size;
}

/* Is the open file still the one of this name? Who held it may have renamed or deleted it. */
static bool is_same(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Opens the partial file and waits until nobody else works on it. */
static int open_partial(struct job *j, struct err *e)
{
    for (;;) {
        j->fd = open(j->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (j->fd < 0)
            return file_error(j->partial, "make it", e);
        while (flock(j->fd, LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK && errno != EINTR)
                return file_error(j->partial, "lock it", e);
            if (cancelled(j->d))
                return err_set(e, ERR_CANCELLED, "cancelled");
            nap(POLL_NS);
        }
        if (is_same(j->fd, j->partial))
            return 0;
        close(j->fd);
    }
}

/* What the state file says, if it belongs to this blob and this way of cutting it. */
static void read_state(struct job *j)
{
    int64_t head[2] = {0};
    char digest[DIGEST_TEXT] = "";
    size_t size = (size_t)j->n_parts * sizeof(*j->done);
    struct stat st;
    bool good = pread(j->state_fd, head, sizeof(head), 0) == sizeof(head) &&
                pread(j->state_fd, digest, DIGEST_TEXT, sizeof(head)) == DIGEST_TEXT &&
                head[0] == j->d->size && head[1] == j->part_size &&
                memcmp(digest, j->d->digest, DIGEST_TEXT) == 0 &&
                pread(j->state_fd, j->done, size, sizeof(head) + DIGEST_TEXT) == (ssize_t)size &&
                fstat(j->fd, &st) == 0 && st.st_size == j->d->size;
    for (int i = 0; i < j->n_parts; i++) {
        if (!good || j->done[i] < 0 || j->done[i] > part_bytes(j, i))
            j->done[i] = 0;
        j->total += j->done[i];
    }
}

static int write_state(struct job *j, struct err *e)
{
    int64_t head[2] = {j->d->size, j->part_size};
    size_t size = (size_t)j->n_parts * sizeof(*j->done);
    if (ftruncate(j->state_fd, 0) != 0 ||
        pwrite(j->state_fd, head, sizeof(head), 0) != sizeof(head) ||
        pwrite(j->state_fd, j->d->digest, DIGEST_TEXT, sizeof(head)) != DIGEST_TEXT ||
        pwrite(j->state_fd, j->done, size, sizeof(head) + DIGEST_TEXT) != (ssize_t)size)
        return file_error(j->state, "write it", e);
    return 0;
}

static int check_room(const struct job *j, struct err *e)
{
    struct statvfs v;
    int64_t need = j->d->size - j->total;
    if (fstatvfs(j->fd, &v) != 0)
        return 0;
    double room = (double)v.f_bavail * (double)v.f_frsize;
    if (room >= (double)need)
        return 0;
    return err_set(e, ERR_IO, "%s: %.1f GB are to come, but only %.1f GB are free there; make room",
                   j->d->path, (double)need / 1e9, room / 1e9);
}

static int open_files(struct job *j, struct err *e)
{
    int rc = open_partial(j, e);
    if (rc || is_there(j->d))
        return rc;
    j->state_fd = open(j->state, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (j->state_fd < 0)
        return file_error(j->state, "make it", e);
    read_state(j);
    rc = check_room(j, e);
    if (!rc && ftruncate(j->fd, j->d->size) != 0)
        rc = file_error(j->partial, "make it large enough", e);
    return rc ? rc : write_state(j, e);
}

/* ---- one part ---- */

struct stream {
    struct job *j;
    int part;
    int64_t at, end; /* of the blob: where the next byte belongs, and the part's end */
    bool ours;       /* what failed is on this side: the disk, say */
};

static int fail(struct job *j, int rc, const struct err *e)
{
    pthread_mutex_lock(&j->lock);
    if (!j->rc) {
        j->rc = rc;
        j->e = *e;
    }
    atomic_store(&j->stop, true);
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    return rc;
}

static int put(struct stream *s, const void *data, size_t n, struct err *e)
{
    struct job *j = s->j;
    const char *from = data;
    for (size_t i = 0; i < n;) {
        ssize_t w = pwrite(j->fd, from + i, n - i, s->at);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return file_error(j->partial, "write it", e);
        i += (size_t)w;
        s->at += w;
    }
    pthread_mutex_lock(&j->lock);
    j->done[s->part] += (int64_t)n;
    j->total += (int64_t)n;
    off_t where = (off_t)(2 * sizeof(int64_t) + DIGEST_TEXT + (size_t)s->part * sizeof(*j->done));
    ssize_t w = pwrite(j->state_fd, &j->done[s->part], sizeof(*j->done), where);
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    return w == sizeof(*j->done) ? 0 : file_error(j->state, "write it", e);
}

static int keep(const void *data, size_t n, void *ctx, struct err *e)
{
    struct stream *s = ctx;
    if ((int64_t)n > s->end - s->at)
        return err_set(e, ERR_IO, "%s: the server sends more than it was asked for", s->j->d->url);
    int rc = put(s, data, n, e);
    s->ours = rc != 0;
    return rc;
}

/* One request for what the part lacks. *again: a later one may do better. */
static int request(struct stream *s, struct http *h, bool *again, struct err *e)
{
    const struct download *d = s->j->d;
    struct http_response res;
    struct http_request r = {.url = d->url,
                             .headers = {d->authorization},
                             .plain = d->plain,
                             .ranged = s->at > 0 || s->end < d->size,
                             .first = s->at,
                             .last = s->end - 1,
                             .on_data = keep,
                             .ctx = s,
                             .cancel = &s->j->stop};
    int rc = http_send(h, &r, &res, e);
    *again = rc == ERR_IO && !s->ours;
    if (rc)
        ;
    else if (res.status == 429 || res.status >= 500)
        *again = true, rc = err_set(e, ERR_IO, "%s: the server answers %d", d->url, res.status);
    else if (res.status >= 300)
        rc = err_set(e, res.status == 404 ? ERR_NOT_FOUND : ERR_IO, "%s: the server answers %d",
                     d->url, res.status);
    else if (s->at < s->end)
        *again = true, rc = err_set(e, ERR_IO, "%s: the connection ended early", d->url);
    http_response_release(&res);
    return rc;
}

static int fetch_part(struct job *j, int part, struct http *h, struct err *e)
{
    struct stream s = {.j = j,
                       .part = part,
                       .at = part * j->part_size + j->done[part],
                       .end = part * j->part_size + part_bytes(j, part)};
    int attempt = 0, rc = 0;
    while (s.at < s.end) {
        int64_t before = s.at;
        bool again = false;
        struct err own = {0};
        rc = request(&s, h, &again, &own);
        attempt = s.at > before ? 1 : attempt + 1; /* what brings something is no failure */
        if (!rc || !again || attempt >= ATTEMPTS || atomic_load(&j->stop)) {
            if (rc)
                err_set(e, rc, "%s", own.text);
            break;
        }
        long wait = j->d->patience < 0 ? 0 : (long)(j->d->patience ? j->d->patience : 1);
        for (long ns = wait * 1000000000L << (attempt - 1); ns > 0 && !atomic_load(&j->stop);
             ns -= POLL_NS)
            nap(POLL_NS);
    }
    return rc;
}

static void *work(void *ctx)
{
    struct job *j = ctx;
    struct http *h = NULL;
    struct err e = {0};
    int rc = http_new(&h, &e);
    while (!rc) {
        pthread_mutex_lock(&j->lock);
        int part = j->next < j->n_parts && !atomic_load(&j->stop) ? j->next++ : -1;
        pthread_mutex_unlock(&j->lock);
        if (part < 0)
            break;
        rc = fetch_part(j, part, h, &e);
    }
    if (rc)
        fail(j, rc, &e);
    http_free(h);
    pthread_mutex_lock(&j->lock);
    j->running--;
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* ---- the whole ---- */

/* Bytes from the beginning without a gap; the lock is held. */
static int64_t complete_from_start(const struct job *j)
{
    int64_t n = 0;
    for (int i = 0; i < j->n_parts; i++) {
        n += j->done[i];
        if (j->done[i] < part_bytes(j, i))
            break;
    }
    return n;
}

/* Waits for more bytes after `hashed`, or the end of all threads: how far it is complete then. */
static int64_t await(struct job *j, int64_t hashed)
{
    pthread_mutex_lock(&j->lock);
    int64_t n;
    while ((n = complete_from_start(j)) == hashed && j->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += POLL_NS;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        pthread_cond_timedwait(&j->changed, &j->lock, &until);
        if (cancelled(j->d))
            atomic_store(&j->stop, true);
    }
    int64_t total = j->total;
    pthread_mutex_unlock(&j->lock);
    if (j->d->progress)
        j->d->progress(total, j->d->size, j->d->ctx);
    return n;
}

/* Hashes the file while the threads fill it, and compares. */
static int verify(struct job *j, struct err *e)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    char *chunk = mem_alloc(HASH_CHUNK), digest[DIGEST_TEXT];
    unsigned char sum[32] = {0};
    int64_t hashed = 0;
    int rc = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1
                 ? 0
                 : err_set(e, ERR_NOMEM, "there is no memory for a hash");
    while (!rc && hashed < j->d->size) {
        int64_t until = await(j, hashed);
        if (until == hashed) /* all threads have ended */
            break;
        while (!rc && hashed < until) {
            int64_t want = until - hashed;
            ssize_t n = pread(j->fd, chunk, want < (int64_t)HASH_CHUNK ? (size_t)want : HASH_CHUNK,
                              hashed);
            if (n <= 0)
                rc = file_error(j->partial, "read it", e);
            else
                EVP_DigestUpdate(hash, chunk, (size_t)n);
            hashed += n > 0 ? n : 0;
        }
    }
    if (!rc && hashed == j->d->size) {
        EVP_DigestFinal_ex(hash, sum, NULL);
        digest_text(digest, sum);
        if (strcmp(digest, j->d->digest) != 0) {
            unlink(j->partial);
            unlink(j->state);
            rc = err_set(
                e, ERR_FORMAT,
                "%s: the bytes that came have the digest %s, not %s; they are deleted, try "
                "again",
                j->d->url, digest, j->d->digest);
        }
    }
    EVP_MD_CTX_free(hash);
    free(chunk);
    return rc;
}

static int fetch(struct job *j, struct err *e)
{
    pthread_t threads[MAX_STREAMS];
    int wanted = j->d->n_streams > 0 ? j->d->n_streams : 4, n = 0;
    wanted = wanted < MAX_STREAMS ? wanted : MAX_STREAMS;
    for (; n < wanted && n < j->n_parts; n++) {
        pthread_mutex_lock(&j->lock);
        j->running++;
        pthread_mutex_unlock(&j->lock);
        if (pthread_create(&threads[n], NULL, work, j) != 0) {
            pthread_mutex_lock(&j->lock);
            j->running--;
            pthread_mutex_unlock(&j->lock);
            break;
        }
    }
    int rc = n > 0 || !j->n_parts ? verify(j, e)
                                  : err_set(e, ERR_NOMEM, "no thread can be started");
    atomic_store(&j->stop, true);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (!rc && j->total < j->d->size && cancelled(j->d))
        return err_set(e, ERR_CANCELLED, "cancelled");
    return rc || !j->rc || j->total == j->d->size ? rc : err_set(e, j->rc, "%s", j->e.text);
}

/* The bytes are on the disk before the name is. */
static int commit(struct job *j, struct err *e)
{
    if (fsync(j->fd) != 0)
        return file_error(j->partial, "write it to the disk", e);
    if (rename(j->partial, j->d->path) != 0)
        return file_error(j->d->path, "make it", e);
    unlink(j->state);
    char *folder = file_folder(j->d->path);
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (dir >= 0) {
        fsync(dir);
        close(dir);
    }
    return 0;
}

static int download(const struct download *d, struct err *e)
{
    struct job j = {.d = d, .fd = -1, .state_fd = -1, .part_size = d->part_size};
    if (j.part_size <= 0)
        j.part_size = (int64_t)64 << 20;
    while (d->size / j.part_size >= MAX_PARTS)
        j.part_size *= 2;
    j.n_parts = (int)((d->size + j.part_size - 1) / j.part_size);
    j.done = mem_alloc(((size_t)j.n_parts + 1) * sizeof(*j.done));
    j.partial = mem_printf("%s-partial", d->path);
    j.state = mem_printf("%s-partial-state", d->path);
    pthread_mutex_init(&j.lock, NULL);
    pthread_cond_init(&j.changed, NULL);
    int rc = open_files(&j, e);
    if (!rc && is_there(d)) /* another program was faster */
        unlink(j.partial);
    else if (!rc && !(rc = fetch(&j, e)))
        rc = commit(&j, e);
    if (j.state_fd >= 0)
        close(j.state_fd);
    if (j.fd >= 0)
        close(j.fd);
    pthread_cond_destroy(&j.changed);
    pthread_mutex_destroy(&j.lock);
    free(j.state);
    free(j.partial);
    free(j.done);
    return rc;
}

int download_blob(const struct download *d, struct err *e)
{
    struct err own = {0};
    if (is_there(d))
        return 0;
    int rc = download(d, &own);
    if (rc == ERR_UNSUPPORTED) { /* no ranges: all of it with one request */
        struct download whole = *d;
        whole.n_streams = 1;
        whole.part_size = d->size;
        return download(&whole, e);
    }
    return rc ? err_set(e, rc, "%s", own.text) : 0;
}
