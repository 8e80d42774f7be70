/* k_softmax.c - one block of online softmax; see struct softmax_tile. */
#include "cpu/k_decl.h"

#include <float.h>

#define LOG2_E 1.44269504089f

static float row_max(const float *s, long n, float start)
{
    vf m = vf_set1(start), m2 = m;
    long i = 0;
    for (; i + 2 * VF_N <= n; i += 2 * VF_N) {
        m = vf_max(m, vf_load(s + i));
        m2 = vf_max(m2, vf_load(s + i + VF_N));
    }
    m = vf_max(m, m2);
    for (; i + VF_N <= n; i += VF_N)
        m = vf_max(m, vf_load(s + i));
    float max = vf_maxval(m);
    for (; i < n; i++)
        max = s[i] > max ? s[i] : max;
    return max;
}

/* s = 2^(factor * (s - max)); returns the sum. */
static float row_exp(float *s, long n, float max, float factor)
{
    vf m = vf_set1(max), f = vf_set1(factor), sum = vf_zero();
    long i = 0;
    for (; i + VF_N <= n; i += VF_N) {
        vf e = vf_exp2(vf_mul(vf_sub(vf_load(s + i), m), f));
        sum = vf_add(sum, e);
        vf_store(s + i, e);
    }
    float total = vf_sum(sum);
    if (i < n) {
        float e[VF_N];
        vf_store(e, vf_exp2(vf_mul(vf_sub(vf_load_n(s + i, (int)(n - i)), m), f)));
        for (int j = 0; i < n; i++, j++)
            total += s[i] = e[j];
    }
    return total;
}

#if defined(SIMD_BF16)
/* The same in bf16 to p. */
static float row_exp_bf16(const float *s, uint16_t *p, long n, float max, float factor)
{
    vf m = vf_set1(-max * factor), f = vf_set1(factor), sum = vf_zero(), sum2 = sum;
    long i = 0;
    for (; i + 2 * VF_N <= n; i += 2 * VF_N) {
        vf e = vf_exp2_bf16(vf_fma(vf_load(s + i), f, m));
        vf e2 = vf_exp2_bf16(vf_fma(vf_load(s + i + VF_N), f, m));
        sum = vf_add(sum, e);
        sum2 = vf_add(sum2, e2);
        vp_store(p + i, vp_from_f32(e, e2));
    }
    float total = vf_sum(vf_add(sum, sum2));
    for (; i < n; i += VF_N) {
        float e[VF_N];
        int left = n - i < VF_N ? (int)(n - i) : VF_N;
        vf_store(e, vf_exp2_bf16(vf_fma(vf_load_n(s + i, left), f, m)));
        for (int j = 0; j < left; j++) {
            total += e[j];
            p[i + j] = bf16_from_f32(e[j]);
        }
    }
    return total;
}
#else
static float row_exp_bf16(float *s, uint16_t *p, long n, float max, float factor)
{
    float total = row_exp(s, n, max, factor);
    K(from_f32)(DTYPE_BF16, s, p, n);
    return total;
}
#endif

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
            t->sum[r] = t->sum[r] * t->rescale[r] +
                        (p ? row_exp_bf16(s, p, n, max, factor) : row_exp(s, n, max, factor));
            t->max[r] = max;
        }
        if (p)
            memset(p + n, 0, (size_t)(t->n - n) * sizeof(*p));
        else
            memset(s + n, 0, (size_t)(t->n - n) * sizeof(*s));
    }
}
