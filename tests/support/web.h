/* web.h - a small web server for tests, on a free port of this machine, that misbehaves as told. */
#ifndef LAR_TESTS_SUPPORT_WEB_H
#define LAR_TESTS_SUPPORT_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct web;

/* A page: what the path answers. Strings and data are borrowed until web_stop(). */
struct web_page {
    const char *path; /* "/v2/library/x/manifests/latest" */
    const void *data;
    size_t n;
    const char *type;     /* Content-Type */
    const char *location; /* a redirect to there instead; "%d" is the server's port */
};

struct web_options {
    const struct web_page *pages;
    size_t n_pages;
    bool no_ranges;    /* the whole page whatever is asked for */
    const char *token; /* wanted as "Authorization: Bearer ..."; else 401 with a challenge */
    const char *realm; /* of the challenge; "%d" is the server's port */
    int64_t cut;       /* > 0: the connection is cut after so many bytes of a body */
    int busy;          /* so many answers are 503 first */
    int64_t wrong;     /* >= 0: this byte of a page is another; -1: none */
    int delay_ms;      /* before each 64 KiB */
    const char *extra; /* one more header line for every answer; or NULL */
};

struct web *web_start(const struct web_options *o);
void web_stop(struct web *w);
int web_port(const struct web *w);
/* "http://127.0.0.1:<port><path>"; heap. */
char *web_url(const struct web *w, const char *path);

/* What was asked so far. */
struct web_seen {
    int requests, ranged, authorized;
    int together;  /* most requests at once */
    int64_t bytes; /* of bodies sent */
};
struct web_seen web_seen(struct web *w);

#endif
