/* k_decoder.c - what language models need beside products: gated units, rotations, scaled rows. */
#include "cpu/k_decl.h"

/* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which is x sigmoid() of twice that. */
SIMD vf gelu_tanh(vf x)
{
    vf cube = vf_mul(vf_mul(x, x), vf_mul(x, vf_set1(0.044715f)));
    return vf_mul(x, vf_sigmoid(vf_mul(vf_add(x, cube), vf_set1(1.5957691216057308f))));
}

SIMD vf gate_up(const enum glu kind, vf g, vf u)
{
    const float limit = 7.0f;
    switch (kind) {
    case GLU_GELU_TANH:
        return vf_mul(gelu_tanh(g), u);
    case GLU_CLAMP:
        g = vf_min(vf_set1(limit), g);
        u = vf_min(vf_set1(limit), vf_max(vf_set1(-limit), u));
        return vf_mul(vf_mul(g, vf_sigmoid(vf_mul(g, vf_set1(1.702f)))), vf_add(u, vf_set1(1)));
    default:
        return vf_mul(vf_mul(g, vf_sigmoid(g)), u);
    }
}

/* The kind is a constant where this is inlined. */
SIMD void glu_row(const enum glu kind, float *y, const float *gate, const float *up, long n)
{
    long i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(y + i, gate_up(kind, vf_load(gate + i), vf_load(up + i)));
    if (i < n) {
        int m = (int)(n - i);
        vf_store_n(y + i, gate_up(kind, vf_load_n(gate + i, m), vf_load_n(up + i, m)), m);
    }
}

void K(glu)(enum glu kind, float *y, const float *gate, const float *up, long n)
{
    if (kind == GLU_SILU)
        glu_row(GLU_SILU, y, gate, up, n);
    else if (kind == GLU_GELU_TANH)
        glu_row(GLU_GELU_TANH, y, gate, up, n);
    else
        glu_row(GLU_CLAMP, y, gate, up, n);
}

void K(scale_by)(float *y, const float *x, const float *w, float factor, long n)
{
    vf f = vf_set1(factor);
    long i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), f), vf_load(w + i)));
    for (; i < n; i++)
        y[i] = x[i] * factor * w[i];
}

void K(add_scaled)(float *y, const float *x, float factor, long n)
{
    vf f = vf_set1(factor);
    long i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(y + i, vf_fma(vf_load(x + i), f, vf_load(y + i)));
    for (; i < n; i++)
        y[i] += x[i] * factor;
}

void K(rope)(float *y, const float *x, const float *cos_sin, long pairs, bool interleaved)
{
    const float *c = cos_sin, *s = cos_sin + pairs;
    long i = 0;
    if (interleaved) {
        for (; i < pairs; i++) {
            y[2 * i] = x[2 * i] * c[i] - x[2 * i + 1] * s[i];
            y[2 * i + 1] = x[2 * i] * s[i] + x[2 * i + 1] * c[i];
        }
        return;
    }
    for (; i + VF_N <= pairs; i += VF_N) {
        vf a = vf_load(x + i), b = vf_load(x + pairs + i), cv = vf_load(c + i), sv = vf_load(s + i);
        vf_store(y + i, vf_sub(vf_mul(a, cv), vf_mul(b, sv)));
        vf_store(y + pairs + i, vf_fma(a, sv, vf_mul(b, cv)));
    }
    for (; i < pairs; i++) {
        y[i] = x[i] * c[i] - x[pairs + i] * s[i];
        y[pairs + i] = x[i] * s[i] + x[pairs + i] * c[i];
    }
}
