/* kv.c - the layout of the cache; see kv.h. */
#include "tensor/kv.h"

#include "tensor/quant.h"

#include <string.h>

#define GROUP 32 /* elements of a quantised block */

bool kv_can(enum dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_Q8_0 || type == DTYPE_Q4_0;
}

static bool is_quantised(enum dtype type)
{
    return dtype_block(type) > 1;
}

static int groups(int d)
{
    return (d + GROUP - 1) / GROUP;
}

/* Bytes of one head of a block. */
static size_t head_bytes(enum dtype type, int d, int multiple)
{
    int unit = is_quantised(type) ? GROUP : multiple;
    return KV_BLOCK * dtype_row_size(type, (d + unit - 1) / unit * unit);
}

size_t kv_k_bytes(const struct kv_layer *l)
{
    return (size_t)l->n_head_kv * head_bytes(l->type, l->d_k, 1);
}

size_t kv_v_bytes(const struct kv_layer *l)
{
    return (size_t)l->n_head_kv * head_bytes(l->type, l->d_v, 16);
}

static unsigned char *k_head(const struct kv_layer *l, int32_t block, int head)
{
    size_t bytes = head_bytes(l->type, l->d_k, 1);
    return (unsigned char *)l->k + ((size_t)block * (size_t)l->n_head_kv + (size_t)head) * bytes;
}

static unsigned char *v_head(const struct kv_layer *l, int32_t block, int head)
{
    size_t bytes = head_bytes(l->type, l->d_v, 16);
    return (unsigned char *)l->v + ((size_t)block * (size_t)l->n_head_kv + (size_t)head) * bytes;
}

/* One group of 32 dimensions as quant_from_f32() writes it: an f16 scale and the numbers. */
struct group {
    unsigned char bytes[2 + GROUP];
};

/* Group g of x [d], filled up with zeros. */
static struct group quantise_group(enum dtype type, const float *x, int d, int g)
{
    struct group b;
    float tmp[GROUP] = {0};
    int n = d - g * GROUP < GROUP ? d - g * GROUP : GROUP;
    memcpy(tmp, x + (ptrdiff_t)g * GROUP, (size_t)n * sizeof(*x));
    quant_from_f32(type, tmp, b.bytes, GROUP);
    return b;
}

static void read_group(enum dtype type, const struct group *b, float *x, int d, int g)
{
    float tmp[GROUP];
    int n = d - g * GROUP < GROUP ? d - g * GROUP : GROUP;
    quant_to_f32(type, b->bytes, tmp, GROUP);
    memcpy(x + (ptrdiff_t)g * GROUP, tmp, (size_t)n * sizeof(*x));
}

/* Element i (0 .. 31) of a group of 4-bit numbers, which ggml stores as two halves. */
static unsigned nibble(const struct group *b, int i)
{
    return b->bytes[2 + i % 16] >> (i < 16 ? 0 : 4) & 15;
}

static void set_nibble(unsigned char *p, bool high, unsigned x)
{
    *p = (unsigned char)(high ? (*p & 15) | x << 4 : (*p & 0xf0) | x);
}

void kv_write_k(const struct kv_layer *l, int32_t block, int slot, int head, const float *x)
{
    unsigned char *p = k_head(l, block, head);
    if (!is_quantised(l->type)) {
        size_t size = dtype_row_size(l->type, 1);
        for (int i = 0; i < l->d_k; i++)
            quant_from_f32(l->type, x + i, p + (size_t)(i * KV_BLOCK + slot) * size, 1);
        return;
    }
    unsigned char *q = p + (size_t)(groups(l->d_k) * KV_BLOCK) * 2;
    for (int g = 0; g < groups(l->d_k); g++) {
        struct group b = quantise_group(l->type, x, l->d_k, g);
        memcpy(p + (size_t)(g * KV_BLOCK + slot) * 2, b.bytes, 2);
        for (int i = 0; i < GROUP; i++) {
            int four = g * 8 + i / 4;
            if (l->type == DTYPE_Q8_0)
                q[(four * KV_BLOCK + slot) * 4 + i % 4] = b.bytes[2 + i] ^ 0x80;
            else
                set_nibble(q + (four / 2 * KV_BLOCK + slot) * 4 + i % 4, four & 1, nibble(&b, i));
        }
    }
}

void kv_read_k(const struct kv_layer *l, int32_t block, int slot, int head, float *x)
{
    const unsigned char *p = k_head(l, block, head);
    if (!is_quantised(l->type)) {
        size_t size = dtype_row_size(l->type, 1);
        for (int i = 0; i < l->d_k; i++)
            quant_to_f32(l->type, p + (size_t)(i * KV_BLOCK + slot) * size, x + i, 1);
        return;
    }
    const unsigned char *q = p + (size_t)(groups(l->d_k) * KV_BLOCK) * 2;
    for (int g = 0; g < groups(l->d_k); g++) {
        struct group b = {{0}};
        memcpy(b.bytes, p + (size_t)(g * KV_BLOCK + slot) * 2, 2);
        for (int i = 0; i < GROUP; i++) {
            int four = g * 8 + i / 4;
            if (l->type == DTYPE_Q8_0)
                b.bytes[2 + i] = q[(four * KV_BLOCK + slot) * 4 + i % 4] ^ 0x80;
            else
                set_nibble(b.bytes + 2 + i % 16, i >= 16,
                           q[(four / 2 * KV_BLOCK + slot) * 4 + i % 4] >> (four & 1 ? 4 : 0) & 15);
        }
        read_group(l->type, &b, x, l->d_k, g);
    }
}

/* Bytes of the numbers of one token in a group of values: 32 or 16. */
static size_t group_bytes(enum dtype type)
{
    return dtype_row_size(type, GROUP) - 2;
}

void kv_write_v(const struct kv_layer *l, int32_t block, int slot, int head, const float *x)
{
    unsigned char *p = v_head(l, block, head);
    if (!is_quantised(l->type)) {
        size_t row = head_bytes(l->type, l->d_v, 16) / KV_BLOCK;
        size_t used = dtype_row_size(l->type, l->d_v);
        quant_from_f32(l->type, x, p + (size_t)slot * row, l->d_v);
        memset(p + (size_t)slot * row + used, 0, row - used);
        return;
    }
    unsigned char *q = p + (size_t)(groups(l->d_v) * KV_BLOCK) * 2;
    size_t n = group_bytes(l->type);
    for (int g = 0; g < groups(l->d_v); g++) {
        struct group b = quantise_group(l->type, x, l->d_v, g);
        memcpy(p + (size_t)(g * KV_BLOCK + slot) * 2, b.bytes, 2);
        memcpy(q + (size_t)(g * KV_BLOCK + slot) * n, b.bytes + 2, n);
    }
}

void kv_read_v(const struct kv_layer *l, int32_t block, int slot, int head, float *x)
{
    const unsigned char *p = v_head(l, block, head);
    if (!is_quantised(l->type)) {
        size_t row = head_bytes(l->type, l->d_v, 16) / KV_BLOCK;
        quant_to_f32(l->type, p + (size_t)slot * row, x, l->d_v);
        return;
    }
    const unsigned char *q = p + (size_t)(groups(l->d_v) * KV_BLOCK) * 2;
    size_t n = group_bytes(l->type);
    for (int g = 0; g < groups(l->d_v); g++) {
        struct group b = {{0}};
        memcpy(b.bytes, p + (size_t)(g * KV_BLOCK + slot) * 2, 2);
        memcpy(b.bytes + 2, q + (size_t)(g * KV_BLOCK + slot) * n, n);
        read_group(l->type, &b, x, l->d_v, g);
    }
}
