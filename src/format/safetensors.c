/* safetensors.c - see safetensors.h. No number in the file is used before it is checked. */
#include "format/safetensors.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static uint64_t load64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

bool safetensors_probe(const void *data, size_t n)
{
    const unsigned char *p = data;
    return n >= 10 && load64(p) <= SAFETENSORS_MAX_HEADER && p[8] == '{';
}

/* Bits per element of the types we do not compute with but can check; 0 when unknown. */
static size_t foreign_bits(const char *type)
{
    static const struct {
        const char *name;
        size_t bits;
    } rows[] = {{"BOOL", 8},    {"U8", 8},     {"I8", 8},   {"F8_E4M3", 8}, {"F8_E5M2", 8},
                {"F8_E8M0", 8}, {"I16", 16},   {"U16", 16}, {"I32", 32},    {"U32", 32},
                {"F64", 64},    {"I64", 64},   {"U64", 64}, {"C64", 64},    {"F4", 4},
                {"F6_E2M3", 6}, {"F6_E3M2", 6}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].name, type) == 0)
            return rows[i].bits;
    return 0;
}

/* The type's name, from the table where possible so that it needs no copy. */
static void read_type(struct safetensors *s, struct file_tensor *t, const char *text)
{
    t->type = dtype_from_safetensors(text);
    t->type_name = t->type == DTYPE_OTHER ? arena_strdup(&s->arena, text)
                                          : dtype_safetensors(t->type);
}

static int read_shape(struct file_tensor *t, const json_t *shape, struct err *e)
{
    size_t n = json_array_size(shape);
    if (!json_is_array(shape))
        return err_set(e, ERR_FORMAT, "tensor %s: shape is not an array", t->name);
    if (n > FILE_TENSOR_MAX_DIM)
        return err_set(e, ERR_FORMAT, "tensor %s: %zu dimensions, at most %d are possible", t->name,
                       n, FILE_TENSOR_MAX_DIM);
    t->n_dim = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return err_set(e, ERR_FORMAT, "tensor %s: shape[%zu] is not a count", t->name, i);
        t->dim[i] = json_integer_value(d);
    }
    return 0;
}

/* Bytes that the shape needs; ERR_FORMAT when they do not fit in 64 bits or differ from size. */
static int check_size(const struct file_tensor *t, struct err *e)
{
    size_t bits = t->type == DTYPE_OTHER ? foreign_bits(t->type_name)
                                         : 8 * dtype_row_size(t->type, 1);
    size_t need = bits ? bits : 1;
    bool empty = false;
    for (int i = 0; i < t->n_dim; i++) {
        size_t d = t->dim[i] ? (size_t)t->dim[i] : 1; /* no partial product may overflow */
        empty |= t->dim[i] == 0;
        if (__builtin_mul_overflow(need, d, &need) || need > INT64_MAX)
            return err_set(e, ERR_FORMAT, "tensor %s: its shape overflows 64 bits", t->name);
    }
    need = empty ? 0 : need;
    if (bits && (need % 8 || need / 8 != t->size))
        return err_set(e, ERR_FORMAT,
                       "tensor %s: its shape needs %zu bytes of %s, its offsets span %zu", t->name,
                       need / 8, t->type_name, t->size);
    return 0;
}

/* One entry of the header; data..data + n are the tensor bytes. */
static int read_tensor(struct safetensors *s, struct file_tensor *t, const json_t *v,
                       const unsigned char *data, size_t n, struct err *e)
{
    const json_t *type = json_object_get(v, "dtype"), *offsets = json_object_get(v, "data_offsets");
    if (!json_is_string(type))
        return err_set(e, ERR_FORMAT, "tensor %s: dtype is missing or not a string", t->name);
    read_type(s, t, json_string_value(type));
    int rc = read_shape(t, json_object_get(v, "shape"), e);
    if (rc)
        return rc;
    const json_t *b = json_array_get(offsets, 0), *z = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(b) || !json_is_integer(z))
        return err_set(e, ERR_FORMAT, "tensor %s: data_offsets is not a pair of integers", t->name);
    int64_t begin = json_integer_value(b), end = json_integer_value(z);
    if (begin < 0 || end < begin || (uint64_t)end > n)
        return err_set(e, ERR_FORMAT,
                       "tensor %s: data_offsets [%" PRId64 ", %" PRId64
                       "] lie outside the file's %zu bytes of data; it is damaged or was not "
                       "downloaded completely",
                       t->name, begin, end, n);
    t->data = data + begin;
    t->size = (size_t)(end - begin);
    return check_size(t, e);
}

static int by_place(const void *a, const void *b)
{
    const struct file_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return x->size < y->size ? -1 : x->size > y->size;
}

/* The tensors, sorted by place, must cover data..end exactly. */
static int check_cover(const struct safetensors *s, const unsigned char *data,
                       const unsigned char *end, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct file_tensor *t = &s->tensors[i];
        if (t->data < data)
            return err_set(e, ERR_FORMAT, "tensor %s overlaps tensor %s", t->name,
                           s->tensors[i - 1].name);
        if (t->data > data)
            return err_set(e, ERR_FORMAT, "a hole of %zu bytes before tensor %s",
                           (size_t)(t->data - data), t->name);
        data += t->size;
    }
    if (data != end)
        return err_set(e, ERR_FORMAT, "%zu bytes after the last tensor belong to nothing",
                       (size_t)(end - data));
    return 0;
}

static int read_meta(struct safetensors *s, json_t *meta, struct err *e)
{
    const char *key;
    json_t *v;
    if (meta && !json_is_object(meta))
        return err_set(e, ERR_FORMAT, "__metadata__ is not an object");
    json_object_foreach(meta, key, v)
    {
        if (!json_is_string(v))
            return err_set(e, ERR_FORMAT, "__metadata__: the value of %s is not a string", key);
        map_put(&s->meta, key, strlen(key), arena_strdup(&s->arena, json_string_value(v)));
    }
    return 0;
}

static int read_header(struct safetensors *s, json_t *root, const unsigned char *data, size_t n,
                       struct err *e)
{
    const char *key;
    json_t *v;
    if (!json_is_object(root))
        return err_set(e, ERR_FORMAT, "its header is not a JSON object");
    s->tensors = mem_try_array(json_object_size(root), sizeof(*s->tensors), "the list of tensors",
                               e);
    if (!s->tensors)
        return ERR_NOMEM;
    json_object_foreach(root, key, v)
    {
        if (strcmp(key, "__metadata__") == 0)
            continue;
        struct file_tensor *t = &s->tensors[s->n];
        t->name = arena_strdup(&s->arena, key);
        if (!json_is_object(v))
            return err_set(e, ERR_FORMAT, "tensor %s: its entry is not an object", key);
        int rc = read_tensor(s, t, v, data, n, e);
        if (rc)
            return rc;
        s->n++;
    }
    if (s->n)
        qsort(s->tensors, s->n, sizeof(*s->tensors), by_place);
    int rc = check_cover(s, data, data + n, e);
    return rc ? rc : read_meta(s, json_object_get(root, "__metadata__"), e);
}

int safetensors_parse(struct safetensors *s, const void *data, size_t n, struct err *e)
{
    const unsigned char *p = data;
    struct json_doc doc;
    *s = (struct safetensors){0};
    if (n < 8)
        return err_set(e, ERR_FORMAT, "not a safetensors file: only %zu bytes", n);
    uint64_t header = load64(p);
    if (header > SAFETENSORS_MAX_HEADER)
        return err_set(e, ERR_FORMAT,
                       "not a safetensors file: it claims a header of %" PRIu64
                       " bytes, more than the %u allowed",
                       header, SAFETENSORS_MAX_HEADER);
    if (header > n - 8)
        return err_set(e, ERR_FORMAT,
                       "its header of %" PRIu64 " bytes is longer than the file (%zu bytes); it "
                       "was not downloaded completely",
                       header, n);
    int rc = json_doc_parse(&doc, "its header", p + 8, header, e);
    if (!rc)
        rc = read_header(s, doc.root, p + 8 + header, n - 8 - header, e);
    json_doc_release(&doc);
    if (rc)
        safetensors_release(s);
    return rc;
}

void safetensors_release(struct safetensors *s)
{
    free(s->tensors);
    map_release(&s->meta);
    arena_release(&s->arena);
    *s = (struct safetensors){0};
}

bool safetensors_knows(const struct file_tensor *t)
{
    return t->type == DTYPE_OTHER ? foreign_bits(t->type_name) != 0
                                  : dtype_safetensors(t->type) != NULL;
}

static json_t *header_entry(const struct file_tensor *t, size_t begin)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->n_dim; i++)
        json_array_append_new(shape, json_integer(t->dim[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->type_name, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + t->size));
}

int safetensors_write_header(struct file_writer *w, const struct file_tensor *tensors, size_t n,
                             const char *const *meta, struct err *e)
{
    json_t *root = json_object(), *pairs = json_object();
    size_t begin = 0;
    bool ok = true;
    for (; meta && meta[0]; meta += 2)
        ok &= json_object_set_new(pairs, meta[0], json_string(meta[1])) == 0;
    if (json_object_size(pairs))
        json_object_set(root, "__metadata__", pairs);
    json_decref(pairs);
    for (size_t i = 0; i < n; i++) {
        ok &= json_object_set_new(root, tensors[i].name, header_entry(&tensors[i], begin)) == 0;
        begin += tensors[i].size;
    }
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text)
        return err_set(e, ERR_FORMAT, "a name or a metadata value is not UTF-8 text");
    uint64_t size = strlen(text), padded = (size + 7) / 8 * 8;
    unsigned char number[8];
    for (int i = 0; i < 8; i++)
        number[i] = (unsigned char)(padded >> (8 * i));
    file_writer_write(w, number, 8);
    file_writer_write(w, text, size);
    file_writer_write(w, "        ", padded - size);
    free(text);
    return 0;
}
