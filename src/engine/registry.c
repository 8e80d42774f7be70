/* registry.c - see registry.h. */
#include "engine/registry.h"

#include "base/err.h"
#include "base/mem.h"
#include "engine/http.h"
#include "engine/manifest.h"
#include "engine/model_name.h"
#include "format/json.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ACCEPT                                                       \
    "Accept: application/vnd.docker.distribution.manifest.v2+json, " \
    "application/vnd.oci.image.manifest.v1+json"

struct registry {
    struct http *http;
    struct model_name name;
    char *base; /* "https://host" */
    bool plain;
    char *authorization; /* the header, or NULL */
    const atomic_bool *cancel;
};

static bool is_hugging_face(const struct model_name *n)
{
    return strcasecmp(n->host, "hf.co") == 0 || strcasecmp(n->host, "huggingface.co") == 0;
}

static void authorize(struct registry *r, const char *token)
{
    free(r->authorization);
    r->authorization = mem_printf("Authorization: Bearer %s", token);
}

int registry_new(struct registry **out, const struct model_name *name, bool plain,
                 const atomic_bool *cancel, struct err *e)
{
    struct http *http;
    *out = NULL;
    int rc = http_new(&http, e);
    if (rc)
        return rc;
    struct registry *r = mem_alloc(sizeof(*r));
    *r = (struct registry){.http = http, .name = *name, .plain = plain, .cancel = cancel};
    const char *endpoint = getenv("HF_ENDPOINT"), *token = getenv("HF_TOKEN");
    if (is_hugging_face(name) && endpoint && *endpoint) {
        size_t n = strlen(endpoint);
        r->base = mem_strndup(endpoint, n - (endpoint[n - 1] == '/'));
    } else {
        r->base = mem_printf("%s://%s", plain ? "http" : "https", name->host);
    }
    /* A line end in the variable must not become a header of its own. */
    if (is_hugging_face(name) && token && *token && !strpbrk(token, "\r\n"))
        authorize(r, token);
    *out = r;
    return 0;
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    http_free(r->http);
    free(r->authorization);
    free(r->base);
    free(r);
}

char *registry_blob_url(const struct registry *r, const char *digest)
{
    return mem_printf("%s/v2/%s/%s/blobs/%s", r->base, r->name.space, r->name.model, digest);
}

const char *registry_authorization(const struct registry *r)
{
    return r->authorization;
}

/* ---- tokens ---- */

/* The value of one parameter of a challenge, `Bearer realm="...",scope="..."`; heap, or NULL. */
static char *parameter(const char *challenge, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = challenge; (p = strstr(p, name)); p += n) {
        bool begins = p > challenge && strchr(" ,", p[-1]);
        if (!begins || p[n] != '=' || p[n + 1] != '"')
            continue;
        const char *end = strchr(p + n + 2, '"');
        return end ? mem_strndup(p + n + 2, (size_t)(end - (p + n + 2))) : NULL;
    }
    return NULL;
}

/* The host of an URL without its port; heap, or NULL. */
static char *host_of(const char *url)
{
    char *host = NULL, *out = NULL;
    CURLU *u = curl_url();
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK)
        out = mem_strdup(host);
    curl_free(host);
    curl_url_cleanup(u);
    return out;
}

/* The token's URL: the realm with service and scope; NULL with an error when it may not be asked.
 */
static char *token_url(const struct registry *r, const char *challenge, struct err *e)
{
    char *realm = parameter(challenge, "realm"), *service = parameter(challenge, "service");
    char *scope = parameter(challenge, "scope"), *url = NULL;
    char *there = realm ? host_of(realm) : NULL, *here = host_of(r->base);
    char *s = service ? curl_easy_escape(NULL, service, 0) : NULL;
    char *c = scope ? curl_easy_escape(NULL, scope, 0) : NULL;
    if (!there || !here)
        err_set(e, ERR_IO, "%s wants an authorization that is not understood: %.200s", r->base,
                challenge);
    else if (strcasecmp(here, there) != 0)
        err_set(e, ERR_IO, "%s sends to %s for a token, which is another host: it is not asked",
                r->base, there);
    else
        url = mem_printf("%s%sservice=%s&scope=%s", realm, strchr(realm, '?') ? "&" : "?",
                         s ? s : "", c ? c : "");
    curl_free(s);
    curl_free(c);
    free(here);
    free(there);
    free(scope);
    free(service);
    free(realm);
    return url;
}

static int read_token(struct registry *r, const char *url, const struct http_response *res,
                      struct err *e)
{
    struct json_doc d = {0};
    const char *token = NULL;
    int rc = res->status == 200 ? 0
                                : err_set(e, ERR_IO, "%s: the server answers %d", url, res->status);
    if (!rc)
        rc = json_doc_parse(&d, url, buf_str(&res->body), res->body.len, e);
    if (!rc)
        rc = json_doc_str(&d, "token", &token, e);
    if (!rc && !token)
        rc = json_doc_str(&d, "access_token", &token, e);
    if (!rc && (!token || !*token || strpbrk(token, "\r\n")))
        rc = err_set(e, ERR_IO, "%s: the answer has no token", url);
    if (!rc)
        authorize(r, token);
    json_doc_release(&d);
    return rc;
}

static int get_token(struct registry *r, const char *challenge, struct err *e)
{
    struct http_response res = {0};
    char *url = token_url(r, challenge, e);
    if (!url)
        return ERR_IO;
    struct http_request q = {.url = url, .plain = r->plain, .cancel = r->cancel};
    int rc = http_send(r->http, &q, &res, e);
    if (!rc)
        rc = read_token(r, url, &res, e);
    http_response_release(&res);
    free(url);
    return rc;
}

/* ---- the manifest ---- */

static int send_manifest(struct registry *r, const char *url, struct http_response *res,
                         struct err *e)
{
    struct http_request q = {.url = url,
                             .headers = {ACCEPT, r->authorization},
                             .plain = r->plain,
                             .max = MANIFEST_MAX_SIZE,
                             .cancel = r->cancel};
    return http_send(r->http, &q, res, e);
}

static int refusal(const struct registry *r, int status, struct err *e)
{
    char *name = model_name_text(&r->name);
    int rc;
    if (status == 404)
        rc = err_set(e, ERR_NOT_FOUND, "%s has no model %s", r->base, name);
    else if (status == 401 || status == 403)
        rc = err_set(e, ERR_NOT_FOUND, "%s does not give %s to us: it may not exist, or want %s",
                     r->base, name,
                     is_hugging_face(&r->name) ? "a token in HF_TOKEN" : "an account");
    else
        rc = err_set(e, ERR_IO, "%s: the server answers %d", r->base, status);
    free(name);
    return rc;
}

int registry_manifest(struct registry *r, char **text, size_t *n, struct err *e)
{
    char *url = mem_printf("%s/v2/%s/%s/manifests/%s", r->base, r->name.space, r->name.model,
                           r->name.tag);
    struct http_response res = {0};
    *text = NULL;
    int rc = send_manifest(r, url, &res, e);
    const char *challenge = http_header(&res, "www-authenticate");
    if (!rc && res.status == 401 && challenge && strncasecmp(challenge, "Bearer ", 7) == 0 &&
        !r->authorization) {
        rc = get_token(r, challenge, e);
        http_response_release(&res);
        if (!rc)
            rc = send_manifest(r, url, &res, e);
    }
    if (!rc && res.status != 200)
        rc = refusal(r, res.status, e);
    if (!rc) {
        *n = res.body.len;
        *text = buf_take(&res.body);
        if (!*text)
            *text = mem_strdup("");
    }
    http_response_release(&res);
    free(url);
    return rc;
}
