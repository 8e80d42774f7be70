/* rope.h - the rotations of rotary positions (Su et al., arXiv:2104.09864) and the ways to stretch
 * them over longer contexts than a model was first trained for.
 *
 *     pair i of n_rot / 2 turns by position * base^(-2 i / n_rot) / stretch(i)
 *
 * linear: one factor for all (Chen et al., arXiv:2306.15595). YaRN: fast pairs keep their speed,
 * slow ones are stretched (Peng et al., arXiv:2309.00071). llama3: the same with other limits
 * (transformers' modeling_rope_utils.py). longrope: a factor for each pair, one list for short and
 * one for long contexts (Ding et al., arXiv:2402.13753).
 */
#ifndef LAR_NN_ROPE_H
#define LAR_NN_ROPE_H

#include <stdbool.h>

enum rope_scaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_YARN, ROPE_LLAMA3, ROPE_LONG };

struct rope_params {
    enum rope_scaling scaling;
    int n_rot;                   /* turned elements of a head */
    double base;                 /* theta */
    double factor;               /* linear, yarn, llama3; long: n_ctx / n_ctx_orig */
    double n_ctx_orig;           /* yarn, llama3, long: the context before stretching */
    double beta_fast, beta_slow; /* yarn: turns within n_ctx_orig */
    bool exact;                  /* yarn: its limits are not rounded to whole pairs */
    double low_freq, high_freq;  /* llama3: turns within n_ctx_orig */
    double attention;            /* yarn, long: the factor below, or 0 */
    const float *divisors;       /* [n_rot / 2] of the frequencies, after the rest; or NULL */
};

/* freq[i] = radians per position, i < n_rot / 2. */
void rope_frequencies(const struct rope_params *p, float *freq);

/* What cosines and sines are multiplied with. */
float rope_attention_factor(const struct rope_params *p);

#endif
