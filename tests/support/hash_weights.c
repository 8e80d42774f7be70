/* hash_weights.c - see hash_weights.h. */
#include "support/hash_weights.h"

#include "base/hash.h"
#include "tensor/half.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

uint64_t hash_tensor_count(const struct hash_tensor *t)
{
    uint64_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        n *= t->dims[i];
    return n;
}

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && memcmp(s + n - m, end, m) == 0;
}

struct hash_stream hash_stream_of(const struct hash_tensor *t)
{
    struct hash_stream s = {.seed = hash_fnv1a(t->name, strlen(t->name)), .scale = 0.1};
    if (t->n_dims >= 2) {
        bool experts = t->n_dims == 3 && strstr(t->name, ".experts."); /* [n_expert, in, out] */
        uint64_t fan_in = experts ? t->dims[1] : hash_tensor_count(t) / t->dims[0];
        s.scale = ends_with(t->name, "embedding.weight") ? 0.5 : sqrt(3.0 / (double)fan_in);
    } else if (ends_with(t->name, ".weight")) {
        s.scale = 0.2;
        s.offset = 1.0;
    }
    return s;
}

double hash_stream_at(const struct hash_stream *s, uint64_t i)
{
    uint64_t z = hash_mix64(s->seed + (i + 1) * 0x9e3779b97f4a7c15u);
    double v = 2.0 * ((double)(z >> 40) * 0x1p-24) - 1.0;
    /* Two statements, so that no compiler fuses them: the sum must round as numpy's does. */
    double scaled = s->scale * v;
    return s->offset + scaled;
}

/* The upper bits of a float64 as a type with `mantissa` bits and exponent bias `bias`, rounded to
 * nearest even. Values below the type's normal range are rounded on its subnormal grid. */
static uint16_t round_bits(double x, int mantissa, int bias)
{
    uint64_t bits, magnitude;
    memcpy(&bits, &x, sizeof(bits));
    magnitude = bits & 0x7fffffffffffffffu;
    uint16_t sign = (uint16_t)(bits >> 63 << 15);
    if (magnitude >> 52 < (uint64_t)(1024 - bias)) {
        /* Adding 2^k leaves |x| in the low bits in units of the smallest subnormal. */
        double grid = ldexp(1.0, 52 + 1 - bias - mantissa);
        double moved = fabs(x) + grid;
        memcpy(&magnitude, &moved, sizeof(magnitude));
        return (uint16_t)(sign | (magnitude & 0xffff));
    }
    int low = 52 - mantissa;
    magnitude -= (uint64_t)(1023 - bias) << 52;
    magnitude += ((uint64_t)1 << (low - 1)) - 1 + (magnitude >> low & 1);
    return (uint16_t)(sign | (magnitude >> low));
}

void hash_store(void *out, size_t i, enum dtype type, double x)
{
    if (type == DTYPE_F32)
        ((float *)out)[i] = (float)x;
    else
        ((uint16_t *)out)[i] = type == DTYPE_F16 ? round_bits(x, 10, 15) : round_bits(x, 7, 127);
}

void hash_fill(void *out, enum dtype type, const struct hash_tensor *t, uint64_t first, size_t n)
{
    struct hash_stream s = hash_stream_of(t);
    for (size_t i = 0; i < n; i++)
        hash_store(out, i, type, hash_stream_at(&s, first + i));
}

void hash_fill_f16_as_float(float *out, const struct hash_tensor *t)
{
    struct hash_stream s = hash_stream_of(t);
    uint64_t n = hash_tensor_count(t);
    for (uint64_t i = 0; i < n; i++)
        out[i] = half_to_f32(round_bits(hash_stream_at(&s, i), 10, 15));
}

void hash_input(float *out, const char *name, size_t n, double scale)
{
    struct hash_stream s = {.scale = scale};
    s.seed = hash_fnv1a("input.", 6);
    for (const char *c = name; *c; c++) /* FNV-1a goes on where it stopped */
        s.seed = (s.seed ^ (unsigned char)*c) * 0x100000001b3u;
    for (size_t i = 0; i < n; i++)
        out[i] = (float)hash_stream_at(&s, i);
}
