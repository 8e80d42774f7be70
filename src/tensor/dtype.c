/* dtype.c - look-ups in the table of element types. */
#include "tensor/dtype.h"

#include <string.h>

struct row {
    const char *text;
    int block, bytes, ggml;
    const char *safetensors;
};

static const struct row rows[] = {
#define DTYPE(name, text, block, bytes, ggml, safetensors) {text, block, bytes, ggml, safetensors},
#include "tensor/dtype.def"
#undef DTYPE
};

#define N_TYPES (sizeof(rows) / sizeof(rows[0]))

static const struct row *row(enum dtype type)
{
    return &rows[(size_t)type < N_TYPES ? (size_t)type : DTYPE_OTHER];
}

const char *dtype_name(enum dtype type)
{
    return row(type)->text;
}

int dtype_block(enum dtype type)
{
    return row(type)->block;
}

bool dtype_is_float(enum dtype type)
{
    return type < DTYPE_I32;
}

size_t dtype_row_size(enum dtype type, int64_t n)
{
    const struct row *r = row(type);
    return (size_t)n / (size_t)r->block * (size_t)r->bytes;
}

int dtype_ggml(enum dtype type)
{
    return row(type)->ggml;
}

const char *dtype_safetensors(enum dtype type)
{
    return row(type)->safetensors;
}

enum dtype dtype_from_name(const char *text)
{
    size_t i = 0;
    while (i < DTYPE_OTHER && strcmp(rows[i].text, text) != 0)
        i++;
    return (enum dtype)i;
}

enum dtype dtype_from_ggml(uint32_t id)
{
    size_t i = 0;
    while (i < DTYPE_OTHER && (uint32_t)rows[i].ggml != id)
        i++;
    return (enum dtype)i;
}

enum dtype dtype_from_safetensors(const char *name)
{
    size_t i = 0;
    while (i < DTYPE_OTHER && (!rows[i].safetensors || strcmp(rows[i].safetensors, name) != 0))
        i++;
    return (enum dtype)i;
}
