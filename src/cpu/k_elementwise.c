/* k_elementwise.c - activation functions, sums and the like over runs of floats. */
#include "cpu/k_decl.h"

SIMD vf silu(vf x)
{
    return vf_mul(x, vf_sigmoid(x));
}

SIMD vf gelu(vf x)
{
    vf phi = vf_add(vf_set1(1.0f), vf_erf(vf_mul(x, vf_set1(0.70710678118654752f))));
    return vf_mul(vf_mul(x, vf_set1(0.5f)), phi);
}

SIMD vf quick_gelu(vf x)
{
    return vf_mul(x, vf_sigmoid(vf_mul(x, vf_set1(1.702f))));
}

SIMD vf relu(vf x)
{
    return vf_max(vf_zero(), x);
}

#define UNARY(name)                                                                \
    void K(name)(float *y, const float *x, long n)                                 \
    {                                                                              \
        long i = 0;                                                                \
        for (; i + VF_N <= n; i += VF_N)                                           \
            vf_store(y + i, name(vf_load(x + i)));                                 \
        if (i < n)                                                                 \
            vf_store_n(y + i, name(vf_load_n(x + i, (int)(n - i))), (int)(n - i)); \
    }

UNARY(silu)
UNARY(gelu)
UNARY(quick_gelu)
UNARY(relu)

void K(soft_cap)(float *y, const float *x, float cap, long n)
{
    vf c = vf_set1(cap), inv = vf_set1(1.0f / cap);
    long i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(y + i, vf_mul(c, vf_tanh(vf_mul(vf_load(x + i), inv))));
    if (i < n) {
        vf v = vf_mul(c, vf_tanh(vf_mul(vf_load_n(x + i, (int)(n - i)), inv)));
        vf_store_n(y + i, v, (int)(n - i));
    }
}

#define BINARY(name, expression)                                                       \
    void K(name)(float *y, const float *a, const float *b, long n)                     \
    {                                                                                  \
        long i = 0;                                                                    \
        for (; i + VF_N <= n; i += VF_N) {                                             \
            vf p = vf_load(a + i), q = vf_load(b + i);                                 \
            vf_store(y + i, expression);                                               \
        }                                                                              \
        if (i < n) {                                                                   \
            vf p = vf_load_n(a + i, (int)(n - i)), q = vf_load_n(b + i, (int)(n - i)); \
            vf_store_n(y + i, expression, (int)(n - i));                               \
        }                                                                              \
    }

BINARY(add, vf_add(p, q))
BINARY(prelu, vf_fma(q, vf_min(vf_zero(), p), vf_max(vf_zero(), p)))
BINARY(geglu, vf_mul(p, gelu(q)))

void K(scale)(float *y, const float *x, float factor, float offset, long n)
{
    vf f = vf_set1(factor), o = vf_set1(offset);
    long i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(y + i, vf_fma(vf_load(x + i), f, o));
    for (; i < n; i++)
        y[i] = x[i] * factor + offset;
}

void K(affine)(float *y, const float *x, const float *mul, const float *add, long n)
{
    long i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(y + i, vf_fma(vf_load(x + i), vf_load(mul + i), vf_load(add + i)));
    for (; i < n; i++)
        y[i] = x[i] * mul[i] + add[i];
}

float K(sum)(const float *x, long n)
{
    vf s = vf_zero();
    long i = 0;
    for (; i + VF_N <= n; i += VF_N)
        s = vf_add(s, vf_load(x + i));
    if (i < n)
        s = vf_add(s, vf_load_n(x + i, (int)(n - i)));
    return vf_sum(s);
}

float K(sum_squared_diff)(const float *x, float mean, long n)
{
    vf s = vf_zero(), m = vf_set1(mean);
    long i = 0;
    for (; i + VF_N <= n; i += VF_N) {
        vf d = vf_sub(vf_load(x + i), m);
        s = vf_fma(d, d, s);
    }
    float total = vf_sum(s);
    for (; i < n; i++)
        total += (x[i] - mean) * (x[i] - mean);
    return total;
}
