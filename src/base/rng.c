/* rng.c - see rng.h. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

void rng_philox_init(struct rng_philox *r, uint64_t seed)
{
    *r = (struct rng_philox){.seed = seed};
}

/* Philox4x32-10: ten rounds of multiply, swap and mix, the key advancing by Weyl constants. */
static void philox4x32(uint32_t counter[4], uint64_t seed)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)counter[0] * 0xd2511f53u;
        uint64_t b = (uint64_t)counter[2] * 0xcd9e8d57u;
        counter[0] = (uint32_t)(b >> 32) ^ counter[1] ^ key0;
        counter[1] = (uint32_t)b;
        counter[2] = (uint32_t)(a >> 32) ^ counter[3] ^ key1;
        counter[3] = (uint32_t)a;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
}

/* Element i is thread i of cuRAND: subsequence i, its first Box-Muller value (the sine); the other
 * words of the block stay unused. */
void rng_philox_normal(struct rng_philox *r, float *dst, size_t n)
{
    const double to_unit = 0x1p-32;
    const double to_angle = (float)(2 * PI * 0x1p-32); /* cuRAND's constant is single precision */
    for (size_t i = 0; i < n; i++) {
        uint32_t word[4] = {r->offset, 0, (uint32_t)i, (uint32_t)((uint64_t)i >> 32)};
        philox4x32(word, r->seed);
        double u = word[0] * to_unit + to_unit / 2;
        double v = word[1] * to_angle + to_angle / 2;
        dst[i] = (float)(sqrt(-2 * log(u)) * sin(v));
    }
    r->offset++;
}

double rng_philox_uniform(struct rng_philox *r)
{
    uint32_t word[4] = {r->offset++, 0, 0, 0};
    philox4x32(word, r->seed);
    return (double)(((uint64_t)word[1] << 32 | word[0]) >> 11) * 0x1p-53;
}

void rng_mt19937_init(struct rng_mt19937 *r, uint64_t seed)
{
    r->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < RNG_MT19937_WORDS; i++) {
        uint32_t last = r->state[i - 1];
        r->state[i] = 1812433253u * (last ^ (last >> 30)) + i;
    }
    r->next = RNG_MT19937_WORDS;
    r->has_cached = false;
    r->cached = 0;
}

static void mt19937_refill(struct rng_mt19937 *r)
{
    enum { N = RNG_MT19937_WORDS, M = 397 };
    for (int i = 0; i < N; i++) {
        uint32_t y = (r->state[i] & 0x80000000u) | (r->state[(i + 1) % N] & 0x7fffffffu);
        r->state[i] = r->state[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    r->next = 0;
}

uint32_t rng_mt19937_u32(struct rng_mt19937 *r)
{
    if (r->next == RNG_MT19937_WORDS)
        mt19937_refill(r);
    uint32_t y = r->state[r->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static double mt19937_uniform_f64(struct rng_mt19937 *r)
{
    uint64_t high = rng_mt19937_u32(r);
    uint64_t bits = high << 32 | rng_mt19937_u32(r);
    return (double)(bits & ((1ull << 53) - 1)) * 0x1p-53;
}

static float mt19937_normal_one(struct rng_mt19937 *r)
{
    if (r->has_cached) {
        r->has_cached = false;
        return (float)r->cached;
    }
    double angle = 2 * PI * mt19937_uniform_f64(r);
    double radius = sqrt(-2 * log1p(-mt19937_uniform_f64(r)));
    r->cached = radius * sin(angle);
    r->has_cached = true;
    return (float)(radius * cos(angle));
}

/* Values i and i + 8 of a block are one Box-Muller pair. Each intermediate is rounded to single
 * precision, as torch's: the angle's rounding alone moves results by 1e-6. */
static void mt19937_normal_16(struct rng_mt19937 *r, float *dst)
{
    for (int i = 0; i < 16; i++)
        dst[i] = (float)(rng_mt19937_u32(r) & 0xffffffu) * 0x1p-24f;
    for (int i = 0; i < 8; i++) {
        float log_u = (float)log(1.0 - (double)dst[i]);
        float radius = sqrtf(-2 * log_u);
        float rounded = (float)(2 * PI) * dst[i + 8];
        double angle = rounded;
        dst[i] = radius * (float)cos(angle);
        dst[i + 8] = radius * (float)sin(angle);
    }
}

void rng_mt19937_normal(struct rng_mt19937 *r, float *dst, size_t n)
{
    if (n < 16) {
        for (size_t i = 0; i < n; i++)
            dst[i] = mt19937_normal_one(r);
        return;
    }
    size_t whole = n / 16 * 16;
    for (size_t i = 0; i < whole; i += 16)
        mt19937_normal_16(r, dst + i);
    if (whole == n)
        return;
    for (size_t i = whole; i < n; i++)
        rng_mt19937_u32(r); /* torch draws a uniform for every element before it makes pairs */
    mt19937_normal_16(r, dst + n - 16);
}
