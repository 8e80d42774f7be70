/* model_name.c - see model_name.h. */
#include "engine/model_name.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static bool may_be(enum model_name_part part, const char *s, size_t n)
{
    size_t most = part == MODEL_NAME_IS_HOST ? 350 : 80;
    if (n == 0 || n > most || !(is_letter_or_digit(s[0]) || s[0] == '_'))
        return false;
    for (size_t i = 1; i < n; i++) {
        bool ok = is_letter_or_digit(s[i]) || s[i] == '_' || s[i] == '-' ||
                  (s[i] == '.' && part != MODEL_NAME_IS_SPACE) ||
                  (s[i] == ':' && part == MODEL_NAME_IS_HOST);
        if (!ok)
            return false;
    }
    return true;
}

static bool set(struct model_name *name, enum model_name_part part, const char *s, size_t n)
{
    char *const to[] = {[MODEL_NAME_IS_HOST] = name->host,
                        [MODEL_NAME_IS_SPACE] = name->space,
                        [MODEL_NAME_IS_MODEL] = name->model,
                        [MODEL_NAME_IS_TAG] = name->tag};
    if (!may_be(part, s, n))
        return false;
    memcpy(to[part], s, n);
    to[part][n] = '\0';
    return true;
}

bool model_name_set(struct model_name *n, enum model_name_part part, const char *text)
{
    return set(n, part, text, strlen(text));
}

/* Takes one part, or says what is wrong with it. */
static int take(struct model_name *name, enum model_name_part part, const char *s, size_t n,
                struct err *e)
{
    static const char *const titles[] = {"host", "namespace", "model", "tag"};
    if (set(name, part, s, n))
        return 0;
    if (n == 0)
        return err_set(e, ERR_ARG, "the %s is missing", titles[part]);
    return err_set(e, ERR_ARG,
                   "\"%.*s\" cannot be a %s: at most %d letters, digits, _, - and%s are allowed, "
                   "beginning with a letter, a digit or _",
                   (int)(n < 60 ? n : 60), s, titles[part], part == MODEL_NAME_IS_HOST ? 350 : 80,
                   part == MODEL_NAME_IS_SPACE ? " no ." : " .");
}

int model_name_parse(struct model_name *n, const char *text, struct err *e)
{
    const char *s = strncasecmp(text, "https://", 8) == 0 ? text + 8 : text;
    const char *slash = strrchr(s, '/'), *model = slash ? slash + 1 : s;
    const char *colon = strrchr(model, ':'), *end = colon ? colon : s + strlen(s);
    *n = (struct model_name){MODEL_NAME_HOST, MODEL_NAME_NAMESPACE, "", MODEL_NAME_TAG};
    int rc = take(n, MODEL_NAME_IS_MODEL, model, (size_t)(end - model), e);
    if (!rc && colon)
        rc = take(n, MODEL_NAME_IS_TAG, colon + 1, strlen(colon + 1), e);
    if (!rc && slash) {
        const char *space = slash;
        while (space > s && space[-1] != '/')
            space--;
        rc = take(n, MODEL_NAME_IS_SPACE, space, (size_t)(slash - space), e);
        if (!rc && space > s)
            rc = take(n, MODEL_NAME_IS_HOST, s, (size_t)(space - 1 - s), e);
    }
    if (rc)
        err_prefix(e, "model name %.100s", text);
    return rc;
}

char *model_name_text(const struct model_name *n)
{
    bool host = strcasecmp(n->host, MODEL_NAME_HOST) != 0;
    bool space = host || strcasecmp(n->space, MODEL_NAME_NAMESPACE) != 0;
    return mem_printf("%s%s%s%s%s:%s", host ? n->host : "", host ? "/" : "", space ? n->space : "",
                      space ? "/" : "", n->model, n->tag);
}

char *model_name_path(const struct model_name *n)
{
    return mem_printf("%s/%s/%s/%s", n->host, n->space, n->model, n->tag);
}

bool model_name_same(const struct model_name *a, const struct model_name *b)
{
    return strcasecmp(a->host, b->host) == 0 && strcasecmp(a->space, b->space) == 0 &&
           strcasecmp(a->model, b->model) == 0 && strcasecmp(a->tag, b->tag) == 0;
}
