/* http.h - requests to other machines. Models are fetched through this, with libcurl.
 *
 * Certificates are verified; a proxy is taken from the environment (https_proxy, no_proxy). Only
 * https is spoken, and http where the caller allows it. Redirects are followed up to ten times:
 * they keep the scheme or better it, the Authorization header stays with the host it was meant for,
 * and none leads from a public address to a private one or to this machine.
 */
#ifndef LAR_ENGINE_HTTP_H
#define LAR_ENGINE_HTTP_H

#include "base/buf.h"
#include "base/map.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct http;

/* A client with its open connections; one thread at a time. */
int http_new(struct http **h, struct err *e);
void http_free(struct http *h); /* NULL is fine */

#define HTTP_MAX_HEADERS 8

struct http_request {
    const char *method; /* "GET", "HEAD"; NULL: GET */
    const char *url;
    const char *headers[HTTP_MAX_HEADERS]; /* "Accept: ..."; up to the first NULL */
    bool ranged; /* the bytes first .. last only; ERR_UNSUPPORTED when all of them come */
    int64_t first, last;
    bool plain; /* http is allowed */
    /* Called with the body of a 2xx answer as it comes; a non-zero result ends the request with
     * that code. NULL: the body is kept in the response. */
    int (*on_data)(const void *data, size_t n, void *ctx, struct err *e);
    void *ctx;
    size_t max;                /* bytes of a body that is kept; 0: 1 MiB */
    const atomic_bool *cancel; /* ends it within a second: ERR_CANCELLED; or NULL */
    int stall;                 /* seconds without a byte that end it: ERR_IO; 0: 30 */
};

struct http_response {
    int status;         /* 200, 404, ... */
    struct map headers; /* name in lower case -> char *, owned */
    struct buf body;    /* unless on_data took it; of errors always */
    char *url;          /* owned: where the last redirect led */
};

/* Fails where no answer came: ERR_IO names the host and what went wrong. A status of 400 and more
 * is an answer. The caller releases the response in every case. */
int http_send(struct http *h, const struct http_request *r, struct http_response *out,
              struct err *e);
void http_response_release(struct http_response *r); /* a zeroed one is fine */

const char *http_header(const struct http_response *r, const char *name); /* or NULL */

/* Is this the address of this machine, of its network or of no host at all? "127.0.0.1", "::1",
 * "10.1.2.3", "169.254.169.254". For redirects, and later for the door. */
bool http_is_private_address(const char *ip);

#endif
