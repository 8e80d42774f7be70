/* model_hash.c - see model_hash.h.
 *
 * The cache has one line per model, the latest first:
 *
 *     <10 hexadecimal digits> <bytes> <nanoseconds of the latest change> <path>
 */
#include "cli/model_hash.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/weights.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_CACHE (1u << 20)
#define MAX_LINES 500

struct model_hash {
    struct checkpoint *c; /* borrowed */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards done and found */
    pthread_cond_t changed;
    bool done;
    bool found;
    char hash[MODEL_HASH_SIZE]; /* valid once found */
};

/* ---- the cache ---- */

/* " <bytes> <nanoseconds> <path>" of the checkpoint's files as they are now: the part of a line
 * that must be equal. NULL when it cannot be told, or the path would break the line. */
static char *identity(const struct checkpoint *c)
{
    const struct weights *w = checkpoint_weights(c);
    uint64_t bytes = 0;
    int64_t latest = 0;
    for (size_t i = 0; i < w->n_files; i++) {
        struct stat st;
        if (stat(w->files[i]->path, &st) != 0)
            return NULL;
        int64_t ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        bytes += (uint64_t)st.st_size;
        latest = ns > latest ? ns : latest;
    }
    char *path = realpath(checkpoint_path(c), NULL), *id = NULL;
    if (path && !strchr(path, '\n'))
        id = mem_printf(" %" PRIu64 " %" PRId64 " %s", bytes, latest, path);
    free(path);
    return id;
}

static bool is_hash(const char *s)
{
    return strspn(s, "0123456789abcdef") >= MODEL_HASH_SIZE - 1 && s[MODEL_HASH_SIZE - 1] == ' ';
}

bool model_hash_load(const char *file, const struct checkpoint *c, char out[MODEL_HASH_SIZE])
{
    char *text = NULL, *id = identity(c);
    bool found = false;
    if (id && file_read(file, MAX_CACHE, &text, NULL, NULL) == 0) {
        size_t n = strlen(id);
        for (const char *p = text; *p && !found; p += strcspn(p, "\n"), p += *p == '\n') {
            found = is_hash(p) && strncmp(p + MODEL_HASH_SIZE - 1, id, n) == 0 &&
                    p[MODEL_HASH_SIZE - 1 + n] == '\n';
            if (found)
                snprintf(out, MODEL_HASH_SIZE, "%s", p);
        }
    }
    free(text);
    free(id);
    return found;
}

/* The path in a line of the cache, or NULL. */
static const char *path_in(const char *line)
{
    const char *p = is_hash(line) ? line + MODEL_HASH_SIZE : NULL;
    for (int i = 0; p && i < 2; i++) {
        size_t digits = strspn(p, "-0123456789");
        p = digits && p[digits] == ' ' ? p + digits + 1 : NULL;
    }
    return p && *p == '/' ? p : NULL;
}

void model_hash_store(const char *file, const struct checkpoint *c,
                      const char hash[MODEL_HASH_SIZE])
{
    char *old = NULL, *id = identity(c);
    struct file_writer w;
    if (!id)
        return;
    file_make_folders(file, 0700, NULL); /* a failure shows when the file is written */
    (void)file_read(file, MAX_CACHE, &old, NULL, NULL);
    if (file_writer_open(&w, file, NULL) == 0) {
        const char *path = strchr(id, '/');
        file_writer_write(&w, hash, MODEL_HASH_SIZE - 1);
        file_writer_write(&w, id, strlen(id));
        file_writer_write(&w, "\n", 1);
        int n_lines = 1;
        for (const char *p = old; p && *p && n_lines < MAX_LINES;) {
            size_t n = strcspn(p, "\n");
            const char *other = path_in(p);
            bool whole = p[n] == '\n' && other && other < p + n;
            if (whole && (strlen(path) != (size_t)(p + n - other) ||
                          strncmp(path, other, strlen(path)) != 0)) {
                file_writer_write(&w, p, n + 1);
                n_lines++;
            }
            p += n + (p[n] == '\n');
        }
        (void)file_writer_commit(&w, NULL);
    }
    free(old);
    free(id);
}

static char *cache_file(void)
{
    const char *dir = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (dir && *dir == '/')
        return file_join(dir, "lar/hashes");
    return home && *home == '/' ? file_join(home, ".cache/lar/hashes") : NULL;
}

/* ---- the thread ---- */

static void *compute(void *ctx)
{
    struct model_hash *h = ctx;
    char hash[MODEL_HASH_SIZE];
    char *cache = cache_file();
    bool found = cache && model_hash_load(cache, h->c, hash);
    if (!found) {
        found = checkpoint_hash(h->c, hash, NULL) == 0;
        if (found && cache)
            model_hash_store(cache, h->c, hash);
    }
    free(cache);
    pthread_mutex_lock(&h->lock);
    h->done = true;
    h->found = found;
    if (found)
        memcpy(h->hash, hash, sizeof(h->hash));
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

struct model_hash *model_hash_begin(struct checkpoint *c)
{
    struct model_hash *h = mem_alloc(sizeof(*h));
    h->c = c;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    h->started = pthread_create(&h->thread, NULL, compute, h) == 0;
    if (!h->started)
        h->done = true; /* no lock: no other thread */
    return h;
}

const char *model_hash_wait(struct model_hash *h, const atomic_bool *cancel)
{
    pthread_mutex_lock(&h->lock);
    while (!h->done && !atomic_load(cancel)) {
        struct timespec soon; /* a signal handler cannot signal the condition */
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 100000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&h->changed, &h->lock, &soon);
    }
    const char *hash = h->found ? h->hash : NULL;
    pthread_mutex_unlock(&h->lock);
    return hash;
}

void model_hash_end(struct model_hash *h)
{
    if (!h)
        return;
    checkpoint_hash_stop(h->c);
    if (h->started)
        pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

int file_hash(const char *path, char out[MODEL_HASH_SIZE], struct err *e)
{
    struct file_map m;
    unsigned char digest[EVP_MAX_MD_SIZE];
    int rc = file_map_open(&m, path, e);
    if (rc)
        return rc;
    if (EVP_Digest(m.data, m.size, digest, NULL, EVP_sha256(), NULL) != 1)
        rc = err_set(e, ERR_INTERNAL, "SHA-256 failed in libcrypto");
    for (int i = 0; !rc && i < 5; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    file_map_close(&m);
    return rc;
}

_Bool hash_agrees(const char *a, const char *b)
{
    size_t n = a && b ? strlen(a) : 0, m = n ? strlen(b) : 0;
    return strncasecmp(n ? a : "", m ? b : "", n < m ? n : m) == 0;
}
