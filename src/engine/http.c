/* http.c - see http.h. */
#include "engine/http.h"

#include "base/err.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_REDIRECTS  10
#define MAX_BODY       ((size_t)1 << 20)
#define MAX_ERROR_BODY 65536
#define MAX_HEADER     65536
#define CONNECT_MS     15000L
#define STALL          30

struct http {
    CURL *curl;
};

/* One request of a chain of redirects. */
struct exchange {
    const struct http_request *r;
    struct http_response *out;
    struct err *e;
    CURL *curl;
    bool from_public; /* an earlier request of the chain went to a public address */
    bool at_public;   /* this one does */
    bool refused;     /* its address is a private one, and must not be */
    int rc;           /* of on_data */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_new(struct http **h, struct err *e)
{
    pthread_once(&once, init_library);
    *h = NULL;
    CURL *curl = curl_easy_init();
    if (!curl)
        return err_set(e, ERR_NOMEM, "there is no memory for a connection");
    *h = mem_alloc(sizeof(**h));
    (*h)->curl = curl;
    return 0;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->curl);
    free(h);
}

/* ---- responses ---- */

static void clear(struct http_response *r)
{
    for (size_t i = 0; i < r->headers.cap; i++)
        if (r->headers.slots[i].key)
            free(r->headers.slots[i].value);
    map_release(&r->headers);
    r->headers = (struct map){0};
    buf_release(&r->body);
    r->status = 0;
}

void http_response_release(struct http_response *r)
{
    clear(r);
    free(r->url);
    *r = (struct http_response){0};
}

const char *http_header(const struct http_response *r, const char *name)
{
    return map_get_str(&r->headers, name);
}

/* ---- addresses ---- */

static bool is_private_v4(const unsigned char a[4])
{
    return a[0] == 0 || a[0] == 10 || a[0] == 127 || (a[0] == 100 && (a[1] & 0xc0) == 64) ||
           (a[0] == 169 && a[1] == 254) || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
           (a[0] == 192 && a[1] == 168) || a[0] >= 224;
}

bool http_is_private_address(const char *ip)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff}, zero[15] = {0};
    unsigned char a[16];
    if (inet_pton(AF_INET, ip, a) == 1)
        return is_private_v4(a);
    if (inet_pton(AF_INET6, ip, a) != 1)
        return true; /* no address at all */
    if (memcmp(a, mapped, sizeof(mapped)) == 0)
        return is_private_v4(a + 12);
    return (memcmp(a, zero, sizeof(zero)) == 0 && a[15] <= 1) || (a[0] & 0xfe) == 0xfc ||
           (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || a[0] == 0xff;
}

/* ---- callbacks of libcurl ---- */

static int on_connected(void *ctx, char *ip, char *own_ip, int port, int own_port)
{
    struct exchange *x = ctx;
    (void)own_ip;
    (void)port;
    (void)own_port;
    bool private = http_is_private_address(ip);
    x->at_public = !private;
    x->refused = private && x->from_public;
    return x->refused ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
    struct exchange *x = ctx;
    size_t all = size * n, name = 0;
    if (all >= 5 && strncmp(line, "HTTP/", 5) == 0) { /* after "100 Continue", say */
        clear(x->out);
        return all;
    }
    while (name < all && line[name] != ':')
        name++;
    if (name == all || all > MAX_HEADER)
        return all;
    size_t begin = name + 1, end = all;
    while (begin < end && strchr(" \t\r\n", line[begin]))
        begin++;
    while (end > begin && strchr(" \t\r\n", line[end - 1]))
        end--;
    char *key = mem_strndup(line, name);
    for (char *c = key; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    free(map_put(&x->out->headers, key, name, mem_strndup(line + begin, end - begin)));
    free(key);
    return all;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct exchange *x = ctx;
    long status = 0;
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && x->r->ranged) {
        x->rc = err_set(x->e, ERR_UNSUPPORTED, "%s: the server sends no ranges", x->r->url);
        return 0;
    }
    if (status >= 200 && status < 300 && x->r->on_data) {
        x->rc = x->r->on_data(data, size * n, x->r->ctx, x->e);
        return x->rc ? 0 : size * n;
    }
    bool good = status >= 200 && status < 300;
    if (!x->out->body.max)
        buf_init(&x->out->body, !good ? MAX_ERROR_BODY : x->r->max ? x->r->max : MAX_BODY);
    buf_append(&x->out->body, data, size * n);
    if (good && buf_failed(&x->out->body))
        return 0;
    return size * n; /* of an error's page the beginning is enough */
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct exchange *x = ctx;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return x->r->cancel && atomic_load(x->r->cancel);
}

/* ---- requests ---- */

/* "https://host:port" of an URL without user names; heap, NULL when it is none. */
static char *origin(const char *url)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *out = NULL;
    CURLU *u = curl_url();
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        out = mem_printf("%s://%s:%s", scheme, host, port);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return out;
}

/* Where a Location header leads from here; heap, or NULL. */
static char *resolve(const char *base, const char *location)
{
    char *out = NULL, *whole = NULL;
    CURLU *u = curl_url();
    if (u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK)
        out = mem_strdup(whole);
    curl_free(whole);
    curl_url_cleanup(u);
    return out;
}

static struct curl_slist *headers_of(const struct http_request *r, bool same_origin)
{
    struct curl_slist *list = NULL;
    for (int i = 0; i < HTTP_MAX_HEADERS && r->headers[i]; i++)
        if (same_origin || strncasecmp(r->headers[i], "Authorization:", 14) != 0)
            list = curl_slist_append(list, r->headers[i]);
    return list;
}

static void set_up(struct exchange *x, const char *url, struct curl_slist *headers)
{
    const struct http_request *r = x->r;
    CURL *c = x->curl;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, r->plain ? "http,https" : "https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)(r->stall ? r->stall : STALL));
    curl_easy_setopt(c, CURLOPT_USERAGENT, "lar/" LAR_VERSION);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(c, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, x);
    if (r->method && strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    if (r->ranged) {
        char range[64];
        snprintf(range, sizeof(range), "%lld-%lld", (long long)r->first, (long long)r->last);
        curl_easy_setopt(c, CURLOPT_RANGE, range);
    }
}

/* What libcurl says, as one sentence about the host. */
static int explain(const struct exchange *x, CURLcode code, const char *at, struct err *e)
{
    if (x->rc)
        return x->rc;
    if (code == CURLE_ABORTED_BY_CALLBACK && x->refused)
        return err_set(e, ERR_IO,
                       "%s: a redirect leads to an address of a private network, which "
                       "is not followed",
                       at);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(e, ERR_CANCELLED, "cancelled");
    if (code == CURLE_WRITE_ERROR)
        return err_set(e, ERR_FORMAT, "%s: the answer is longer than %zu bytes", at,
                       x->out->body.max);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(e, ERR_IO, "%s: no answer in time; try again", at);
    if (code == CURLE_UNSUPPORTED_PROTOCOL)
        return err_set(e, ERR_IO, "%s: only https is spoken%s", at,
                       x->r->plain ? " and http" : "; allow http with --insecure");
    return err_set(e, ERR_IO, "%s: %s", at, curl_easy_strerror(code));
}

/* One request; *next is where a redirect leads, heap, else NULL. */
static int exchange(struct exchange *x, const char *url, bool same_origin, char **next,
                    struct err *e)
{
    struct curl_slist *headers = headers_of(x->r, same_origin);
    char *at = origin(url);
    long status = 0;
    *next = NULL;
    clear(x->out);
    set_up(x, url, headers);
    CURLcode code = curl_easy_perform(x->curl);
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    x->out->status = (int)status;
    int rc = code == CURLE_OK ? 0 : explain(x, code, at ? at : url, e);
    const char *location = http_header(x->out, "location");
    if (!rc && location &&
        (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)) {
        *next = resolve(url, location);
        if (!*next)
            rc = err_set(e, ERR_IO, "%s: a redirect to \"%.100s\", which is no address",
                         at ? at : url, location);
    }
    x->from_public = x->from_public || x->at_public;
    free(at);
    curl_slist_free_all(headers);
    return rc;
}

int http_send(struct http *h, const struct http_request *r, struct http_response *out,
              struct err *e)
{
    struct exchange x = {.r = r, .out = out, .e = e, .curl = h->curl};
    struct http_request own = *r;
    x.r = &own;
    *out = (struct http_response){.url = mem_strdup(r->url)};
    char *first = origin(r->url);
    int rc = first ? 0 : err_set(e, ERR_ARG, "%.200s is no address of a server", r->url);
    bool same = true;
    for (int i = 0; !rc; i++) {
        char *next;
        rc = exchange(&x, out->url, same, &next, e);
        if (rc || !next)
            break;
        char *there = origin(next);
        if (i == MAX_REDIRECTS)
            rc = err_set(e, ERR_IO, "%s: more than %d redirects", first, MAX_REDIRECTS);
        own.plain = own.plain && strncasecmp(out->url, "https:", 6) != 0;
        same = same && there && strcmp(first, there) == 0; /* once left, the secret stays behind */
        free(there);
        free(out->url);
        out->url = next;
    }
    free(first);
    return rc;
}
