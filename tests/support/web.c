/* web.c - see web.h. A thread for each connection, one request on it. */
#include "support/web.h"

#include "base/buf.h"
#include "base/mem.h"
#include "support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE ((size_t)65536)

struct web {
    struct web_options o;
    int fd, port;
    pthread_t accepting;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t quiet;
    struct web_seen seen;
    int open; /* connections */
    int busy; /* answers of 503 left */
};

struct connection {
    struct web *w;
    int fd;
};

static bool send_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

/* The request's head, NUL-terminated; false when the connection ended before. */
static bool read_head(int fd, char *head, size_t room)
{
    size_t n = 0;
    while (n + 1 < room) {
        ssize_t k = recv(fd, head + n, room - 1 - n, 0);
        if (k <= 0)
            return false;
        n += (size_t)k;
        head[n] = '\0';
        if (strstr(head, "\r\n\r\n"))
            return true;
    }
    return false;
}

/* The value of a header line, or NULL. */
static const char *header(const char *head, const char *name)
{
    for (const char *p = strstr(head, "\r\n"); p; p = strstr(p + 2, "\r\n"))
        if (strncasecmp(p + 2, name, strlen(name)) == 0 && p[2 + strlen(name)] == ':')
            return p + 3 + strlen(name) + strspn(p + 3 + strlen(name), " ");
    return NULL;
}

static void begin(struct buf *out, const struct web *w, int status, size_t length)
{
    buf_init(out, 1 << 16);
    buf_printf(out, "HTTP/1.1 %d Answer\r\nContent-Length: %zu\r\nConnection: close\r\n", status,
               length);
    if (w->o.extra)
        buf_printf(out, "%s\r\n", w->o.extra);
}

static void send_head(int fd, struct buf *out)
{
    buf_append_str(out, "\r\n");
    send_all(fd, buf_str(out), out->len);
    buf_release(out);
}

static void refuse(const struct web *w, int fd, int status)
{
    struct buf out;
    begin(&out, w, status, 0);
    if (status == 401) {
        char *realm = mem_printf(w->o.realm ? w->o.realm : "http://127.0.0.1:%d/token", w->port);
        buf_printf(&out,
                   "WWW-Authenticate: Bearer realm=\"%s\",service=\"tests\","
                   "scope=\"repository:x:pull\"\r\n",
                   realm);
        free(realm);
    }
    send_head(fd, &out);
}

static void send_body(struct web *w, int fd, const struct web_page *p, size_t from, size_t n)
{
    char *piece = mem_alloc(PIECE);
    size_t sent = 0, most = w->o.cut > 0 && (size_t)w->o.cut < n ? (size_t)w->o.cut : n;
    while (sent < most) {
        size_t k = most - sent < PIECE ? most - sent : PIECE, at = from + sent;
        memcpy(piece, (const char *)p->data + at, k);
        if (w->o.wrong >= 0 && (size_t)w->o.wrong >= at && (size_t)w->o.wrong < at + k)
            piece[(size_t)w->o.wrong - at] ^= 1;
        if (w->o.delay_ms)
            nanosleep(&(struct timespec){0, w->o.delay_ms * 1000000L}, NULL);
        if (!send_all(fd, piece, k))
            break;
        sent += k;
    }
    free(piece);
    pthread_mutex_lock(&w->lock);
    w->seen.bytes += (int64_t)sent;
    pthread_mutex_unlock(&w->lock);
}

static void send_page(struct web *w, int fd, const struct web_page *p, const char *head)
{
    const char *range = header(head, "Range");
    struct buf out;
    size_t from = 0, to = p->n;
    if (p->location) {
        char *location = mem_printf(p->location, w->port);
        begin(&out, w, 307, 0);
        buf_printf(&out, "Location: %s\r\n", location);
        free(location);
        send_head(fd, &out);
        return;
    }
    bool ranged = range && !w->o.no_ranges && sscanf(range, "bytes=%zu-%zu", &from, &to) >= 1;
    if (ranged)
        to = to + 1 < p->n ? to + 1 : p->n;
    begin(&out, w, ranged ? 206 : 200, to - from);
    buf_printf(&out, "Content-Type: %s\r\n", p->type ? p->type : "application/octet-stream");
    if (ranged)
        buf_printf(&out, "Content-Range: bytes %zu-%zu/%zu\r\n", from, to - 1, p->n);
    send_head(fd, &out);
    if (strncmp(head, "HEAD", 4) != 0)
        send_body(w, fd, p, from, to - from);
}

static const struct web_page *find(const struct web *w, const char *head)
{
    const char *path = strchr(head, ' ');
    size_t n = path ? strcspn(++path, " ?") : 0;
    for (size_t i = 0; i < w->o.n_pages; i++)
        if (path && strlen(w->o.pages[i].path) == n && memcmp(w->o.pages[i].path, path, n) == 0)
            return &w->o.pages[i];
    return NULL;
}

static void answer(struct web *w, int fd, const char *head)
{
    const char *authorization = header(head, "Authorization");
    const struct web_page *page = find(w, head);
    size_t n = w->o.token ? strlen(w->o.token) : 0;
    bool may = !w->o.token || strncmp(head, "GET /token", 10) == 0 ||
               (authorization && strncmp(authorization, "Bearer ", 7) == 0 &&
                strncmp(authorization + 7, w->o.token, n) == 0);
    pthread_mutex_lock(&w->lock);
    w->seen.requests++;
    w->seen.ranged += header(head, "Range") != NULL;
    w->seen.authorized += authorization != NULL;
    bool busy = w->busy > 0 && w->busy--;
    pthread_mutex_unlock(&w->lock);
    if (busy)
        refuse(w, fd, 503);
    else if (!may)
        refuse(w, fd, 401);
    else if (!page)
        refuse(w, fd, 404);
    else
        send_page(w, fd, page, head);
}

static void *serve(void *ctx)
{
    struct connection *c = ctx;
    struct web *w = c->w;
    char head[16384];
    if (read_head(c->fd, head, sizeof(head)))
        answer(w, c->fd, head);
    close(c->fd);
    free(c);
    pthread_mutex_lock(&w->lock);
    w->open--;
    pthread_cond_broadcast(&w->quiet);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void *accept_all(void *ctx)
{
    struct web *w = ctx;
    int fd;
    while ((fd = accept(w->fd, NULL, NULL)) >= 0) {
        struct connection *c = mem_alloc(sizeof(*c));
        pthread_t thread;
        *c = (struct connection){w, fd};
        pthread_mutex_lock(&w->lock);
        w->open++;
        w->seen.together = w->open > w->seen.together ? w->open : w->seen.together;
        pthread_mutex_unlock(&w->lock);
        assert_int_equal(pthread_create(&thread, NULL, serve, c), 0);
        pthread_detach(thread);
    }
    return NULL;
}

struct web *web_start(const struct web_options *o)
{
    struct web *w = mem_alloc(sizeof(*w));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    w->o = *o;
    w->busy = o->busy;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->quiet, NULL);
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(w->fd >= 0);
    assert_int_equal(bind(w->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(w->fd, 64), 0);
    assert_int_equal(getsockname(w->fd, (struct sockaddr *)&at, &n), 0);
    w->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&w->accepting, NULL, accept_all, w), 0);
    return w;
}

void web_stop(struct web *w)
{
    shutdown(w->fd, SHUT_RDWR);
    pthread_join(w->accepting, NULL);
    close(w->fd);
    pthread_mutex_lock(&w->lock);
    while (w->open > 0)
        pthread_cond_wait(&w->quiet, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_cond_destroy(&w->quiet);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int web_port(const struct web *w)
{
    return w->port;
}

char *web_url(const struct web *w, const char *path)
{
    return mem_printf("http://127.0.0.1:%d%s", w->port, path);
}

struct web_seen web_seen(struct web *w)
{
    pthread_mutex_lock(&w->lock);
    struct web_seen seen = w->seen;
    pthread_mutex_unlock(&w->lock);
    return seen;
}
