/* rng.h - random numbers that any machine repeats: the normal deviates of the two generators that
 * image tools agree on, seed for seed, and uniform ones.
 *
 * philox: torch.randn(device="cuda"), as AUTOMATIC1111's modules/rng_philox.py computes it on any
 *     machine. A GPU gives the same within 1e-6, for tensors of up to one element per resident
 *     thread (some 100,000). Counter based: the only state is a call counter.
 *     Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 * mt19937: what torch.randn(generator=torch.Generator("cpu").manual_seed(seed)) gives, which is
 *     also ComfyUI's noise. Matsumoto, Nishimura, ACM TOMACS 8 (1998).
 *
 * Logarithms, sines and cosines are taken in double precision and rounded once, so that results do
 * not depend on the C library; torch's own vectorised functions differ from them by < 1e-6.
 */
#ifndef LAR_BASE_RNG_H
#define LAR_BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng_philox {
    uint64_t seed;
    uint32_t offset; /* calls so far: each call draws from a fresh part of the counter space */
};

void rng_philox_init(struct rng_philox *r, uint64_t seed);

/* n values of one randn() call. The values of a call do not depend on its n. */
void rng_philox_normal(struct rng_philox *r, float *dst, size_t n);

/* One value of 53 bits, 0 <= u < 1; a call like those above. */
double rng_philox_uniform(struct rng_philox *r);

#define RNG_MT19937_WORDS 624

struct rng_mt19937 {
    uint32_t state[RNG_MT19937_WORDS];
    int next;        /* words of `state` already used */
    bool has_cached; /* a call with n < 16 left the second value of its last pair */
    double cached;
};

/* Only the low 32 bits of the seed count, as in torch. */
void rng_mt19937_init(struct rng_mt19937 *r, uint64_t seed);

uint32_t rng_mt19937_u32(struct rng_mt19937 *r);

/* n values of one randn() call. As in torch, n >= 16 draws single precision pairs in blocks of 16
 * (the last 16 values are drawn anew when n is no multiple of 16) and n < 16 double precision pairs
 * one after the other, so how a sequence is cut into calls matters. */
void rng_mt19937_normal(struct rng_mt19937 *r, float *dst, size_t n);

#endif
