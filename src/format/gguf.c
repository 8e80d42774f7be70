/* gguf.c - see gguf.h. A cursor that cannot leave the file reads everything. */
#include "format/gguf.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define VERSION       3
#define ALIGNMENT     32
#define MAX_ALIGNMENT (1u << 20)
#define MAX_NAME      4096
#define MAX_NESTING   4
#define MAX_STRING    ((size_t)16 << 20)
#define MAX_ELEMENTS  ((uint64_t)64 << 20) /* of an array */
#define MAX_ENTRIES   ((uint64_t)1 << 20)  /* metadata values; tensors */

/* Element types of ggml: ids, elements and bytes per block. */
static const struct ggml_type {
    uint32_t id;
    const char *name;
    uint32_t block, bytes;
} ggml_types[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},           {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},        {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},        {15, "Q8_K", 256, 292},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},     {12, "Q4_K", 256, 144},
    {13, "Q5_K", 256, 176},   {14, "Q6_K", 256, 210},     {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98},   {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},    {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},           {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},          {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},         {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},      {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},    {31, "Q4_0_4_4", 32, 18},   {32, "Q4_0_4_8", 32, 18},
    {33, "Q4_0_8_8", 32, 18}, {36, "IQ4_NL_4_4", 32, 18},
};

static const struct ggml_type *ggml_type(uint32_t id)
{
    for (size_t i = 0; i < sizeof(ggml_types) / sizeof(ggml_types[0]); i++)
        if (ggml_types[i].id == id)
            return &ggml_types[i];
    return NULL;
}

/* Where we read. After a failure it gives zeros, whatever follows. */
struct cursor {
    const unsigned char *start, *p, *end;
    struct err *e;
    bool failed;
};

static const unsigned char *take(struct cursor *c, uint64_t n)
{
    const unsigned char *p = c->p;
    if (c->failed)
        return NULL;
    if (n > (uint64_t)(c->end - c->p)) {
        err_set(c->e, ERR_FORMAT,
                "the file ends inside its header (at byte %zu, where %" PRIu64
                " more are needed); it is damaged or was not downloaded completely",
                (size_t)(c->p - c->start), n);
        c->failed = true;
        return NULL;
    }
    c->p += n;
    return p;
}

static uint64_t load(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static uint64_t read_int(struct cursor *c, int bytes)
{
    const unsigned char *p = take(c, (uint64_t)bytes);
    return p ? load(p, bytes) : 0;
}

/* A NUL-terminated copy of a string, or NULL; a NUL inside is an error. */
static char *read_string(struct cursor *c, struct arena *a, const char *what, size_t max)
{
    uint64_t n = read_int(c, 8);
    if (!c->failed && n > max) {
        err_set(c->e, ERR_FORMAT, "%s of %" PRIu64 " bytes, at most %zu are possible", what, n,
                max);
        c->failed = true;
    }
    const unsigned char *p = c->failed ? NULL : take(c, n);
    if (p && memchr(p, 0, n)) {
        err_set(c->e, ERR_FORMAT, "%s contains a NUL character", what);
        c->failed = true;
    }
    return c->failed ? NULL : arena_strndup(a, (const char *)p, n);
}

static int scalar_size(enum gguf_type type)
{
    static const int sizes[GGUF_N_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return sizes[type];
}

static void bad_type(struct cursor *c, const char *key, uint64_t type)
{
    if (!c->failed)
        err_set(c->e, ERR_FORMAT, "%s: value type %" PRIu64 " does not exist", key, type);
    c->failed = true;
}

/* Moves over n elements of a type; counts are bounded by the bytes that are left. */
static void skip_elements(struct cursor *c, const char *key, uint64_t type, uint64_t n, int depth)
{
    if (type >= GGUF_N_TYPES) {
        bad_type(c, key, type);
    } else if (scalar_size((enum gguf_type)type)) {
        uint64_t size;
        if (__builtin_mul_overflow(n, (uint64_t)scalar_size((enum gguf_type)type), &size))
            size = UINT64_MAX;
        take(c, size);
    } else if (depth > MAX_NESTING) {
        if (!c->failed)
            err_set(c->e, ERR_FORMAT, "%s: arrays nested deeper than %d levels", key, MAX_NESTING);
        c->failed = true;
    } else {
        for (uint64_t i = 0; i < n && !c->failed; i++) {
            uint64_t inner = type == GGUF_ARRAY ? read_int(c, 4) : 0;
            uint64_t count = read_int(c, 8);
            if (type == GGUF_ARRAY)
                skip_elements(c, key, inner, count, depth + 1);
            else
                take(c, count);
        }
    }
}

static void read_value(struct cursor *c, struct gguf *g, struct gguf_value *v)
{
    v->key = read_string(c, &g->arena, "a metadata key", MAX_NAME);
    uint64_t type = read_int(c, 4);
    if (c->failed)
        return;
    v->array = type == GGUF_ARRAY;
    v->n = 1;
    if (v->array) {
        type = read_int(c, 4);
        v->n = read_int(c, 8);
    }
    if (type >= GGUF_N_TYPES) {
        bad_type(c, v->key, type);
        return;
    }
    if (!c->failed && v->n > MAX_ELEMENTS) {
        err_set(c->e, ERR_FORMAT, "%s: an array of %zu elements, at most %" PRIu64 " are possible",
                v->key, v->n, MAX_ELEMENTS);
        c->failed = true;
    }
    v->type = (enum gguf_type)type;
    v->data = c->p;
    if (type == GGUF_STRING && !v->array)
        v->text = read_string(c, &g->arena, v->key, MAX_STRING);
    else
        skip_elements(c, v->key, type, v->n, 0);
    v->size = (size_t)(c->p - v->data);
}

static int read_values(struct cursor *c, struct gguf *g, uint64_t n, struct err *e)
{
    /* A value takes at least 8 + 4 + 1 bytes: this bounds the allocation by the file. */
    if (n > (uint64_t)(c->end - c->p) / 13 || n > MAX_ENTRIES)
        return err_set(e, ERR_FORMAT, "it claims %" PRIu64 " metadata values, more than fit", n);
    g->values = mem_try_array(n, sizeof(*g->values), "the list of metadata values", e);
    if (!g->values)
        return ERR_NOMEM;
    for (g->n_values = 0; g->n_values < n; g->n_values++) {
        struct gguf_value *v = &g->values[g->n_values];
        read_value(c, g, v);
        if (c->failed)
            return ERR_FORMAT;
        if (map_put(&g->by_key, v->key, strlen(v->key), v))
            return err_set(e, ERR_FORMAT, "metadata key %s appears twice", v->key);
    }
    return 0;
}

/* Stores the dimensions in PyTorch order and, for a known type, the size. */
static int shape_tensor(struct file_tensor *t, const struct ggml_type *type, struct err *e)
{
    uint64_t elements = 1;
    bool empty = false;
    for (int i = 0; i < t->n_dim; i++) {
        uint64_t d = t->dim[i] ? (uint64_t)t->dim[i] : 1; /* no partial product may overflow */
        empty |= t->dim[i] == 0;
        if (t->dim[i] < 0 || __builtin_mul_overflow(elements, d, &elements))
            return err_set(e, ERR_FORMAT, "tensor %s: its shape overflows 64 bits", t->name);
    }
    elements = empty ? 0 : elements;
    if (!type)
        return 0;
    uint64_t row = t->n_dim ? (uint64_t)t->dim[t->n_dim - 1] : 1, size;
    if (row % type->block)
        return err_set(e, ERR_FORMAT,
                       "tensor %s: rows of %" PRIu64 " elements are no multiple of %s's block of "
                       "%u",
                       t->name, row, type->name, type->block);
    if (__builtin_mul_overflow(elements / type->block, (uint64_t)type->bytes, &size))
        return err_set(e, ERR_FORMAT, "tensor %s: its size overflows 64 bits", t->name);
    t->size = size;
    return 0;
}

/* One description; until the data section is known, data holds no address: `offset` gets it. */
static int read_tensor(struct cursor *c, struct gguf *g, struct file_tensor *t, uint64_t *offset,
                       struct err *e)
{
    t->name = read_string(c, &g->arena, "a tensor name", MAX_NAME);
    uint64_t n_dim = read_int(c, 4);
    if (!c->failed && n_dim > GGUF_MAX_DIM)
        return err_set(e, ERR_FORMAT, "tensor %s: %" PRIu64 " dimensions, at most %d are possible",
                       t->name, n_dim, GGUF_MAX_DIM);
    t->n_dim = (int)n_dim;
    for (int i = t->n_dim - 1; i >= 0 && !c->failed; i--)
        t->dim[i] = (int64_t)read_int(c, 8);
    uint32_t id = (uint32_t)read_int(c, 4);
    *offset = read_int(c, 8);
    if (c->failed)
        return ERR_FORMAT;
    const struct ggml_type *type = ggml_type(id);
    t->type = dtype_from_ggml(id);
    t->type_name = type ? type->name : arena_printf(&g->arena, "ggml type %u", id);
    if (!type)
        t->size = SIZE_MAX; /* up to the next tensor */
    return shape_tensor(t, type, e);
}

struct place {
    uint64_t offset;
    struct file_tensor *t;
};

static int by_offset(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->t->size < y->t->size ? -1 : x->t->size > y->t->size;
}

/* Checks that the tensors lie inside the n bytes of data, aligned and apart; sets their data. */
static int place_tensors(struct place *places, size_t n_tensors, const unsigned char *data,
                         size_t n, uint64_t alignment, struct err *e)
{
    if (n_tensors)
        qsort(places, n_tensors, sizeof(*places), by_offset);
    for (size_t i = 0; i < n_tensors; i++) {
        struct file_tensor *t = places[i].t;
        uint64_t begin = places[i].offset, end = n;
        bool last = i + 1 == n_tensors;
        if (begin % alignment)
            return err_set(e, ERR_FORMAT,
                           "tensor %s: offset %" PRIu64 " is not aligned to %" PRIu64 " bytes",
                           t->name, begin, alignment);
        if (begin > n || (t->size != SIZE_MAX && t->size > n - begin))
            return err_set(e, ERR_FORMAT,
                           "tensor %s: %zu bytes at offset %" PRIu64 " lie outside the file's %zu "
                           "bytes of data; it is damaged or was not downloaded completely",
                           t->name, t->size == SIZE_MAX ? 0 : t->size, begin, n);
        if (!last && places[i + 1].offset < end)
            end = places[i + 1].offset;
        if (t->size == SIZE_MAX)
            t->size = end - begin;
        if (t->size > end - begin)
            return err_set(e, ERR_FORMAT, "tensor %s overlaps tensor %s", t->name,
                           places[i + 1].t->name);
        t->data = data + begin;
    }
    return 0;
}

static int read_tensor_list(struct cursor *c, struct gguf *g, struct place *places, uint64_t n,
                            struct err *e)
{
    struct map names = {0};
    int rc = 0;
    for (g->n_tensors = 0; !rc && g->n_tensors < n; g->n_tensors++) {
        struct file_tensor *t = &g->tensors[g->n_tensors];
        places[g->n_tensors].t = t;
        rc = read_tensor(c, g, t, &places[g->n_tensors].offset, e);
        if (!rc && map_put(&names, t->name, strlen(t->name), t))
            rc = err_set(e, ERR_FORMAT, "tensor %s appears twice", t->name);
    }
    map_release(&names);
    return rc;
}

static int read_tensors(struct cursor *c, struct gguf *g, uint64_t n, struct err *e)
{
    int64_t alignment = ALIGNMENT;
    int rc = gguf_int(g, "general.alignment", 1, MAX_ALIGNMENT, &alignment, e);
    if (!rc && (alignment & (alignment - 1)))
        rc = err_set(e, ERR_FORMAT, "general.alignment: %" PRId64 " is not a power of two",
                     alignment);
    if (rc)
        return rc;
    if (n > (uint64_t)(c->end - c->p) / 24 || n > MAX_ENTRIES) /* 24: of a description, at least */
        return err_set(e, ERR_FORMAT, "it claims %" PRIu64 " tensors, more than fit", n);
    struct place *places = mem_try_array(n, sizeof(*places), "the list of tensors", e);
    g->tensors = places ? mem_try_array(n, sizeof(*g->tensors), "the list of tensors", e) : NULL;
    rc = g->tensors ? read_tensor_list(c, g, places, n, e) : ERR_NOMEM;
    if (!rc) {
        size_t used = (size_t)(c->p - c->start), size = (size_t)(c->end - c->start);
        size_t begin = (used + (size_t)alignment - 1) / (size_t)alignment * (size_t)alignment;
        begin = begin < size ? begin : size;
        rc = place_tensors(places, g->n_tensors, c->start + begin, size - begin,
                           (uint64_t)alignment, e);
    }
    free(places);
    return rc;
}

bool gguf_probe(const void *data, size_t n)
{
    return n >= 4 && memcmp(data, "GGUF", 4) == 0;
}

static int check_version(uint32_t version, struct err *e)
{
    if (version && !(version & 0xffff))
        return err_set(e, ERR_UNSUPPORTED,
                       "a big-endian GGUF file; only little-endian ones can be used, convert it "
                       "with gguf-convert-endian");
    if (version != 2 && version != 3)
        return err_set(e, ERR_UNSUPPORTED, "GGUF version %u; versions 2 and 3 can be used",
                       version);
    return 0;
}

static int parse(struct gguf *g, struct cursor *c, struct err *e)
{
    take(c, 4);
    g->version = (uint32_t)read_int(c, 4);
    int rc = c->failed ? ERR_FORMAT : check_version(g->version, e);
    uint64_t n_tensors = read_int(c, 8), n_values = read_int(c, 8);
    if (rc || c->failed)
        return rc ? rc : ERR_FORMAT;
    /* Nothing before the tensor bytes may be larger than GGUF_MAX_META. */
    const unsigned char *end = c->end;
    if ((size_t)(end - c->start) > GGUF_MAX_META)
        c->end = c->start + GGUF_MAX_META;
    rc = read_values(c, g, n_values, e);
    c->end = end;
    return rc ? rc : read_tensors(c, g, n_tensors, e);
}

/* Gives a tensor the shape that the metadata keep for it. */
static int restore_shape(const struct gguf_value *shape, struct file_tensor *t, struct err *e)
{
    int64_t have = 1, want = 1, dim[FILE_TENSOR_MAX_DIM];
    bool good = shape->array && shape->n >= 1 && shape->n <= FILE_TENSOR_MAX_DIM;
    for (int i = 0; i < t->n_dim; i++)
        have *= t->dim[i];
    for (size_t i = 0; good && i < shape->n; i++)
        good = gguf_int_at(shape, i, &dim[i]) && dim[i] >= 1 &&
               !__builtin_mul_overflow(want, dim[i], &want);
    if (!good || want != have)
        return err_set(e, ERR_FORMAT, "%s is no shape for the tensor", shape->key);
    t->n_dim = (int)shape->n;
    memcpy(t->dim, dim, shape->n * sizeof(*dim));
    return 0;
}

static int restore_shapes(struct gguf *g, struct err *e)
{
    size_t n = strlen(GGUF_SHAPE_KEY);
    struct map by_name = {0};
    int rc = 0;
    for (size_t i = 0; i < g->n_tensors; i++)
        map_put(&by_name, g->tensors[i].name, strlen(g->tensors[i].name), &g->tensors[i]);
    for (size_t i = 0; !rc && i < g->n_values; i++) {
        const struct gguf_value *v = &g->values[i];
        struct file_tensor *t = strncmp(v->key, GGUF_SHAPE_KEY, n) == 0
                                    ? map_get_str(&by_name, v->key + n)
                                    : NULL;
        if (t)
            rc = restore_shape(v, t, e);
    }
    map_release(&by_name);
    return rc;
}

int gguf_parse(struct gguf *g, const void *data, size_t n, struct err *e)
{
    struct err local = {0};
    struct cursor c = {data, data, (const unsigned char *)data + n, e ? e : &local, false};
    *g = (struct gguf){0};
    if (!gguf_probe(data, n))
        return err_set(e, ERR_FORMAT, "not a GGUF file");
    int rc = parse(g, &c, c.e);
    if (!rc)
        rc = restore_shapes(g, c.e);
    if (rc)
        gguf_release(g);
    return rc;
}

void gguf_release(struct gguf *g)
{
    free(g->values);
    free(g->tensors);
    map_release(&g->by_key);
    arena_release(&g->arena);
    *g = (struct gguf){0};
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    return map_get_str(&g->by_key, key);
}

const char *gguf_str(const struct gguf *g, const char *key)
{
    const struct gguf_value *v = gguf_find(g, key);
    return v ? v->text : NULL;
}

bool gguf_int_at(const struct gguf_value *v, size_t i, int64_t *out)
{
    int size = scalar_size(v->type);
    if (!size || i >= v->n || v->type == GGUF_F32 || v->type == GGUF_F64 || v->type == GGUF_BOOL)
        return false;
    uint64_t x = load(v->data + i * (size_t)size, size);
    bool is_signed = v->type == GGUF_I8 || v->type == GGUF_I16 || v->type == GGUF_I32;
    if (v->type == GGUF_U64 && x > INT64_MAX)
        return false;
    if (is_signed && x >> (8 * size - 1))
        x |= UINT64_MAX << (8 * size - 1);
    *out = (int64_t)x;
    return true;
}

bool gguf_num_at(const struct gguf_value *v, size_t i, double *out)
{
    int64_t whole;
    if (i < v->n && v->type == GGUF_F64) {
        memcpy(out, v->data + 8 * i, 8);
    } else if (i < v->n && v->type == GGUF_F32) {
        float f;
        memcpy(&f, v->data + 4 * i, 4);
        *out = (double)f;
    } else if (gguf_int_at(v, i, &whole)) {
        *out = (double)whole;
    } else {
        return false;
    }
    return true;
}

int gguf_int(const struct gguf *g, const char *key, int64_t least, int64_t most, int64_t *v,
             struct err *e)
{
    const struct gguf_value *found = gguf_find(g, key);
    int64_t x;
    if (!found)
        return 0;
    if (found->array || !gguf_int_at(found, 0, &x) || x < least || x > most)
        return err_set(e, ERR_FORMAT, "%s: not an integer from %" PRId64 " to %" PRId64, key, least,
                       most);
    *v = x;
    return 0;
}

int gguf_num(const struct gguf *g, const char *key, double *v, struct err *e)
{
    const struct gguf_value *found = gguf_find(g, key);
    double x;
    if (!found)
        return 0;
    if (found->array || !gguf_num_at(found, 0, &x))
        return err_set(e, ERR_FORMAT, "%s: not a number", key);
    *v = x;
    return 0;
}

int gguf_bool(const struct gguf *g, const char *key, bool *v, struct err *e)
{
    const struct gguf_value *found = gguf_find(g, key);
    if (!found)
        return 0;
    if (found->array || found->type != GGUF_BOOL || found->data[0] > 1)
        return err_set(e, ERR_FORMAT, "%s: not true or false", key);
    *v = found->data[0];
    return 0;
}

int gguf_strings(const struct gguf *g, const char *key, struct arena *arena, const char ***v,
                 size_t *n, struct err *e)
{
    const struct gguf_value *found = gguf_find(g, key);
    *v = NULL;
    *n = 0;
    if (!found)
        return 0;
    if (!found->array || found->type != GGUF_STRING)
        return err_set(e, ERR_FORMAT, "%s: not an array of strings", key);
    const char **list = mem_try_array(found->n, sizeof(*list), key, e);
    if (!list)
        return ERR_NOMEM;
    struct err local = {0};
    struct cursor c = {found->data, found->data, found->data + found->size, e ? e : &local, false};
    for (size_t i = 0; i < found->n && !c.failed; i++)
        list[i] = read_string(&c, arena, key, MAX_NAME);
    if (c.failed) {
        free(list);
        return ERR_FORMAT;
    }
    *v = list;
    *n = found->n;
    return 0;
}

static void put_int(struct buf *b, uint64_t v, int bytes)
{
    unsigned char p[8];
    for (int i = 0; i < bytes; i++)
        p[i] = (unsigned char)(v >> (8 * i));
    buf_append(b, p, (size_t)bytes);
}

static void put_string(struct buf *b, const char *s)
{
    put_int(b, strlen(s), 8);
    buf_append_str(b, s);
}

static void put_key(struct gguf_writer *w, const char *key, enum gguf_type type)
{
    put_string(&w->values, key);
    put_int(&w->values, type, 4);
    w->n_values++;
}

void gguf_writer_init(struct gguf_writer *w)
{
    *w = (struct gguf_writer){0};
    buf_init(&w->values, GGUF_MAX_META / 2);
    buf_init(&w->tensors, GGUF_MAX_META / 2);
}

void gguf_writer_release(struct gguf_writer *w)
{
    buf_release(&w->values);
    buf_release(&w->tensors);
}

void gguf_put_str(struct gguf_writer *w, const char *key, const char *v)
{
    put_key(w, key, GGUF_STRING);
    put_string(&w->values, v);
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    put_key(w, key, GGUF_U32);
    put_int(&w->values, v, 4);
}

void gguf_put_strs(struct gguf_writer *w, const char *key, const char *const *v, size_t n)
{
    put_key(w, key, GGUF_ARRAY);
    put_int(&w->values, GGUF_STRING, 4);
    put_int(&w->values, n, 8);
    for (size_t i = 0; i < n; i++)
        put_string(&w->values, v[i]);
}

void gguf_put_value(struct gguf_writer *w, const struct gguf_value *v)
{
    put_key(w, v->key, v->array ? GGUF_ARRAY : v->type);
    if (v->array) {
        put_int(&w->values, v->type, 4);
        put_int(&w->values, v->n, 8);
    }
    buf_append(&w->values, v->data, v->size);
}

/* The id of a type of ours or, for DTYPE_OTHER, of ggml's with this name; -1 when there is none. */
static int type_id(const struct file_tensor *t)
{
    if (t->type != DTYPE_OTHER)
        return dtype_ggml(t->type);
    for (size_t i = 0; i < sizeof(ggml_types) / sizeof(ggml_types[0]); i++)
        if (strcmp(ggml_types[i].name, t->type_name) == 0)
            return (int)ggml_types[i].id;
    return -1;
}

bool gguf_knows(const struct file_tensor *t)
{
    return type_id(t) >= 0;
}

/* The tensor's dimensions, innermost first; where rows are no whole blocks, rows of one block, and
 * the shape as a value. */
static void put_shape(struct gguf_writer *w, const struct file_tensor *t)
{
    int block = dtype_block(t->type);
    int64_t n = 1;
    if (block == 1 || t->dim[t->n_dim - 1] % block == 0) {
        put_int(&w->tensors, (uint64_t)t->n_dim, 4);
        for (int i = t->n_dim - 1; i >= 0; i--)
            put_int(&w->tensors, (uint64_t)t->dim[i], 8);
        return;
    }
    char *key = mem_printf("%s%s", GGUF_SHAPE_KEY, t->name);
    put_key(w, key, GGUF_ARRAY);
    put_int(&w->values, GGUF_I32, 4);
    put_int(&w->values, (uint64_t)t->n_dim, 8);
    for (int i = 0; i < t->n_dim; i++) {
        put_int(&w->values, (uint64_t)t->dim[i], 4);
        n *= t->dim[i];
    }
    put_int(&w->tensors, 2, 4);
    put_int(&w->tensors, (uint64_t)block, 8);
    put_int(&w->tensors, (uint64_t)(n / block), 8);
    free(key);
}

int gguf_put_tensor(struct gguf_writer *w, const struct file_tensor *t, struct err *e)
{
    int id = type_id(t);
    if (id < 0)
        return err_set(e, ERR_UNSUPPORTED, "tensor %s: GGUF has no type %s", t->name, t->type_name);
    if (t->n_dim > GGUF_MAX_DIM)
        return err_set(e, ERR_UNSUPPORTED, "tensor %s: %d dimensions, GGUF has at most %d", t->name,
                       t->n_dim, GGUF_MAX_DIM);
    put_string(&w->tensors, t->name);
    put_shape(w, t);
    put_int(&w->tensors, (uint64_t)id, 4);
    put_int(&w->tensors, w->next, 8);
    w->next = (w->next + t->size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    w->n_tensors++;
    return 0;
}

static void pad(struct file_writer *f, uint64_t at)
{
    static const char zeros[ALIGNMENT];
    file_writer_write(f, zeros, (ALIGNMENT - at % ALIGNMENT) % ALIGNMENT);
}

int gguf_write_header(struct gguf_writer *w, struct file_writer *f, struct err *e)
{
    struct buf head;
    if (buf_failed(&w->values) || buf_failed(&w->tensors))
        return err_set(e, ERR_NOMEM, "the metadata exceeds %zu MiB", GGUF_MAX_META >> 20);
    buf_init(&head, 64);
    buf_append(&head, "GGUF", 4);
    put_int(&head, VERSION, 4);
    put_int(&head, w->n_tensors, 8);
    put_int(&head, w->n_values, 8);
    file_writer_write(f, head.data, head.len);
    file_writer_write(f, w->values.data, w->values.len);
    file_writer_write(f, w->tensors.data, w->tensors.len);
    pad(f, head.len + w->values.len + w->tensors.len);
    buf_release(&head);
    return 0;
}

void gguf_write(struct gguf_writer *w, struct file_writer *f, const void *data, size_t n)
{
    file_writer_write(f, data, n);
    w->written += n;
}

void gguf_write_end(struct gguf_writer *w, struct file_writer *f)
{
    pad(f, w->written);
    w->written = (w->written + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}
