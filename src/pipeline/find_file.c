/* find_file.c - see find_file.h. */
#include "pipeline/find_file.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PLACES 6

struct places {
    char *dir[MAX_PLACES]; /* owned */
    int n;
};

/* Takes `dir`, and the kind's folder in it. */
static void add_place(struct places *p, char *dir, const char *folder)
{
    p->dir[p->n++] = dir;
    p->dir[p->n++] = file_join(dir, folder);
}

static bool is_file(const char *path)
{
    return file_exists(path) && !file_is_dir(path);
}

static char *look(const char *dir, const struct find_file *f)
{
    for (const char *const *end = f->endings; *end; end++) {
        char *file = mem_printf("%s%s", f->name, *end), *path = file_join(dir, file);
        free(file);
        if (is_file(path))
            return path;
        free(path);
    }
    return NULL;
}

static int not_found(const struct find_file *f, const struct places *p, struct err *e)
{
    struct buf b;
    buf_init(&b, 4096);
    for (int i = 0; i < p->n; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", p->dir[i]);
    int rc = err_set(
        e, ERR_NOT_FOUND,
        "there is no %s %s: looked for %s%s in %s; give its path, or set LAR_MODELS to "
        "the folder of your models",
        f->what, f->name, f->name, f->endings[0], buf_str(&b));
    buf_release(&b);
    return rc;
}

static struct places places_of(const struct find_file *f)
{
    struct places p = {0};
    const char *models = getenv("LAR_MODELS");
    if (f->model)
        add_place(&p, file_folder(f->model), f->folder);
    if (models && *models)
        add_place(&p, mem_strdup(models), f->folder);
    return p;
}

static void release(struct places *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->dir[i]);
}

int find_file(const struct find_file *f, char **path, struct err *e)
{
    *path = NULL;
    if (is_file(f->name)) {
        *path = mem_strdup(f->name);
        return 0;
    }
    if (strchr(f->name, '/'))
        return err_set(e, ERR_NOT_FOUND, "there is no %s %s", f->what, f->name);
    struct places p = places_of(f);
    for (int i = 0; i < p.n && !*path; i++)
        *path = look(p.dir[i], f);
    int rc = *path ? 0 : not_found(f, &p, e);
    release(&p);
    return rc;
}

static bool has_ending(const char *name, const char *const *endings)
{
    char *bare = find_file_name(name, endings);
    bool has = strlen(bare) < strlen(name);
    free(bare);
    return has;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In alphabetical order: a folder's own differs from machine to machine. */
static void each_in(const char *dir, const struct find_file *f,
                    void (*fn)(const char *path, void *ctx), void *ctx)
{
    DIR *d = opendir(dir);
    char **paths = NULL;
    size_t n = 0;
    for (const struct dirent *x; d && (x = readdir(d));) {
        if (!has_ending(x->d_name, f->endings))
            continue;
        paths = mem_realloc(paths, (n + 1) * sizeof(*paths));
        paths[n++] = file_join(dir, x->d_name);
    }
    if (d)
        closedir(d);
    if (n)
        qsort(paths, n, sizeof(*paths), by_name);
    for (size_t i = 0; i < n; i++) {
        if (is_file(paths[i]))
            fn(paths[i], ctx);
        free(paths[i]);
    }
    free(paths);
}

void find_file_each(const struct find_file *f, void (*fn)(const char *path, void *ctx), void *ctx)
{
    struct places p = places_of(f);
    for (int i = 1; i < p.n; i += 2) /* the kind's folders, see add_place() */
        each_in(p.dir[i], f, fn, ctx);
    release(&p);
}

char *find_file_name(const char *path, const char *const *endings)
{
    size_t length;
    const char *base = file_base(path, &length);
    char *name = mem_strndup(base, length);
    for (; *endings; endings++) {
        size_t n = strlen(name), m = strlen(*endings);
        if (n > m && strcmp(name + n - m, *endings) == 0) {
            name[n - m] = '\0';
            break;
        }
    }
    return name;
}

char *find_file_of_recipe(const char *name, const char *from_path)
{
    char *beside = file_folder(from_path), *found = NULL;
    const char *folders[] = {beside, ".", getenv("LAR_MODELS")};
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders) && !found; i++) {
        if (!folders[i] || !*folders[i])
            continue;
        char *path = strcmp(folders[i], ".") ? file_join(folders[i], name) : mem_strdup(name);
        if (file_exists(path))
            found = path;
        else
            free(path);
    }
    free(beside);
    return found;
}
