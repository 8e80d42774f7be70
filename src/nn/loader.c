/* loader.c - see loader.h. */
#include "nn/loader.h"

#include "base/arena.h"
#include "base/err.h"
#include "format/checkpoint.h"
#include "tensor/quant.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 256
#define MAX_COUNT 1024

void load_start(struct loader *l, const struct checkpoint *file, struct arena *arena,
                const char *component, struct err *e)
{
    *l = (struct loader){.file = file, .arena = arena, .err = e};
    snprintf(l->scope, sizeof(l->scope), "%s", component);
}

void load_push(struct loader *l, const char *fmt, ...)
{
    size_t n = strlen(l->scope);
    if (l->depth == (int)(sizeof(l->scope_len) / sizeof(l->scope_len[0])) ||
        n + 64 > sizeof(l->scope))
        abort(); /* our own bug: unbalanced scopes */
    l->scope_len[l->depth++] = n;
    if (n)
        l->scope[n++] = '.';
    va_list args;
    va_start(args, fmt);
    vsnprintf(l->scope + n, sizeof(l->scope) - n, fmt, args);
    va_end(args);
}

void load_pop(struct loader *l)
{
    l->scope[l->scope_len[--l->depth]] = '\0';
}

int load_done(const struct loader *l)
{
    return l->rc;
}

void load_fail(struct loader *l, const char *fmt, ...)
{
    if (l->rc)
        return;
    va_list args;
    va_start(args, fmt);
    l->rc = err_vset(l->err, ERR_FORMAT, fmt, args);
    va_end(args);
    err_prefix(l->err, "%s", checkpoint_path(l->file));
}

/* "<the tensor's own file>: tensor <name> <what is wrong>" */
__attribute__((format(printf, 3, 4))) static void
fail_tensor(struct loader *l, const struct ckpt_tensor *t, const char *fmt, ...)
{
    if (l->rc)
        return;
    va_list args;
    va_start(args, fmt);
    l->rc = err_vset(l->err, ERR_FORMAT, fmt, args);
    va_end(args);
    err_prefix(l->err, "%s: tensor %s", t->file, t->name);
}

/* What stands between scope and name. */
static const char *dot(const struct loader *l)
{
    return l->scope[0] ? "." : "";
}

static const struct ckpt_tensor *find(const struct loader *l, const char *name)
{
    char full[NAME_SIZE + sizeof(l->scope)];
    snprintf(full, sizeof(full), "%s%s%s", l->scope, dot(l), name);
    return checkpoint_find(l->file, full);
}

bool load_has(const struct loader *l, const char *fmt, ...)
{
    char name[NAME_SIZE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof(name), fmt, args);
    va_end(args);
    return find(l, name) != NULL;
}

bool load_has_any(const struct loader *l, const char *fmt, ...)
{
    char name[NAME_SIZE + sizeof(l->scope)];
    int n = snprintf(name, sizeof(name), "%s%s", l->scope, dot(l));
    va_list args;
    va_start(args, fmt);
    vsnprintf(name + n, sizeof(name) - (size_t)n - 1, fmt, args);
    va_end(args);
    size_t len = strlen(name);
    name[len++] = '.';
    for (size_t i = 0; i < checkpoint_n(l->file); i++)
        if (strncmp(checkpoint_at(l->file, i)->name, name, len) == 0)
            return true;
    return false;
}

int load_count(const struct loader *l, const char *stem)
{
    char name[NAME_SIZE + sizeof(l->scope)];
    int most = 0;
    size_t len = (size_t)snprintf(name, sizeof(name), "%s%s%s.", l->scope, dot(l), stem);
    for (size_t i = 0; i < checkpoint_n(l->file); i++) {
        const char *t = checkpoint_at(l->file, i)->name;
        if (strncmp(t, name, len) != 0 || !isdigit((unsigned char)t[len]))
            continue;
        long n = strtol(t + len, NULL, 10);
        if (n < MAX_COUNT && n >= most)
            most = (int)n + 1;
    }
    return most;
}

int64_t load_dim(const struct loader *l, const char *name, int axis)
{
    const struct ckpt_tensor *t = find(l, name);
    return t && axis < t->n_dim ? t->dim[axis] : 0;
}

const struct ckpt_tensor *load_raw(struct loader *l, const char *name)
{
    const struct ckpt_tensor *t = l->rc ? NULL : find(l, name);
    if (!t)
        load_fail(l, "tensor %s%s%s is missing; the file is incomplete or another kind of model",
                  l->scope, dot(l), name);
    return t;
}

/* Finds a tensor and checks that this program can compute with it. */
static const struct ckpt_tensor *need(struct loader *l, const char *name)
{
    const struct ckpt_tensor *t = load_raw(l, name);
    if (t && !dtype_is_float(t->type))
        fail_tensor(l, t, "has type %s, which cannot be used; convert the file first",
                    t->type_name);
    return l->rc ? NULL : t;
}

/* Does the file's shape fit, up to trailing ones? */
static bool fits(const struct ckpt_tensor *t, int n_dim, const int64_t *dim)
{
    int most = t->n_dim > n_dim ? t->n_dim : n_dim;
    for (int i = 0; i < most; i++) {
        int64_t have = i < t->n_dim ? t->dim[i] : 1, want = i < n_dim ? dim[i] : 1;
        if (want != LOAD_ANY && have != want)
            return false;
    }
    return true;
}

static void misshapen(struct loader *l, const struct ckpt_tensor *t, int n_dim, const int64_t *dim)
{
    struct tensor have = {.n_dim = t->n_dim}, want = {.n_dim = n_dim};
    char a[TENSOR_SHAPE_TEXT], b[TENSOR_SHAPE_TEXT];
    memcpy(have.dim, t->dim, sizeof(have.dim));
    memcpy(want.dim, dim, (size_t)n_dim * sizeof(*dim));
    fail_tensor(l, t, "has shape %s, but the model needs %s (-1 is any)",
                tensor_shape_text(&have, a), tensor_shape_text(&want, b));
}

/* Stored [in, out]: an f32 copy as [out, in]. */
static void *transpose(struct loader *l, const struct ckpt_tensor *t)
{
    size_t rows = (size_t)t->dim[0], cols = (size_t)t->dim[1];
    if (t->dim[0] % dtype_block(t->type)) {
        fail_tensor(l, t, "has rows that are no whole blocks of %s; convert the file first",
                    t->type_name);
        return NULL;
    }
    float *out = arena_try_array(l->arena, rows * cols, sizeof(*out), t->name, l->err);
    float *row = arena_try_array(l->arena, rows, sizeof(*row), t->name, l->err);
    if (!out || !row) {
        l->rc = ERR_NOMEM;
        return NULL;
    }
    for (size_t j = 0; j < cols; j++) {
        quant_to_f32(t->type, (const char *)t->data + j * dtype_row_size(t->type, (int64_t)rows),
                     row, (int64_t)rows);
        for (size_t i = 0; i < rows; i++)
            out[i * cols + j] = row[i];
    }
    return out;
}

static struct tensor *new_tensor(struct loader *l, const struct ckpt_tensor *t, int n_dim)
{
    struct tensor *x = arena_alloc(l->arena, sizeof(*x));
    *x = (struct tensor){.type = t->type, .n_dim = n_dim, .dim = {1, 1, 1, 1}, .name = t->name};
    for (int i = 0; i < n_dim && i < t->n_dim; i++)
        x->dim[i] = t->dim[i];
    return x;
}

struct tensor *load_weight(struct loader *l, const char *name, int n_dim, const int64_t *dim)
{
    const struct ckpt_tensor *t = need(l, name);
    if (!t)
        return NULL;
    if (!fits(t, n_dim, dim)) {
        misshapen(l, t, n_dim, dim);
        return NULL;
    }
    struct tensor *x = new_tensor(l, t, n_dim);
    if (t->transposed && t->n_dim != 2) {
        fail_tensor(l, t, "is stored transposed, which cannot be used here");
        return NULL;
    }
    if (t->transposed) {
        x->type = DTYPE_F32;
        x->data = transpose(l, t);
    } else {
        x->data = (void *)(uintptr_t)t->data;
    }
    return x;
}

struct tensor *load_matrix(struct loader *l, const char *name, int64_t rows, int64_t cols)
{
    return load_weight(l, name, 2, (int64_t[]){rows, cols});
}

struct tensor *load_rows(struct loader *l, const char *name, int64_t first, int64_t n, int64_t cols)
{
    struct tensor *x = load_matrix(l, name, LOAD_ANY, cols);
    if (!x)
        return NULL;
    const struct ckpt_tensor *t = find(l, name);
    if (n > x->dim[0] || first > x->dim[0] - n) {
        fail_tensor(l, t, "has %lld rows, but the model needs %lld", (long long)x->dim[0],
                    (long long)(first + n));
        return NULL;
    }
    if (first * cols % dtype_block(x->type)) {
        fail_tensor(l, t, "has rows that are no whole blocks of %s; convert the file first",
                    t->type_name);
        return NULL;
    }
    x->data = (char *)x->data + dtype_row_size(x->type, first * cols);
    x->dim[0] = n;
    return x;
}

struct tensor *load_floats(struct loader *l, const char *name, int n_dim, const int64_t *dim)
{
    const struct ckpt_tensor *t = need(l, name);
    if (!t)
        return NULL;
    if (!fits(t, n_dim, dim) || t->n_dim < 1) {
        misshapen(l, t, n_dim, dim);
        return NULL;
    }
    struct tensor *x = new_tensor(l, t, n_dim);
    x->type = DTYPE_F32;
    x->data = arena_try_array(l->arena, (size_t)tensor_n(x), sizeof(float), t->name, l->err);
    if (!x->data) {
        l->rc = ERR_NOMEM;
        return NULL;
    }
    quant_to_f32(t->type, t->data, x->data, tensor_n(x));
    return x;
}

struct tensor *load_vector(struct loader *l, const char *name, int64_t n)
{
    return load_floats(l, name, 1, &n);
}
