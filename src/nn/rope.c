/* rope.c - see rope.h. */
#include "nn/rope.h"

#include <math.h>

#define PI 3.14159265358979323846

/* The pair that turns `turns` times within the original context. */
static double pair_of_turns(const struct rope_params *p, double turns)
{
    return p->n_rot * log(p->n_ctx_orig / (turns * 2 * PI)) / (2 * log(p->base));
}

static double yarn(const struct rope_params *p, int i, double freq)
{
    double low = pair_of_turns(p, p->beta_fast), high = pair_of_turns(p, p->beta_slow);
    low = fmax(p->exact ? low : floor(low), 0);
    high = fmin(p->exact ? high : ceil(high), p->n_rot - 1);
    if (low == high)
        high += 0.001;
    double stretched = fmin(1, fmax(0, (i - low) / (high - low)));
    return freq / p->factor * stretched + freq * (1 - stretched);
}

static double llama3(const struct rope_params *p, double freq)
{
    double turns = p->n_ctx_orig * freq / (2 * PI);
    if (turns < p->low_freq)
        return freq / p->factor;
    if (turns > p->high_freq)
        return freq;
    double smooth = (turns - p->low_freq) / (p->high_freq - p->low_freq);
    return (1 - smooth) * freq / p->factor + smooth * freq;
}

void rope_frequencies(const struct rope_params *p, float *freq)
{
    for (int i = 0; i < p->n_rot / 2; i++) {
        double f = pow(p->base, -2.0 * i / p->n_rot);
        if (p->scaling == ROPE_LINEAR)
            f /= p->factor;
        else if (p->scaling == ROPE_YARN)
            f = yarn(p, i, f);
        else if (p->scaling == ROPE_LLAMA3)
            f = llama3(p, f);
        freq[i] = (float)(p->divisors ? f / (double)p->divisors[i] : f);
    }
}

float rope_attention_factor(const struct rope_params *p)
{
    if (p->scaling != ROPE_YARN && p->scaling != ROPE_LONG)
        return 1;
    if (p->attention > 0)
        return (float)p->attention;
    if (p->factor <= 1)
        return 1;
    return (float)(p->scaling == ROPE_YARN ? 0.1 * log(p->factor) + 1
                                           : sqrt(1 + log(p->factor) / log(p->n_ctx_orig)));
}
