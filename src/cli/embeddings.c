/* embeddings.c - see embeddings.h. */
#include "cli/embeddings.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/message.h"
#include "cli/model_hash.h"
#include "cli/options.h"
#include "pipeline/embedding.h"
#include "pipeline/find_file.h"
#include "pipeline/recipe.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_HASHES 65536

/* For find_file_each(). */
struct search {
    struct embedding_files *f;
    const struct embedding_wish *w;
};

static struct find_file place(const struct embedding_wish *w, const char *name)
{
    return (struct find_file){name, "embedding", "embeddings", w->model, embedding_endings};
}

static bool has(const struct embedding_files *f, const char *name)
{
    bool found = false;
    for (int i = 0; i < f->n && !found; i++) {
        char *other = find_file_name(f->paths[i], embedding_endings);
        found = strcasecmp(name, other) == 0;
        free(other);
    }
    return found;
}

/* Takes the path. */
static void add(struct embedding_files *f, char *path)
{
    f->paths = mem_realloc(f->paths, ((size_t)f->n + 1) * sizeof(*f->paths));
    f->paths[f->n++] = path;
}

/* A file in a folder counts where a prompt has its name; whether as a word, the tokens tell. */
static void consider(const char *path, void *ctx)
{
    const struct search *s = ctx;
    char *name = find_file_name(path, embedding_endings);
    bool named = strcasestr(s->w->prompt, name) ||
                 (s->w->negative && strcasestr(s->w->negative, name));
    if (named && !has(s->f, name))
        add(s->f, mem_strdup(path));
    free(name);
}

static int add_options(struct embedding_files *f, const struct embedding_wish *w, struct err *e)
{
    const struct option_value *v = &w->o->value[OPTION_EMBEDDING];
    int rc = 0;
    for (int i = 0; i < v->n && !rc; i++) {
        const struct find_file x = place(w, v->list[i]);
        char *path;
        rc = find_file(&x, &path, e);
        if (!rc)
            add(f, path);
        else
            err_prefix(e, "--embedding");
    }
    return rc;
}

/* The recipe's hash of this name in "name: hash, name: hash", or NULL; its length in *n. */
static const char *wanted_hash(const char *list, const char *name, size_t *n)
{
    size_t n_name = strlen(name);
    for (const char *p = list; p && *p;) {
        p += strspn(p, " ,");
        size_t length = strcspn(p, ",");
        if (length > n_name + 1 && strncmp(p, name, n_name) == 0 && p[n_name] == ':') {
            const char *hash = p + n_name + 1 + strspn(p + n_name + 1, " ");
            *n = (size_t)(p + length - hash);
            return hash;
        }
        p += length;
    }
    return NULL;
}

/* Those that the recipe names, unless an option gave one of that name. */
static void add_recipe(struct embedding_files *f, const struct embedding_wish *w)
{
    for (const char *p = w->from->embeddings; p && *p; p += strcspn(p, ",")) {
        p += strspn(p, " ,");
        char *name = mem_strndup(p, strcspn(p, ":,")), *path;
        const struct find_file x = place(w, name);
        struct err own = {0};
        if (*name && !has(f, name) && find_file(&x, &path, &own) == 0)
            add(f, path);
        else if (own.code)
            message_warn("%s: its embedding %s is left out, the picture will differ: %s",
                         w->from_path, name, own.text);
        free(name);
    }
}

/* The list for the recipe; warns of files that have changed. */
static int hash(struct embedding_files *f, const struct embedding_wish *w, struct err *e)
{
    struct buf list;
    int rc = 0;
    buf_init(&list, MAX_HASHES);
    for (int i = 0; i < f->n && !rc; i++) {
        char digits[MODEL_HASH_SIZE], *name = find_file_name(f->paths[i], embedding_endings);
        size_t n = 0;
        rc = file_hash(f->paths[i], digits, e);
        const char *wanted = rc ? NULL : wanted_hash(w->from->embeddings, name, &n);
        if (wanted && strncasecmp(wanted, digits, n < sizeof(digits) ? n : sizeof(digits) - 1) != 0)
            message_warn("%s is another embedding than %s was drawn with: hash %s, not %.*s",
                         f->paths[i], w->from_path, digits, (int)n, wanted);
        buf_printf(&list, "%s%s: %s", i ? ", " : "", name, digits);
        free(name);
    }
    if (f->n)
        f->hashes = buf_take(&list);
    buf_release(&list);
    return rc;
}

int embedding_files_find(struct embedding_files *f, const struct embedding_wish *w, struct err *e)
{
    const struct find_file folders = place(w, NULL);
    int rc = add_options(f, w, e);
    if (rc)
        return rc;
    find_file_each(&folders, consider, &(struct search){f, w});
    add_recipe(f, w);
    return hash(f, w, e);
}

void embedding_files_release(struct embedding_files *f)
{
    for (int i = 0; i < f->n; i++)
        free(f->paths[i]);
    free(f->paths);
    free(f->hashes);
    *f = (struct embedding_files){0};
}
