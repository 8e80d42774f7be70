/* k_softmax.c - one block of online softmax; see struct softmax_tile. */
#include "cpu/k_decl.h"

#include <float.h>

#define LOG2_E 1.44269504089f

static float row_max(const float *s, long n, float start)
{
    vf m = vf_set1(start);
    long i = 0;
    for (; i + VF_N <= n; i += VF_N)
        m = vf_max(m, vf_load(s + i));
    float max = vf_maxval(m);
    for (; i < n; i++)
        max = s[i] > max ? s[i] : max;
    return max;
}

/* s = 2^(factor * (s - max)), in bf16 to p if not NULL; returns the sum. */
static float row_exp(float *s, uint16_t *p, long n, float max, float factor)
{
    vf m = vf_set1(max), f = vf_set1(factor), sum = vf_zero();
    long i = 0;
    for (; i + VF_N <= n; i += VF_N) {
        vf e = vf_exp2(vf_mul(vf_sub(vf_load(s + i), m), f));
        sum = vf_add(sum, e);
        if (p)
            vf_store_bf16(p + i, e);
        else
            vf_store(s + i, e);
    }
    float total = vf_sum(sum);
    if (i < n) {
        float e[VF_N];
        vf_store(e, vf_exp2(vf_mul(vf_sub(vf_load_n(s + i, (int)(n - i)), m), f)));
        for (int j = 0; i < n; i++, j++) {
            total += e[j];
            if (p)
                p[i] = bf16_from_f32(e[j]);
            else
                s[i] = e[j];
        }
    }
    return total;
}

static float exp2_1(float x)
{
    float e[VF_N];
    vf_store(e, vf_exp2(vf_set1(x)));
    return e[0];
}

void K(softmax)(const struct softmax_tile *t)
{
    float factor = t->scale * LOG2_E;
    for (int r = 0; r < t->rows; r++) {
        float *s = t->s + r * t->lds;
        uint16_t *p = t->p ? t->p + r * t->lds : NULL;
        long n = t->valid[r] < t->n ? t->valid[r] : t->n;
        t->rescale[r] = 1.0f;
        if (n > 0) {
            float max = row_max(s, n, t->max[r]), before = t->max[r];
            t->rescale[r] = before == -FLT_MAX ? 0.0f : exp2_1((before - max) * factor);
            t->sum[r] = t->sum[r] * t->rescale[r] + row_exp(s, p, n, max, factor);
            t->max[r] = max;
        }
        if (p)
            memset(p + n, 0, (size_t)(t->n - n) * sizeof(*p));
        else
            memset(s + n, 0, (size_t)(t->n - n) * sizeof(*s));
    }
}
