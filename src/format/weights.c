/* weights.c - see weights.h. */
#include "format/weights.h"

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "format/json.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHARDS 4096

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

const struct file_tensor *weight_file_tensors(const struct weight_file *f, size_t *n)
{
    *n = f->is_gguf ? f->gguf.n_tensors : f->is_pytorch ? f->pytorch.n : f->st.n;
    return f->is_gguf ? f->gguf.tensors : f->is_pytorch ? f->pytorch.tensors : f->st.tensors;
}

static void file_free(struct weight_file *f)
{
    gguf_release(&f->gguf);
    pytorch_release(&f->pytorch);
    safetensors_release(&f->st);
    file_map_close(&f->map);
    free(f->path);
    free(f);
}

void weights_release(struct weights *w)
{
    for (size_t i = 0; i < w->n_files; i++)
        file_free(w->files[i]);
    free(w->files);
    *w = (struct weights){0};
}

/* Files that people pass by mistake, told by how they begin. */
static const struct {
    const char *magic;
    size_t n;
    const char *what;
} strangers[] = {
    {"\x80\2", 2, "a Python pickle that torch.save() did not write; take the model as safetensors"},
    {"version https://git-lfs", 23,
     "a Git LFS pointer, not the file itself; run `git lfs pull` or download it again"},
    {"<!DOCTYPE", 9, "a web page, not a model; download it again"},
    {"<html", 5, "a web page, not a model; download it again"},
    {"lmgg", 4, "an old GGML file; only GGUF and safetensors are read"},
    {"tjgg", 4, "an old GGML file; only GGUF and safetensors are read"},
    {"\x89PNG", 4, "a picture, not a model"},
    {"\xff\xd8\xff", 3, "a picture, not a model"},
};

static int stranger(const struct weight_file *f, struct err *e)
{
    if (f->map.size == 0)
        return err_set(e, ERR_FORMAT, "%s: an empty file", f->path);
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
        if (f->map.size >= strangers[i].n &&
            memcmp(f->map.data, strangers[i].magic, strangers[i].n) == 0)
            return err_set(e, ERR_UNSUPPORTED, "%s: %s", f->path, strangers[i].what);
    if (ends_with(f->path, ".safetensors"))
        return 0; /* the parser says what is wrong */
    return err_set(e, ERR_FORMAT, "%s: not a model: neither safetensors nor GGUF nor PyTorch's",
                   f->path);
}

static int parse(struct weight_file *f, struct err *e)
{
    int rc;
    if (gguf_probe(f->map.data, f->map.size)) {
        f->is_gguf = true;
        rc = gguf_parse(&f->gguf, f->map.data, f->map.size, e);
    } else if (pytorch_probe(f->map.data, f->map.size)) {
        f->is_pytorch = true;
        rc = pytorch_parse(&f->pytorch, f->map.data, f->map.size, e);
    } else {
        if (!safetensors_probe(f->map.data, f->map.size) && (rc = stranger(f, e)))
            return rc;
        rc = safetensors_parse(&f->st, f->map.data, f->map.size, e);
    }
    if (rc)
        err_prefix(e, "%s", f->path);
    return rc;
}

static void append(struct weights *w, struct weight_file *f)
{
    w->files = mem_realloc(w->files, (w->n_files + 1) * sizeof(*w->files));
    w->files[w->n_files++] = f;
}

static int open_one(struct weights *w, const char *path, struct err *e)
{
    struct weight_file *f = mem_alloc(sizeof(*f));
    f->path = mem_strdup(path);
    int rc = file_map_open(&f->map, path, e);
    if (!rc)
        rc = parse(f, e);
    if (rc) {
        file_free(f);
        return rc;
    }
    append(w, f);
    return 0;
}

/* ---- GGUF in several files: NAME-00001-of-00003.gguf, as llama.cpp's gguf-split writes them ----
 */

/* What its metadata say of a shard: number `no` of `count`, from 0; `total` tensors in all. */
struct shard {
    int64_t no, count, total;
};

static int read_shard(const struct weight_file *f, struct shard *s, struct err *e)
{
    *s = (struct shard){.count = 1, .total = -1};
    if (!f->is_gguf)
        return 0;
    int rc = gguf_int(&f->gguf, "split.count", 0, MAX_SHARDS, &s->count, e);
    if (!rc)
        rc = gguf_int(&f->gguf, "split.no", 0, MAX_SHARDS, &s->no, e);
    if (!rc)
        rc = gguf_int(&f->gguf, "split.tensors.count", 0, INT64_MAX, &s->total, e);
    if (!rc && s->count > 1 && s->no >= s->count)
        rc = err_set(e, ERR_FORMAT, "split.no: shard %lld of %lld", (long long)s->no + 1,
                     (long long)s->count);
    if (rc)
        err_prefix(e, "%s", f->path);
    return rc;
}

static void shard_ending(char ending[32], int64_t no, int64_t count)
{
    snprintf(ending, 32, "-%05d-of-%05d.gguf", (int)no + 1, (int)count);
}

/* Opens shard `no` of the given one's model, whose path begins with `stem`. */
static int open_shard(struct weights *w, const char *stem, int64_t no, const struct shard *given,
                      struct err *e)
{
    char ending[32];
    struct shard s;
    shard_ending(ending, no, given->count);
    char *path = mem_printf("%s%s", stem, ending);
    int rc = file_exists(path)
                 ? open_one(w, path, e)
                 : err_set(e, ERR_NOT_FOUND, "%s: missing, part %d of the %d that make the model",
                           path, (int)no + 1, (int)given->count);
    if (!rc)
        rc = read_shard(w->files[w->n_files - 1], &s, e);
    if (!rc && (s.no != no || s.count != given->count || s.total != given->total))
        rc = err_set(e, ERR_FORMAT,
                     "%s: by its metadata part %d of %d, with %lld tensors in all; it belongs to "
                     "another model",
                     path, (int)s.no + 1, (int)s.count, (long long)s.total);
    free(path);
    return rc;
}

/* Opens the other shards of the file opened last, so that all lie in order; the first has the
 * metadata. */
static int open_others(struct weights *w, const struct shard *given, struct err *e)
{
    struct weight_file *f = w->files[w->n_files - 1];
    size_t first = w->n_files - 1, n = strlen(f->path), tensors = 0;
    char ending[32];
    int rc = 0;
    shard_ending(ending, given->no, given->count);
    if (!ends_with(f->path, ending))
        return err_set(e, ERR_FORMAT,
                       "%s: part %d of a model of %d files; call it ...%s and put the others "
                       "beside it",
                       f->path, (int)given->no + 1, (int)given->count, ending);
    char *stem = mem_strndup(f->path, n - strlen(ending));
    w->n_files--;
    for (int64_t i = 0; i < given->count && !(rc && i > given->no); i++) {
        if (i == given->no)
            append(w, f); /* also after a failure: weights_release() frees it */
        else if (!rc)
            rc = open_shard(w, stem, i, given, e);
    }
    for (size_t i = first; i < w->n_files; i++)
        tensors += w->files[i]->gguf.n_tensors;
    if (!rc && given->total >= 0 && tensors != (size_t)given->total)
        rc = err_set(e, ERR_FORMAT, "%s%s: its %d parts hold %zu tensors, not %lld", stem, ending,
                     (int)given->count, tensors, (long long)given->total);
    free(stem);
    return rc;
}

int weights_open_file(struct weights *w, const char *path, struct err *e)
{
    struct shard s;
    int rc = open_one(w, path, e);
    if (!rc)
        rc = read_shard(w->files[w->n_files - 1], &s, e);
    return rc || s.count <= 1 ? rc : open_others(w, &s, e);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct shards of weight_map, sorted; the strings are borrowed from the document. */
static int list_shards(const struct json_doc *d, const json_t *map, const char **shards, size_t *n,
                       struct err *e)
{
    struct map seen = {0};
    const char *key;
    const json_t *v;
    int rc = 0;
    *n = 0;
    json_object_foreach((json_t *)(uintptr_t)map, key, v)
    {
        const char *file = json_string_value(v);
        if (!file || !*file || strchr(file, '/') || *file == '.')
            rc = err_set(e, ERR_FORMAT, "%s: weight_map: tensor %s: not a file of this folder",
                         d->name, key);
        else if (!map_put(&seen, file, strlen(file), (void *)(uintptr_t)file) && *n < MAX_SHARDS)
            shards[(*n)++] = file;
        if (rc)
            break;
    }
    if (!rc && seen.n > MAX_SHARDS)
        rc = err_set(e, ERR_FORMAT, "%s: %zu shards, at most %d are possible", d->name, seen.n,
                     MAX_SHARDS);
    map_release(&seen);
    if (*n)
        qsort(shards, *n, sizeof(*shards), by_name);
    return rc;
}

/* Every tensor of the index must lie in the shard it names; shards opened from `first` on. */
static int check_index(const struct weights *w, size_t first, const json_t *map, const char *index,
                       struct err *e)
{
    struct map where = {0};
    const char *key;
    const json_t *v;
    int rc = 0;
    for (size_t i = first; i < w->n_files; i++) {
        size_t n;
        const struct file_tensor *t = weight_file_tensors(w->files[i], &n);
        for (size_t j = 0; j < n; j++)
            map_put(&where, t[j].name, strlen(t[j].name), w->files[i]);
    }
    json_object_foreach((json_t *)(uintptr_t)map, key, v)
    {
        const struct weight_file *f = map_get_str(&where, key);
        if (!f || strcmp(file_base(f->path, NULL), json_string_value(v)) != 0) {
            rc = err_set(e, ERR_FORMAT, "%s: tensor %s should be in %s, but is not", index, key,
                         json_string_value(v));
            break;
        }
    }
    map_release(&where);
    return rc;
}

int weights_open_index(struct weights *w, const char *path, struct err *e)
{
    struct json_doc d;
    size_t n = 0, first = w->n_files;
    char *dir = file_folder(path);
    const char **shards = mem_alloc(MAX_SHARDS * sizeof(*shards));
    int rc = json_doc_read(&d, path, WEIGHTS_MAX_TEXT, e);
    const json_t *map = rc ? NULL : json_doc_at(&d, "weight_map");
    if (!rc && !json_is_object(map))
        rc = err_set(e, ERR_FORMAT, "%s: weight_map is missing or not an object", path);
    if (!rc)
        rc = list_shards(&d, map, shards, &n, e);
    for (size_t i = 0; !rc && i < n; i++) {
        char *shard = file_join(dir, shards[i]);
        rc = weights_open_file(w, shard, e);
        free(shard);
    }
    if (!rc)
        rc = check_index(w, first, map, path, e);
    json_doc_release(&d);
    free(shards);
    free(dir);
    return rc;
}

/* Tries the well-known names; NULL when none exists. The caller frees. */
static char *known_file(const char *dir)
{
    static const char *const stems[] = {"diffusion_pytorch_model", "model"};
    static const char *const ends[] = {".safetensors", ".safetensors.index.json",
                                       ".fp16.safetensors", ".safetensors.index.fp16.json",
                                       ".fp16.safetensors.index.json"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        for (size_t j = 0; j < sizeof(stems) / sizeof(stems[0]); j++) {
            char *name = mem_printf("%s%s", stems[j], ends[i]);
            char *path = file_join(dir, name);
            free(name);
            if (file_exists(path))
                return path;
            free(path);
        }
    }
    return NULL;
}

/* The same for PyTorch's files. */
static char *known_pickle(const char *dir)
{
    static const char *const names[] = {"diffusion_pytorch_model.bin", "pytorch_model.bin",
                                        "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = file_join(dir, names[i]);
        if (file_exists(path))
            return path;
        free(path);
    }
    return NULL;
}

/* What else lies in the folder. */
struct listing {
    char *model;  /* the first safetensors or GGUF file */
    char *pickle; /* the first pickle */
    size_t n_models, n_pickles;
};

static void keep_first(char **slot, const char *name)
{
    if (*slot && strcmp(*slot, name) <= 0)
        return;
    free(*slot);
    *slot = mem_strdup(name);
}

static void list_folder(const char *dir, struct listing *l)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        const char *name = entry->d_name;
        if (ends_with(name, ".safetensors") || ends_with(name, ".gguf")) {
            keep_first(&l->model, name);
            l->n_models++;
        } else if (ends_with(name, ".bin") || ends_with(name, ".ckpt") || ends_with(name, ".pth") ||
                   ends_with(name, ".pt")) {
            keep_first(&l->pickle, name);
            l->n_pickles++;
        }
    }
    if (d)
        closedir(d);
}

/* Is it the first of n shards of a GGUF model? */
static bool is_first_of(const char *name, size_t n)
{
    char ending[32];
    if (!name || n > MAX_SHARDS)
        return false;
    shard_ending(ending, 0, (int64_t)n);
    return ends_with(name, ending);
}

int weights_open_folder(struct weights *w, const char *dir, struct err *e)
{
    struct listing l = {0};
    int rc = 0;
    char *path = known_file(dir);
    if (!path) {
        list_folder(dir, &l);
        if (l.n_models == 1 || is_first_of(l.model, l.n_models))
            path = file_join(dir, l.model);
        else if (l.n_models)
            rc = err_set(e, ERR_ARG, "%s: holds %zu models (%s, ...); name one of the files", dir,
                         l.n_models, l.model);
        else if (!(path = known_pickle(dir)) && l.n_pickles == 1)
            path = file_join(dir, l.pickle);
        else if (!path && l.n_pickles)
            rc = err_set(e, ERR_ARG, "%s: holds %zu models (%s, ...); name one of the files", dir,
                         l.n_pickles, l.pickle);
        else if (!path)
            rc = err_set(e, ERR_NOT_FOUND,
                         "%s: no safetensors, GGUF or PyTorch file in this folder", dir);
    }
    if (path)
        rc = ends_with(path, ".json") ? weights_open_index(w, path, e)
                                      : weights_open_file(w, path, e);
    free(path);
    free(l.model);
    free(l.pickle);
    return rc;
}
