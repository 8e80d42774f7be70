/* tamper.c - see tamper.h. */
#include "support/tamper.h"

#include "base/err.h"
#include "base/file.h"
#include "support/hash_weights.h"
#include "support/test.h"
#include "tensor/quant.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file in memory: 8 bytes of header size, JSON, data. */
struct tampered {
    char *bytes;
    size_t size, data; /* data: offset of the first tensor */
    json_t *header;
};

static void open_file(struct tampered *f, const char *path)
{
    struct err e = {0};
    uint64_t n;
    assert_ok(file_read(path, (size_t)1 << 30, &f->bytes, &f->size, &e), e);
    memcpy(&n, f->bytes, sizeof(n));
    f->data = sizeof(n) + n;
    f->header = json_loadb(f->bytes + sizeof(n), n, 0, NULL);
    assert_non_null(f->header);
}

static void close_file(struct tampered *f, const char *path)
{
    char *text = json_dumps(f->header, JSON_COMPACT);
    size_t len = strlen(text);
    uint64_t n = (len + 7) / 8 * 8; /* the data stays aligned */
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fwrite(&n, sizeof(n), 1, out);
    fprintf(out, "%-*s", (int)n, text);
    fwrite(f->bytes + f->data, 1, f->size - f->data, out);
    assert_int_equal(fclose(out), 0);
    json_decref(f->header);
    free(f->bytes);
    free(text);
}

/* [n] -> [2, n/2]; [a, b] -> [a, b/2, 2]; [a, b, 3, 3] -> [a, b, 9, 1]; [a, b, 1, 1] -> [a, b/2, 2,
 * 1]. */
static json_t *misshape(const json_t *shape)
{
    json_int_t d[4] = {1, 1, 1, 1};
    size_t n = json_array_size(shape);
    for (size_t i = 0; i < n && i < 4; i++)
        d[i] = json_integer_value(json_array_get(shape, i));
    if (n == 1)
        return json_pack("[I,I]", (json_int_t)2, d[0] / 2);
    if (n == 2)
        return json_pack("[I,I,I]", d[0], d[1] / 2, (json_int_t)2);
    if (d[2] == 3)
        return json_pack("[I,I,I,I]", d[0], d[1], (json_int_t)9, (json_int_t)1);
    return json_pack("[I,I,I,I]", d[0], d[1] / 2, (json_int_t)2, (json_int_t)1);
}

static json_t *entry(const struct tampered *f, const char *path, const char *tensor)
{
    json_t *t = json_object_get(f->header, tensor);
    if (!t)
        fail_msg("%s has no tensor %s", path, tensor);
    return t;
}

void tamper_tensor(const char *path, const char *tensor, enum tamper how)
{
    struct tampered f;
    open_file(&f, path);
    json_t *t = entry(&f, path, tensor);
    if (how == TAMPER_TYPE) {
        json_object_set_new(t, "dtype", json_string("I16"));
    } else if (how == TAMPER_RESHAPE) {
        json_object_set_new(t, "shape", misshape(json_object_get(t, "shape")));
    } else {
        /* Its bytes become another tensor's: a hole in the data would be refused as such. */
        json_object_set(f.header, "nobody.asks.for.this", t);
        json_object_del(f.header, tensor);
    }
    close_file(&f, path);
}

void tamper_metadata(const char *path, const char *key, const char *value)
{
    struct tampered f;
    open_file(&f, path);
    json_t *meta = json_object_get(f.header, "__metadata__");
    if (!meta) {
        meta = json_object();
        json_object_set_new(f.header, "__metadata__", meta);
    }
    json_object_set_new(meta, key, json_string(value));
    close_file(&f, path);
}

void tamper_values(const char *path, const char *tensor, long i, double factor, double offset)
{
    struct tampered f;
    open_file(&f, path);
    json_t *at = json_object_get(entry(&f, path, tensor), "data_offsets");
    size_t begin = (size_t)json_integer_value(json_array_get(at, 0));
    size_t n = ((size_t)json_integer_value(json_array_get(at, 1)) - begin) / 2;
    char *data = f.bytes + f.data + begin;
    for (size_t j = i < 0 ? 0 : (size_t)i; j < (i < 0 ? n : (size_t)i + 1); j++) {
        float x;
        quant_to_f32(DTYPE_F16, data + 2 * j, &x, 1);
        double y = (double)x * factor + offset;
        uint16_t special = isnan(y) ? 0x7e00 : 0x7c00; /* which hash_store() does not know */
        if (isfinite(y))
            hash_store(data, j, DTYPE_F16, y);
        else
            memcpy(data + 2 * j, &special, sizeof(special));
    }
    close_file(&f, path);
}
