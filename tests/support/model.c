/* model.c - see model.h. */
#include "support/model.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

char *model_manifest(const char *model, const char *end)
{
    char *name = mem_printf("manifests/%s%s", model, end), *path = test_data(name);
    free(name);
    return path;
}

/* Trailing dimensions of 1 do not count: a 1x1 convolution is a matrix. */
static void check_shape(const struct ckpt_tensor *t, const struct hash_tensor *want)
{
    for (int i = 0; i < CKPT_MAX_DIM; i++) {
        int64_t a = i < t->n_dim ? t->dim[i] : 1;
        int64_t b = i < want->n_dims ? (int64_t)want->dims[i] : 1;
        if (a != b)
            fail_msg("%s: dimension %d is %lld, wanted %lld", t->name, i, (long long)a,
                     (long long)b);
    }
}

static void check_bytes(const struct ckpt_tensor *t, const struct hash_tensor *want)
{
    size_t n = hash_tensor_count(want), item = dtype_row_size(t->type, 1);
    assert_int_equal(t->size, n * item);
    unsigned char *bytes = mem_alloc(n * item);
    hash_fill(bytes, t->type, want, 0, n);
    if (t->transposed) {
        unsigned char *stored = mem_alloc(n * item);
        size_t rows = want->dims[0], columns = want->dims[1];
        for (size_t i = 0; i < n; i++)
            memcpy(stored + (i % columns * rows + i / columns) * item, bytes + i * item, item);
        free(bytes);
        bytes = stored;
    }
    if (memcmp(t->data, bytes, n * item) != 0)
        fail_msg("%s (%s): wrong values", t->name, t->file_name);
    free(bytes);
}

void model_check_tensor(const struct ckpt_tensor *t, const struct hash_tensor *want)
{
    check_shape(t, want);
    check_bytes(t, want);
}

void model_check(const struct checkpoint *c, const char *model, const char *component)
{
    struct hash_manifest m = {0};
    struct err e = {0};
    size_t wanted = 0, n = component ? strlen(component) : 0;
    char *path = model_manifest(model, ".txt");
    assert_ok(hash_manifest_open(&m, path, &e), e);
    for (size_t i = 0; i < m.n_tensors; i++) {
        const struct hash_tensor *want = &m.tensors[i];
        if (component && (strncmp(want->name, component, n) != 0 || want->name[n] != '.'))
            continue;
        const struct ckpt_tensor *t = checkpoint_find(c, want->name);
        if (!t)
            fail_msg("%s is missing", want->name);
        model_check_tensor(t, want);
        wanted++;
    }
    for (size_t i = 0; i < checkpoint_n(c); i++)
        if (!hash_manifest_find(&m, checkpoint_at(c, i)->name))
            fail_msg("%s should not be there", checkpoint_at(c, i)->name);
    assert_int_equal(checkpoint_n(c), wanted);
    hash_manifest_close(&m);
    free(path);
}

char *model_write(const char *model, const char *out, struct hash_checkpoint_options o, bool ldm)
{
    struct err e = {0};
    char *manifest = model_manifest(model, ".txt"), *map = model_manifest(model, ".ldm.txt");
    char *dir = test_temp_dir(), *path = file_join(dir, out);
    o.map = ldm ? map : NULL;
    assert_ok(hash_checkpoint_write(manifest, path, &o, &e), e);
    free(manifest);
    free(map);
    free(dir);
    return path;
}

struct checkpoint *model_open(const char *path)
{
    struct checkpoint *c;
    struct err e = {0};
    assert_ok(checkpoint_open(&c, path, &e), e);
    return c;
}

struct checkpoint *model_open_part(const char *model, const char *part)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write(model, model, o, false), *folder = file_join(path, part);
    struct checkpoint *c = model_open(folder);
    free(folder);
    free(path);
    return c;
}
