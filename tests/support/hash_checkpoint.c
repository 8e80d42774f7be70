/* hash_checkpoint.c - see hash_checkpoint.h. */
#include "support/hash_checkpoint.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_TEXT    (16u << 20) /* bytes of a manifest or a map */
#define MAX_HEADER  (64u << 20)
#define BLOCK       ((size_t)1 << 22) /* elements made in parallel, then written */
#define MAX_SOURCES 3

/* ---- text ---- */

/* Cuts the next line off *text, or NULL at the end. */
static char *next_line(char **text)
{
    char *line = *text;
    if (!line || !*line)
        return NULL;
    char *end = strchr(line, '\n');
    if (end)
        *end = '\0';
    *text = end ? end + 1 : NULL;
    return line;
}

/* Cuts the next word that ends with a space off *line, or NULL at the end. */
static char *next_word(char **line)
{
    char *word = *line ? *line + strspn(*line, " ") : NULL;
    if (!word || !*word)
        return NULL;
    char *end = strchr(word, ' ');
    if (end)
        *end = '\0';
    *line = end ? end + 1 : NULL;
    return word;
}

static int read_dims(char *line, struct hash_tensor *t, struct err *e)
{
    for (char *word; (word = next_word(&line));) {
        char *end;
        unsigned long long d = strtoull(word, &end, 10);
        if (*end || d == 0 || d >> 32 || t->n_dims == HASH_MAX_DIMS)
            return err_set(e, ERR_FORMAT, "%s: \"%s\" is not one of at most %d dimensions", t->name,
                           word, HASH_MAX_DIMS);
        t->dims[t->n_dims++] = d;
    }
    return 0;
}

/* ---- the manifest ---- */

static void add_config(struct hash_manifest *m, char *line)
{
    struct hash_config c = {.component = next_word(&line)};
    c.json = line ? line : "{}";
    m->configs = mem_realloc(m->configs, (m->n_configs + 1) * sizeof(c));
    m->configs[m->n_configs++] = c;
}

static int add_tensor(struct hash_manifest *m, char *line, struct err *e)
{
    struct hash_tensor t = {.name = next_word(&line)};
    if (!t.name)
        return 0;
    if ((m->n_tensors & (m->n_tensors - 1)) == 0) /* full at every power of two */
        m->tensors = mem_realloc(m->tensors, (m->n_tensors ? 2 * m->n_tensors : 1) * sizeof(t));
    int rc = read_dims(line, &t, e);
    m->tensors[m->n_tensors++] = t;
    return rc;
}

int hash_manifest_open(struct hash_manifest *m, const char *path, struct err *e)
{
    memset(m, 0, sizeof(*m));
    size_t size;
    int rc = file_read(path, MAX_TEXT, &m->text, &size, e);
    char *text = m->text;
    for (char *line; !rc && (line = next_line(&text));) {
        if (strncmp(line, "#config ", 8) == 0)
            add_config(m, line + 8);
        else if (*line != '#')
            rc = add_tensor(m, line, e);
    }
    for (size_t i = 0; !rc && i < m->n_tensors; i++)
        if (map_put(&m->by_name, m->tensors[i].name, strlen(m->tensors[i].name), &m->tensors[i]))
            rc = err_set(e, ERR_FORMAT, "the tensor %s is listed twice", m->tensors[i].name);
    if (rc)
        hash_manifest_close(m);
    return rc;
}

void hash_manifest_close(struct hash_manifest *m)
{
    map_release(&m->by_name);
    free(m->tensors);
    free(m->configs);
    free(m->text);
    memset(m, 0, sizeof(*m));
}

const struct hash_tensor *hash_manifest_find(const struct hash_manifest *m, const char *name)
{
    return map_get_str(&m->by_name, name);
}

const char *hash_manifest_config(const struct hash_manifest *m, const char *component)
{
    for (size_t i = 0; i < m->n_configs; i++)
        if (strcmp(m->configs[i].component, component) == 0)
            return m->configs[i].json;
    return NULL;
}

/* ---- the tensors of one file ---- */

enum rule { COPY, TRANSPOSE, ARANGE };

/* A tensor as a file holds it; COPY writes its sources one after another. */
struct item {
    struct hash_tensor as; /* name and shape in the file */
    enum rule rule;
    const struct hash_tensor *sources[MAX_SOURCES];
    int n_sources;
    struct hash_tensor own; /* the source of a tensor that no manifest has */
};

static uint64_t item_bytes(const struct item *item, enum dtype type)
{
    return hash_tensor_count(&item->as) * (item->rule == ARANGE ? 8 : dtype_row_size(type, 1));
}

static int find_sources(struct item *item, char *names, const struct hash_manifest *m,
                        struct err *e)
{
    while (names) {
        char *comma = strchr(names, ',');
        if (comma)
            *comma = '\0';
        const struct hash_tensor *t = hash_manifest_find(m, names);
        if (!t || item->n_sources == MAX_SOURCES)
            return err_set(e, ERR_FORMAT, "%s: the manifest has no tensor %s", item->as.name,
                           names);
        item->sources[item->n_sources++] = t;
        names = comma ? comma + 1 : NULL;
    }
    return 0;
}

/* Applies the rule at `line` to an item whose sources are known. */
static int apply_rule(struct item *item, char *line, struct err *e)
{
    const char *rule = next_word(&line);
    if (rule && (strcmp(rule, "extra") == 0 || strcmp(rule, "arange") == 0)) {
        item->rule = *rule == 'a' ? ARANGE : COPY;
        int rc = read_dims(line, &item->as, e);
        item->own = item->as;
        item->n_sources = item->rule == COPY;
        return rc;
    }
    const char *name = item->as.name;
    if (!item->n_sources)
        return err_set(e, ERR_FORMAT, "%s: its line in the map has no source", name);
    struct hash_tensor *as = &item->as;
    *as = *item->sources[0];
    as->name = name;
    if (!rule)
        return 0;
    if (strcmp(rule, "stack") == 0) {
        as->dims[0] *= (uint64_t)item->n_sources;
    } else if (strcmp(rule, "transpose") == 0 && as->n_dims == 2) {
        item->rule = TRANSPOSE;
        as->dims[0] = item->sources[0]->dims[1];
        as->dims[1] = item->sources[0]->dims[0];
    } else if (strcmp(rule, "conv1x1") == 0 && as->n_dims == 2) {
        as->dims[2] = as->dims[3] = 1;
        as->n_dims = 4;
    } else {
        return err_set(e, ERR_FORMAT, "%s: the rule %s does not fit", name, rule);
    }
    return 0;
}

static int map_items(char *text, const struct hash_manifest *m, struct item **items, size_t *n,
                     struct err *e)
{
    size_t cap = 0;
    for (char *line; (line = next_line(&text));) {
        char *name = *line == '#' ? NULL : next_word(&line);
        if (!name)
            continue;
        if (*n == cap) {
            cap = cap ? 2 * cap : 256;
            *items = mem_realloc(*items, cap * sizeof(**items));
        }
        struct item *item = &(*items)[(*n)++];
        memset(item, 0, sizeof(*item));
        item->as.name = name;
        char *source = next_word(&line);
        if (source && strcmp(source, "-") != 0 && find_sources(item, source, m, e))
            return ERR_FORMAT;
        if (apply_rule(item, line, e))
            return ERR_FORMAT;
    }
    return 0;
}

/* ---- writing ---- */

/* What a worker needs to make a stretch of one tensor. */
struct stretch {
    void *out;
    enum dtype type;
    enum rule rule;
    const struct hash_tensor *source;
    uint64_t first; /* element of the file's tensor at out[0] */
};

static void make_stretch(long begin, long end, int worker, void *ctx)
{
    (void)worker;
    const struct stretch *s = ctx;
    if (s->rule == ARANGE) {
        for (long i = begin; i < end; i++)
            ((int64_t *)s->out)[i] = (int64_t)s->first + i;
        return;
    }
    if (s->rule == COPY) {
        char *out = (char *)s->out + dtype_row_size(s->type, begin);
        hash_fill(out, s->type, s->source, s->first + (uint64_t)begin, (size_t)(end - begin));
        return;
    }
    struct hash_stream stream = hash_stream_of(s->source);
    uint64_t columns = s->source->dims[0], stride = s->source->dims[1];
    for (long i = begin; i < end; i++) {
        uint64_t at = s->first + (uint64_t)i;
        uint64_t from = at % columns * stride + at / columns;
        hash_store(s->out, (size_t)i, s->type, hash_stream_at(&stream, from));
    }
}

/* Everything that writing a file needs. */
struct maker {
    const struct hash_checkpoint_options *o;
    struct pool *pool;
    void *block; /* BLOCK elements of 8 bytes */
};

static void write_stream(struct maker *w, struct file_writer *file, struct stretch s,
                         uint64_t count)
{
    size_t size = s.rule == ARANGE ? 8 : dtype_row_size(s.type, 1);
    for (; s.first < count; s.first += BLOCK) {
        size_t n = count - s.first < BLOCK ? (size_t)(count - s.first) : BLOCK;
        parallel_for(w->pool, (long)n, 1 << 14, make_stretch, &s);
        file_writer_write(file, s.out, n * size);
    }
}

static void write_item(struct maker *w, struct file_writer *file, const struct item *item)
{
    struct stretch s = {.out = w->block, .type = w->o->type, .rule = item->rule};
    if (item->rule == ARANGE)
        write_stream(w, file, s, hash_tensor_count(&item->as));
    for (int i = 0; i < item->n_sources; i++) {
        s.source = item->sources[i] ? item->sources[i] : &item->own;
        write_stream(w, file, s, hash_tensor_count(s.source));
    }
}

/* The safetensors header: 8 bytes of length, then JSON padded so that the data is aligned. */
static void build_header(struct buf *b, const struct item *items, size_t n, enum dtype type)
{
    uint64_t offset = 0;
    buf_append_str(b, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        const struct hash_tensor *t = &items[i].as;
        uint64_t end = offset + item_bytes(&items[i], type);
        buf_printf(b, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name,
                   items[i].rule == ARANGE ? "I64" : dtype_safetensors(type));
        for (int d = 0; d < t->n_dims; d++)
            buf_printf(b, d ? ",%llu" : "%llu", (unsigned long long)t->dims[d]);
        buf_printf(b, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset,
                   (unsigned long long)end);
        offset = end;
    }
    buf_append_char(b, '}');
    while (b->len % 8 && !buf_failed(b))
        buf_append_char(b, ' ');
}

static int write_file(struct maker *w, const char *path, const struct item *items, size_t n,
                      struct err *e)
{
    struct buf header;
    struct file_writer file = {0};
    buf_init(&header, MAX_HEADER);
    build_header(&header, items, n, w->o->type);
    int rc = buf_failed(&header) ? err_set(e, ERR_NOMEM, "%s: the header is too large", path)
                                 : file_writer_open(&file, path, e);
    if (!rc) {
        unsigned char length[8];
        for (int i = 0; i < 8; i++)
            length[i] = (unsigned char)((uint64_t)header.len >> (8 * i));
        file_writer_write(&file, length, sizeof(length));
        file_writer_write(&file, header.data, header.len);
        for (size_t i = 0; i < n; i++)
            write_item(w, &file, &items[i]);
        rc = file_writer_commit(&file, e);
    }
    buf_release(&header);
    return rc;
}

static int write_text(const char *dir, const char *name, const char *text, struct err *e)
{
    struct file_writer file = {0};
    char *path = file_join(dir, name);
    int rc = file_writer_open(&file, path, e);
    if (!rc) {
        file_writer_write(&file, text, strlen(text));
        file_writer_write(&file, "\n", 1);
        rc = file_writer_commit(&file, e);
    }
    free(path);
    return rc;
}

static int make_dir(const char *path, struct err *e)
{
    if (mkdir(path, 0777) && errno != EEXIST)
        return err_set(e, ERR_IO, "cannot make the folder %s: %s", path, strerror(errno));
    return 0;
}

/* The component's files: one, or n_shards and an index that tells which tensor is where. */
static int write_shards(struct maker *w, const char *dir, const char *stem,
                        const struct item *items, size_t n, struct err *e)
{
    int shards = w->o->n_shards > 1 ? w->o->n_shards : 1, rc = 0;
    uint64_t total = 0;
    struct buf index;
    buf_init(&index, MAX_HEADER);
    for (int s = 0; !rc && s < shards; s++) {
        size_t begin = n * (size_t)s / (size_t)shards, end = n * (size_t)(s + 1) / (size_t)shards;
        char *name = shards == 1 ? mem_printf("%s.safetensors", stem)
                                 : mem_printf("%s-%05d-of-%05d.safetensors", stem, s + 1, shards);
        char *path = file_join(dir, name);
        rc = write_file(w, path, items + begin, end - begin, e);
        for (size_t i = begin; i < end; i++) {
            buf_printf(&index, "%s\"%s\":\"%s\"", i ? "," : "", items[i].as.name, name);
            total += item_bytes(&items[i], w->o->type);
        }
        free(name);
        free(path);
    }
    if (!rc && shards > 1) {
        char *name = mem_printf("%s.safetensors.index.json", stem);
        char *text = mem_printf("{\"metadata\":{\"total_size\":%llu},\"weight_map\":{%s}}",
                                (unsigned long long)total, buf_str(&index));
        rc = write_text(dir, name, text, e);
        free(name);
        free(text);
    }
    buf_release(&index);
    return rc;
}

/* Components that transformers names the files of. */
static bool is_transformers(const char *component)
{
    return strncmp(component, "text_encoder", 12) == 0 || strcmp(component, "language") == 0;
}

/* One component of a folder: its configuration, and its tensors without the component's name. */
static int write_component(struct maker *w, const struct hash_manifest *m,
                           const struct hash_config *config, const char *out, struct err *e)
{
    const char *name = config->component;
    if (strcmp(name, "model_index") == 0)
        return write_text(out, "model_index.json", config->json, e);
    char *dir = file_join(out, name);
    struct item *items = mem_alloc((m->n_tensors + 1) * sizeof(*items));
    size_t n = 0, prefix = strlen(name);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct hash_tensor *t = &m->tensors[i];
        if (strncmp(t->name, name, prefix) != 0 || t->name[prefix] != '.')
            continue;
        items[n] = (struct item){.as = *t, .sources = {t}, .n_sources = 1};
        items[n++].as.name += prefix + 1;
    }
    int rc = make_dir(dir, e);
    if (!rc)
        rc = write_text(dir,
                        strcmp(name, "scheduler") == 0       ? "scheduler_config.json"
                        : strncmp(name, "tokenizer", 9) == 0 ? "tokenizer_config.json"
                                                             : "config.json",
                        config->json, e);
    if (!rc && n)
        rc = write_shards(w, dir, is_transformers(name) ? "model" : "diffusion_pytorch_model",
                          items, n, e);
    free(items);
    free(dir);
    return rc;
}

static int write_folder(struct maker *w, const struct hash_manifest *m, const char *out,
                        struct err *e)
{
    const char *only = w->o->component;
    if (only && !hash_manifest_config(m, only))
        return err_set(e, ERR_NOT_FOUND, "the manifest has no component %s", only);
    int rc = make_dir(out, e);
    for (size_t i = 0; !rc && i < m->n_configs; i++)
        if (!only || strcmp(only, m->configs[i].component) == 0)
            rc = write_component(w, m, &m->configs[i], out, e);
    return rc;
}

static int write_single(struct maker *w, const struct hash_manifest *m, const char *out,
                        struct err *e)
{
    char *text = NULL;
    struct item *items = NULL;
    size_t n = 0, size;
    int rc = file_read(w->o->map, MAX_TEXT, &text, &size, e);
    if (!rc)
        rc = map_items(text, m, &items, &n, e);
    if (!rc)
        rc = write_file(w, out, items, n, e);
    free(items);
    free(text);
    return rc;
}

int hash_checkpoint_write(const char *manifest, const char *out,
                          const struct hash_checkpoint_options *o, struct err *e)
{
    struct hash_manifest m;
    struct maker w = {.o = o};
    if (o->type != DTYPE_F32 && o->type != DTYPE_F16 && o->type != DTYPE_BF16)
        return err_set(e, ERR_ARG, "hash weights are f32, f16 or bf16, not %s",
                       dtype_name(o->type));
    int rc = hash_manifest_open(&m, manifest, e);
    if (rc)
        return rc;
    w.block = mem_try_aligned(BLOCK * 8, "a block of weights", e);
    if (!w.block) {
        hash_manifest_close(&m);
        return ERR_NOMEM;
    }
    w.pool = pool_new(o->n_threads);
    rc = o->map ? write_single(&w, &m, out, e) : write_folder(&w, &m, out, e);
    pool_free(w.pool);
    mem_free_aligned(w.block);
    hash_manifest_close(&m);
    return rc;
}
