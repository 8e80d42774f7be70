/* store.c - see store.h. */
#include "engine/store.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_TEXT ((size_t)1 << 20)

static void add_root(struct store *s, char *path)
{
    bool known = !path;
    for (int i = 0; i < s->n_roots && !known; i++)
        known = strcmp(s->root[i], path) == 0;
    if (known)
        free(path);
    else
        s->root[s->n_roots++] = path;
}

static char *from_environment(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? mem_strdup(v) : NULL;
}

static char *below_home(const char *path)
{
    const char *home = getenv("HOME");
    return home && *home ? file_join(home, path) : NULL;
}

void store_open(struct store *s)
{
    *s = (struct store){0};
    add_root(s, from_environment("LAR_MODELS"));
    if (!s->n_roots)
        add_root(s, from_environment("OLLAMA_MODELS"));
    if (!s->n_roots) {
        const char *data = getenv("XDG_DATA_HOME");
        add_root(s, data && *data == '/' ? file_join(data, "lar/models")
                                         : below_home(".local/share/lar/models"));
    }
    add_root(s, below_home(".ollama/models"));
    add_root(s, mem_strdup("/usr/share/ollama/.ollama/models"));
}

void store_close(struct store *s)
{
    for (int i = 0; i < s->n_roots; i++)
        free(s->root[i]);
    *s = (struct store){0};
}

void store_model_release(struct store_model *m)
{
    manifest_release(&m->manifest);
    free(m->root);
    *m = (struct store_model){0};
}

/* Reads the manifest of `name` in a root. */
static int read_model(struct store_model *m, const char *root, const struct model_name *name,
                      struct err *e)
{
    char *relative = model_name_path(name), *path = mem_printf("%s/manifests/%s", root, relative);
    char *text = NULL;
    size_t size = 0;
    struct stat st;
    *m = (struct store_model){.name = *name, .root = mem_strdup(root)};
    int rc = file_read(path, MANIFEST_MAX_SIZE, &text, &size, e);
    if (!rc)
        rc = manifest_parse(&m->manifest, path, text, size, e);
    if (!rc) {
        digest_of(m->id, text, size);
        if (stat(path, &st) == 0)
            m->modified = st.st_mtime;
    } else {
        store_model_release(m);
    }
    free(text);
    free(path);
    free(relative);
    return rc;
}

/* ---- walking the folders: host, namespace, model, tag ---- */

struct walk {
    const char *root;
    struct model_name name;
    const struct model_name *only; /* go only where this name may be; NULL: everywhere */
    int (*found)(struct walk *w, void *ctx, struct err *e);
    void *ctx;
};

static bool on_the_way(const struct walk *w, int level)
{
    if (!w->only)
        return true;
    struct model_name as_far = *w->only;
    if (level >= 0)
        memcpy(as_far.host, w->name.host, sizeof(as_far.host));
    if (level >= 1)
        memcpy(as_far.space, w->name.space, sizeof(as_far.space));
    if (level >= 2)
        memcpy(as_far.model, w->name.model, sizeof(as_far.model));
    if (level >= 3)
        memcpy(as_far.tag, w->name.tag, sizeof(as_far.tag));
    return model_name_same(&as_far, w->only);
}

static int walk(struct walk *w, const char *path, int level, struct err *e)
{
    if (level == 4)
        return file_is_dir(path) ? 0 : w->found(w, w->ctx, e);
    DIR *dir = opendir(path);
    if (!dir) /* a file where a folder should be, or not ours to read */
        return 0;
    int rc = 0;
    for (const struct dirent *d; !rc && (d = readdir(dir));) {
        /* What is no part of a name (.DS_Store, temporary files) is nobody's model. */
        if (!model_name_set(&w->name, (enum model_name_part)level, d->d_name) ||
            !on_the_way(w, level))
            continue;
        char *below = file_join(path, d->d_name);
        rc = walk(w, below, level + 1, e);
        free(below);
    }
    closedir(dir);
    return rc;
}

static int walk_roots(const struct store *s, struct walk *w, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < s->n_roots && !rc; i++) {
        char *path = file_join(s->root[i], "manifests");
        w->root = s->root[i];
        rc = walk(w, path, 0, e);
        free(path);
    }
    return rc;
}

/* ---- one model ---- */

static int take_first(struct walk *w, void *ctx, struct err *e)
{
    struct store_model *m = ctx;
    return m->root ? 0 : read_model(m, w->root, &w->name, e);
}

int store_find(const struct store *s, const struct model_name *name, struct store_model *m,
               struct err *e)
{
    *m = (struct store_model){0};
    struct walk w = {.only = name, .found = take_first, .ctx = m};
    int rc = walk_roots(s, &w, e);
    if (rc || m->root)
        return rc;
    char *text = model_name_text(name);
    rc = err_set(e, ERR_NOT_FOUND, "there is no model %s in %s; `lar list` shows those there are",
                 text, s->n_roots ? s->root[0] : "the store");
    free(text);
    return rc;
}

char *store_blob_path(const char *root, const char *digest)
{
    return mem_printf("%s/blobs/sha256-%s", root, digest + strlen("sha256:"));
}

int store_layer_path(const struct store_model *m, const struct manifest_layer *l, char **path,
                     struct err *e)
{
    struct stat st;
    *path = store_blob_path(m->root, l->digest);
    int rc = 0;
    if (stat(*path, &st) != 0)
        rc = err_set(e, ERR_NOT_FOUND, "%s: the %s of %s:%s is not there; get the model again",
                     *path, l->kind, m->name.model, m->name.tag);
    else if (S_ISREG(st.st_mode) && st.st_size != l->size)
        rc = err_set(e, ERR_FORMAT,
                     "%s: %lld bytes, but the manifest of %s:%s says %lld; get the model again",
                     *path, (long long)st.st_size, m->name.model, m->name.tag, (long long)l->size);
    if (rc) {
        free(*path);
        *path = NULL;
    }
    return rc;
}

int store_layer_text(const struct store_model *m, const char *kind, char **text, struct err *e)
{
    const struct manifest_layer *l = manifest_layer(&m->manifest, kind);
    char *path;
    *text = NULL;
    if (!l)
        return 0;
    int rc = store_layer_path(m, l, &path, e);
    if (rc)
        return rc;
    rc = file_read(path, MAX_TEXT, text, NULL, e);
    free(path);
    return rc;
}

static int weights_of(const struct store_model *m, char **path, struct err *e)
{
    const struct manifest_layer *l = manifest_layer(&m->manifest, "model");
    if (l)
        return store_layer_path(m, l, path, e);
    return err_set(e, ERR_UNSUPPORTED,
                   "%s:%s is kept as one blob per tensor, which is not supported", m->name.model,
                   m->name.tag);
}

int store_weights(const char *text, char **path, struct err *e)
{
    struct store s;
    struct store_model m;
    struct model_name name;
    struct err own = {0};
    *path = NULL;
    if (file_exists(text)) {
        *path = mem_strdup(text);
        return 0;
    }
    if (model_name_parse(&name, text, &own))
        return err_set(e, ERR_NOT_FOUND, "there is no file or folder %s", text);
    store_open(&s);
    int rc = store_find(&s, &name, &m, &own);
    if (rc == ERR_NOT_FOUND)
        err_set(e, rc,
                "there is no file or folder %s, nor a model of this name in %s; `lar list` "
                "shows those there are",
                text, s.n_roots ? s.root[0] : "the store");
    else if (rc)
        err_set(e, rc, "%s", own.text);
    if (!rc) {
        rc = weights_of(&m, path, e);
        store_model_release(&m);
    }
    store_close(&s);
    return rc;
}

/* ---- writing ---- */

int store_make_folders(const struct store *s, struct err *e)
{
    char *blobs = file_join(s->root[0], "blobs/"), *manifests = file_join(s->root[0], "manifests/");
    int rc = file_make_folders(blobs, 0755, e);
    if (!rc)
        rc = file_make_folders(manifests, 0755, e);
    free(manifests);
    free(blobs);
    return rc;
}

int store_write_manifest(const struct store *s, const struct model_name *name, const char *text,
                         size_t n, struct err *e)
{
    struct file_writer w;
    char *relative = model_name_path(name);
    char *path = mem_printf("%s/manifests/%s", s->root[0], relative);
    int rc = file_make_folders(path, 0755, e);
    if (!rc)
        rc = file_writer_open(&w, path, e);
    if (!rc) {
        file_writer_write(&w, text, n);
        rc = file_writer_commit(&w, e);
    }
    free(path);
    free(relative);
    return rc;
}

/* ---- all models ---- */

struct list {
    struct store_model *models;
    size_t n, room;
    const struct store_visitor *v;
};

static int add(struct walk *w, void *ctx, struct err *e)
{
    struct list *l = ctx;
    struct err own = {0};
    (void)e;
    for (size_t i = 0; i < l->n; i++) /* an earlier root has it */
        if (model_name_same(&l->models[i].name, &w->name))
            return 0;
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 16;
        l->models = mem_realloc(l->models, l->room * sizeof(*l->models));
    }
    if (read_model(&l->models[l->n], w->root, &w->name, &own) == 0)
        l->n++;
    else
        l->v->bad(&own, l->v->ctx);
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct store_model *x = a, *y = b;
    if (x->modified != y->modified)
        return x->modified < y->modified ? 1 : -1;
    return strcmp(x->name.model, y->name.model);
}

int store_each(const struct store *s, const struct store_visitor *v, struct err *e)
{
    struct list l = {.v = v};
    struct walk w = {.found = add, .ctx = &l};
    int rc = walk_roots(s, &w, e);
    if (l.n)
        qsort(l.models, l.n, sizeof(*l.models), newest_first);
    for (size_t i = 0; i < l.n; i++) {
        v->model(&l.models[i], v->ctx);
        store_model_release(&l.models[i]);
    }
    free(l.models);
    return rc;
}
