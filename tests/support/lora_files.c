/* lora_files.c - see lora_files.h. */
#include "support/lora_files.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/lora_file.h"
#include "models/lora.h"
#include "support/hash_checkpoint.h"
#include "support/test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* [dims]: hash weights; a number: that. */
static struct file_tensor make(const char *name, const json_t *v, enum dtype type)
{
    struct file_tensor t = {.name = name, .type = type, .type_name = dtype_safetensors(type)};
    struct hash_tensor h = {.name = name, .n_dims = (int)json_array_size(v)};
    for (int i = 0; i < h.n_dims; i++) {
        t.dim[i] = json_integer_value(json_array_get(v, (size_t)i));
        h.dims[i] = (uint64_t)t.dim[i];
    }
    size_t n = (size_t)hash_tensor_count(&h);
    t.n_dim = h.n_dims;
    t.size = dtype_row_size(type, (int64_t)n);
    unsigned char *data = mem_alloc(t.size);
    if (json_is_number(v))
        hash_store(data, 0, type, json_number_value(v));
    else
        hash_fill(data, type, &h, 0, n);
    t.data = data;
    return t;
}

void lora_files_write(const char *path, const json_t *tensors, enum dtype type,
                      const char *const *meta)
{
    struct file_writer w;
    struct err e = {0};
    const char *name;
    json_t *v;
    size_t n = 0;
    struct file_tensor *t = mem_alloc(json_object_size(tensors) * sizeof(*t) + 1);
    json_object_foreach((json_t *)(uintptr_t)tensors, name, v) t[n++] = make(name, v, type);
    assert_ok(file_writer_open(&w, path, &e), e);
    assert_ok(safetensors_write_header(&w, t, n, meta, &e), e);
    for (size_t i = 0; i < n; i++) {
        file_writer_write(&w, t[i].data, t[i].size);
        free((void *)(uintptr_t)t[i].data);
    }
    assert_ok(file_writer_commit(&w, &e), e);
    free(t);
}

void lora_files_hollow_model(const char *manifest, const char *path)
{
    struct hash_manifest m = {0};
    struct file_writer w;
    struct err e = {0};
    off_t size = 0;
    assert_ok(hash_manifest_open(&m, manifest, &e), e);
    struct file_tensor *t = mem_alloc(m.n_tensors * sizeof(*t));
    for (size_t i = 0; i < m.n_tensors; i++) {
        const struct hash_tensor *h = &m.tensors[i];
        t[i] = (struct file_tensor){
            .name = h->name, .type = DTYPE_F16, .type_name = "F16", .n_dim = h->n_dims};
        for (int k = 0; k < h->n_dims; k++)
            t[i].dim[k] = (int64_t)h->dims[k];
        t[i].size = 2 * (size_t)hash_tensor_count(h);
        size += (off_t)t[i].size;
    }
    assert_ok(file_writer_open(&w, path, &e), e);
    assert_ok(safetensors_write_header(&w, t, m.n_tensors, NULL, &e), e);
    size += ftello(w.f);
    assert_ok(file_writer_commit(&w, &e), e);
    assert_int_equal(truncate(path, size), 0);
    hash_manifest_close(&m);
    free(t);
}

void lora_files_open(struct lora_files *l, const struct checkpoint *c, const char *json)
{
    struct err e = {0};
    size_t i;
    json_t *list = json ? json_loads(json, 0, NULL) : NULL, *v;
    char *dir = test_temp_dir();
    *l = (struct lora_files){0};
    json_array_foreach(list, i, v)
    {
        char *name = mem_printf("%zu.safetensors", i), *path = file_join(dir, name);
        double weight = json_number_value(json_object_get(v, "weight"));
        enum dtype type = dtype_from_name(json_string_value(json_object_get(v, "type")));
        lora_files_write(path, json_object_get(v, "tensors"), type, NULL);
        l->files[i] = mem_alloc(sizeof(*l->files[i]));
        l->n++;
        assert_ok(lora_file_open(l->files[i], path, &e), e);
        assert_ok(
            lora_apply(&l->adapters, c, l->files[i], (struct lora_strength){weight, weight}, &e),
            e);
        free(path);
        free(name);
    }
    assert_ok(adapters_finish(&l->adapters, &e), e);
    json_decref(list);
    free(dir);
}

void lora_files_close(struct lora_files *l)
{
    adapters_release(&l->adapters);
    for (int i = 0; i < l->n; i++) {
        lora_file_close(l->files[i]);
        free(l->files[i]);
    }
    *l = (struct lora_files){0};
}
