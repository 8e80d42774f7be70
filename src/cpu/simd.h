/* simd.h - the only file with vector intrinsics.
 *
 * Kernel bodies (k_*.c) are compiled once per instruction set with LAR_ISA defined, and use only
 * the names below: `vf` is a vector of VF_N floats. K(name) gives a kernel its per-set symbol.
 *
 *     set          VF_N   f32 tile (rows x columns)   extras
 *     generic      4      4 x 8                       GCC vector extensions, no intrinsics
 *     avx2         8      6 x 16                      F16C
 *     avx512       16     6 x 64
 *     avx512bf16   16     6 x 64                      VDPBF16PS
 *     amx          16     6 x 64, bf16 32 x 32        TDPBF16PS on tile registers
 *     neon         4      6 x 16
 */
#ifndef LAR_CPU_SIMD_H
#define LAR_CPU_SIMD_H

#include "tensor/half.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define K_PASTE2(a, b) a##_##b
#define K_PASTE(a, b)  K_PASTE2(a, b)
#define K(name)        K_PASTE(name, LAR_ISA)

#define SIMD static inline __attribute__((always_inline))
/* The same for a body that is made once for each combination of constants, where that pays: copies
 * of scalar code, or of code that a sanitizer watches, take minutes to compile and gain nothing. */
#if !defined(LAR_SANITIZED) && (defined(__AVX2__) || defined(__ARM_NEON))
#define SIMD_VARIANT SIMD
#else
#define SIMD_VARIANT static __attribute__((noinline))
#endif

#if defined(__AVX512F__)
#include <immintrin.h>

#define VF_N    16
#define GEMM_MR 6
#define GEMM_NV 4

typedef __m512 vf;

SIMD vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
SIMD vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}
SIMD vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
SIMD void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
SIMD vf vf_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
SIMD void vf_store_n(float *p, vf x, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}
SIMD vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
SIMD vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
SIMD vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
SIMD vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
SIMD vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
SIMD vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
SIMD vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
SIMD vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
SIMD vf vf_select_neg(vf a, vf x, vf y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_LT_OQ), y, x);
}
SIMD vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SIMD vf vf_ldexp(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}
SIMD float vf_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
SIMD float vf_maxval(vf a)
{
    return _mm512_reduce_max_ps(a);
}
SIMD vf vf_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
SIMD void vf_store_f16(void *p, vf a)
{
    _mm256_storeu_si256(p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
SIMD vf vf_load_bf16(const void *p)
{
    __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}
#if defined(__AVX512BF16__)
/* The instruction takes denormals, < 1.2e-38, for 0; activations and weights have none to lose. */
SIMD void vf_store_bf16(void *p, vf a)
{
    _mm256_storeu_si256(p, (__m256i)_mm512_cvtneps_pbh(a));
}
#else
SIMD void vf_store_bf16(void *p, vf a)
{
    __m512i u = _mm512_castps_si512(a);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256(p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16)));
}
#endif
SIMD vf vf_load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}
/* Products of bytes: vi is a vector of VF_N int32, vb of 4 VF_N bytes. Lane i of vi_dot() is acc[i]
 * + the products of bytes 4 i to 4 i + 3; w is unsigned and below 64, x is signed and above -128.
 * vi_dot_wide() takes any w of -127 .. 127, each stored as w + VB_BIAS. vb_spread() repeats the
 * `bytes` bytes at p: 4, 8, 16, 32 or 64, up to the size of a vector. */
#define VB_BIAS 128
typedef __m512i vb;
/* Not __m512i: where GCC 12 changes the type of a sum it keeps it in two registers. */
typedef int32_t vi __attribute__((vector_size(64)));
SIMD vb vb_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
SIMD vb vb_spread(const void *p, const int bytes)
{
    int32_t x4;
    int64_t x8;
    switch (bytes) {
    case 4:
        memcpy(&x4, p, sizeof(x4));
        return _mm512_set1_epi32(x4);
    case 8:
        memcpy(&x8, p, sizeof(x8));
        return _mm512_set1_epi64(x8);
    case 16:
        return _mm512_broadcast_i32x4(_mm_loadu_si128(p));
    case 32:
        return _mm512_broadcast_i64x4(_mm256_loadu_si256(p));
    default:
        return vb_load(p);
    }
}
SIMD vi vi_load(const int32_t *p)
{
    return (vi)_mm512_loadu_si512(p);
}
SIMD vi vi_set1(int32_t x)
{
    return (vi)_mm512_set1_epi32(x);
}
/* Bytes of x + 128 as vi_dot_wide() wants x; the low and the high nibbles. */
SIMD vb vb_wide(vb x)
{
    return x;
}
SIMD vb vb_low(vb x)
{
    return _mm512_and_si512(x, _mm512_set1_epi8(15));
}
SIMD vb vb_high(vb x)
{
    return vb_low(_mm512_srli_epi16(x, 4));
}
SIMD vi vi_dot(vi acc, vb w, vb x)
{
    return (vi)_mm512_dpbusd_epi32((__m512i)acc, w, x);
}
SIMD vi vi_dot_wide(vi acc, vb w, vb x)
{
    return (vi)_mm512_dpbusd_epi32((__m512i)acc, w, x);
}
SIMD vf vf_from_vi(vi a)
{
    return _mm512_cvtepi32_ps((__m512i)a);
}
/* From the floats of s on, number `first` and the next ones, each for `group` bytes of a vector: 16
 * or
 * 32. `first` is a constant where this is inlined. */
SIMD vf vf_spread(const vf *s, const int first, const int group)
{
    __m512i which = group == 16 ? _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3)
                                : _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    return _mm512_permutexvar_ps(_mm512_add_epi32(which, _mm512_set1_epi32(first)), s[0]);
}
/* Rounds to nearest; -128 .. 127. */
SIMD void vf_store_i8(int8_t *p, vf x)
{
    _mm_storeu_si128((void *)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)));
}
/* Sixty-four bytes, in as many vectors as that takes: stored by as wide a store as the loads that
 * follow, which would wait long for several narrower ones. Where a function takes two of something,
 * the first is for the first 32 bytes.
 *
 *     b64_load()      32 bytes at a, 32 at b
 *     b64_nibbles()   the low and the high nibbles of 16 bytes at a, then of 16 at b
 *     b64_field()     bits of each byte moved right by a or b (left below 0), masked
 *     b64_add()       y with such a field in bits that are 0
 *     b64_sixteens()  16 added where the bit is set
 *     b64_look_up()   levels[x], of 16
 */
struct b64 {
    __m512i v;
};
SIMD void b64_store(void *q, struct b64 x)
{
    _mm512_storeu_si512(q, x.v);
}
SIMD struct b64 b64_load(const void *a, const void *b)
{
    __m256i low = _mm256_loadu_si256(a);
    if (a == b)
        return (struct b64){_mm512_broadcast_i64x4(low)};
    return (struct b64){_mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_loadu_si256(b), 1)};
}
SIMD struct b64 b64_nibbles(const void *a, const void *b)
{
    __m512i x = _mm512_broadcast_i32x4(_mm_loadu_si128(a));
    x = _mm512_mask_broadcast_i32x4(x, 0xff00, _mm_loadu_si128(b));
    return (struct b64){vb_low(_mm512_srlv_epi64(x, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4)))};
}
SIMD __m512i b64_move(struct b64 x, const int a, const int b)
{
    __m512i right = _mm512_setr_epi64(a, a, a, a, b, b, b, b);
    return a == 0 && b == 0 ? x.v : _mm512_rorv_epi64(x.v, right);
}
SIMD struct b64 b64_field(struct b64 x, const int a, const int b, const char mask)
{
    return (struct b64){_mm512_and_si512(b64_move(x, a, b), _mm512_set1_epi8(mask))};
}
SIMD struct b64 b64_add(struct b64 y, struct b64 x, const int a, const int b, const char mask)
{
    __m512i m = _mm512_set1_epi8(mask);
    return (struct b64){_mm512_ternarylogic_epi64(y.v, b64_move(x, a, b), m, 0xf8)};
}
SIMD struct b64 b64_sixteens(struct b64 x, uint64_t bits)
{
    return (struct b64){_mm512_mask_add_epi8(x.v, bits, x.v, _mm512_set1_epi8(16))};
}
SIMD struct b64 b64_look_up(const void *levels, struct b64 x)
{
    __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128(levels));
    return (struct b64){_mm512_shuffle_epi8(table, x.v)};
}
SIMD struct b64 b64_xor(struct b64 x, const char mask)
{
    return (struct b64){_mm512_xor_si512(x.v, _mm512_set1_epi8(mask))};
}
SIMD float simd_half(const void *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof(h));
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}
#if !defined(__AMX_BF16__)
/* Products of many rows in whole numbers (k_int8.c) are the quickest for weights with |w| up to
 * this: vi_dot(acc, x, w) takes any unsigned x. */
#define SIMD_INT8 128
SIMD vi vi_scale(vi a, int32_t factor)
{
    return a * factor;
}
SIMD void vi_store(int32_t *p, vi a)
{
    _mm512_storeu_si512(p, (__m512i)a);
}
SIMD vb vb_sub(vb a, vb b)
{
    return _mm512_sub_epi8(a, b);
}
#endif
/* In all sets: vf_ldexp(a, n) is a * 2^n for whole n in -126 .. 127, vf_transpose() transposes
 * VF_N vectors of VF_N. */
SIMD void vf_transpose(vf r[VF_N])
{
    __m512d d[16];
    for (int i = 0; i < 16; i += 4) { /* 4x4 blocks */
        vf ab0 = _mm512_unpacklo_ps(r[i], r[i + 1]), ab1 = _mm512_unpackhi_ps(r[i], r[i + 1]);
        vf cd0 = _mm512_unpacklo_ps(r[i + 2], r[i + 3]),
           cd1 = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        d[i] = _mm512_unpacklo_pd(_mm512_castps_pd(ab0), _mm512_castps_pd(cd0));
        d[i + 1] = _mm512_unpackhi_pd(_mm512_castps_pd(ab0), _mm512_castps_pd(cd0));
        d[i + 2] = _mm512_unpacklo_pd(_mm512_castps_pd(ab1), _mm512_castps_pd(cd1));
        d[i + 3] = _mm512_unpackhi_pd(_mm512_castps_pd(ab1), _mm512_castps_pd(cd1));
    }
    for (int i = 0; i < 4; i++) { /* the 4x4 grid of 128-bit lanes */
        vf a = _mm512_castpd_ps(d[i]), b = _mm512_castpd_ps(d[i + 4]);
        vf c = _mm512_castpd_ps(d[i + 8]), e = _mm512_castpd_ps(d[i + 12]);
        vf ab0 = _mm512_shuffle_f32x4(a, b, 0x88), ab1 = _mm512_shuffle_f32x4(a, b, 0xdd);
        vf ce0 = _mm512_shuffle_f32x4(c, e, 0x88), ce1 = _mm512_shuffle_f32x4(c, e, 0xdd);
        r[i] = _mm512_shuffle_f32x4(ab0, ce0, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(ab0, ce0, 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(ab1, ce1, 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(ab1, ce1, 0xdd);
    }
}

#if defined(__AVX512BF16__)
/* A vector of VF_N pairs of bf16, for products summed in pairs into VF_N floats. */
#define SIMD_BF16 1
typedef __m512i vp;
SIMD vp vp_load(const uint16_t *p)
{
    return _mm512_loadu_si512(p);
}
SIMD vp vp_set1(const uint16_t *p)
{
    int32_t x;
    memcpy(&x, p, sizeof(x));
    return _mm512_set1_epi32(x);
}
SIMD vp vp_zero(void)
{
    return _mm512_setzero_si512();
}
/* 2 VF_N bf16 in order, those of lo first, rounded to nearest even. */
SIMD vp vp_from_f32(vf lo, vf hi)
{
    return (vp)_mm512_cvtne2ps_pbh(hi, lo);
}
/* Lane i becomes the pair (x[i], y[i]). */
SIMD vp vp_zip(vf x, vf y)
{
    const __m512i at = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                        8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(at, vp_from_f32(x, y));
}
/* Lane i becomes the pair (bf16 number x_odd of x's lane i, number y_odd of y's). */
SIMD vp vp_merge(vp x, bool x_odd, vp y, bool y_odd)
{
    vp even = x_odd ? _mm512_srli_epi32(x, 16) : x;
    vp odd = y_odd ? y : _mm512_slli_epi32(y, 16);
    return _mm512_mask_blend_epi16(0xaaaaaaaa, even, odd);
}
/* Transposes VF_N vectors of VF_N pairs. */
SIMD void vp_transpose(vp r[VF_N])
{
    vf f[VF_N];
    for (int i = 0; i < VF_N; i++)
        f[i] = _mm512_castsi512_ps(r[i]);
    vf_transpose(f);
    for (int i = 0; i < VF_N; i++)
        r[i] = _mm512_castps_si512(f[i]);
}
SIMD void vp_store(uint16_t *p, vp x)
{
    _mm512_storeu_si512(p, x);
}
/* To memory that is not read again before the caches have forgotten it; p is a multiple of 64
 * bytes. vp_stream_end() before other threads may read it. */
SIMD void vp_stream(uint16_t *p, vp x)
{
    _mm512_stream_si512((void *)p, x);
}
SIMD void vp_stream_end(void)
{
    _mm_sfence();
}
SIMD vf vp_dot(vf acc, vp a, vp b)
{
    return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
}
#endif

#if defined(__AMX_BF16__)
/* Tile registers of AMX_ROWS rows of 64 bytes; their numbers are constants. AMX_DOT(c, a, b) adds
 * the products of 16 x 32 bf16 and 32 x 16 bf16 (as 16 rows of 16 pairs) to 16 x 16 floats. The
 * compiler does not know what memory tiles are loaded from and stored to: keep them in functions of
 * their own. */
#define SIMD_AMX                   1
#define AMX_ROWS                   16
#define AMX_K                      32
#define AMX_ZERO(tile)             _tile_zero(tile)
#define AMX_LOAD(tile, p, stride)  _tile_loadd(tile, p, stride)
#define AMX_DOT(c, a, b)           _tile_dpbf16ps(c, a, b)
#define AMX_STORE(tile, p, stride) _tile_stored(tile, p, stride)
SIMD void amx_begin(void)
{
    struct {
        uint8_t palette, start_row, zero[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = AMX_ROWS;
    }
    __asm__ volatile("" ::"r"(&config) : "memory"); /* GCC 12 sees 8 of its bytes in use */
    _tile_loadconfig(&config);
}
SIMD void amx_end(void)
{
    _tile_release();
}
#endif

#elif defined(__AVX2__)
#include <immintrin.h>

#define VF_N      8
#define GEMM_MR   6
#define GEMM_NV   2

typedef __m256 vf;

SIMD __m256i vf_mask(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SIMD vf vf_zero(void)
{
    return _mm256_setzero_ps();
}
SIMD vf vf_set1(float x)
{
    return _mm256_set1_ps(x);
}
SIMD vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
SIMD void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}
SIMD vf vf_load_n(const float *p, int n)
{
    return _mm256_maskload_ps(p, vf_mask(n));
}
SIMD void vf_store_n(float *p, vf x, int n)
{
    _mm256_maskstore_ps(p, vf_mask(n), x);
}
SIMD vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
SIMD vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
SIMD vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
SIMD vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
SIMD vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
SIMD vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
SIMD vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
SIMD vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
SIMD vf vf_select_neg(vf a, vf x, vf y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_LT_OQ));
}
SIMD vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SIMD vf vf_ldexp(vf a, vf n)
{
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(e, 23)));
}
SIMD float vf_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
SIMD float vf_maxval(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
SIMD vf vf_load_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}
SIMD void vf_store_f16(void *p, vf a)
{
    _mm_storeu_si128(p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
SIMD vf vf_load_bf16(const void *p)
{
    __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}
SIMD void vf_store_bf16(void *p, vf a)
{
    __m256i u = _mm256_castps_si256(a);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    r = _mm256_srli_epi32(_mm256_blendv_epi8(r, quiet, nan), 16);
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(r, r), 0x08);
    _mm_storeu_si128(p, _mm256_castsi256_si128(packed));
}
SIMD vf vf_load_i8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}
#define VB_BIAS   0
typedef __m256i vb;
typedef __m256i vi;
SIMD vb vb_load(const void *p)
{
    return _mm256_loadu_si256(p);
}
SIMD vb vb_spread(const void *p, const int bytes)
{
    int32_t x4;
    int64_t x8;
    switch (bytes) {
    case 4:
        memcpy(&x4, p, sizeof(x4));
        return _mm256_set1_epi32(x4);
    case 8:
        memcpy(&x8, p, sizeof(x8));
        return _mm256_set1_epi64x(x8);
    case 16:
        return _mm256_broadcastsi128_si256(_mm_loadu_si128(p));
    default:
        return vb_load(p);
    }
}
SIMD vi vi_load(const int32_t *p)
{
    return _mm256_loadu_si256((const void *)p);
}
SIMD vi vi_set1(int32_t x)
{
    return (vi)_mm256_set1_epi32(x);
}
SIMD vb vb_wide(vb x)
{
    return _mm256_xor_si256(x, _mm256_set1_epi8(-128));
}
SIMD vb vb_low(vb x)
{
    return _mm256_and_si256(x, _mm256_set1_epi8(15));
}
SIMD vb vb_high(vb x)
{
    return vb_low(_mm256_srli_epi16(x, 4));
}
SIMD vi vi_dot(vi acc, vb w, vb x)
{
    __m256i pairs = _mm256_maddubs_epi16(w, x);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
SIMD vi vi_dot_wide(vi acc, vb w, vb x)
{
    return vi_dot(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}
SIMD vf vf_from_vi(vi a)
{
    return _mm256_cvtepi32_ps(a);
}
SIMD vf vf_spread(const vf *s, const int first, const int group)
{
    int a = first % VF_N, b = group == 16 ? a + 1 : a;
    return _mm256_permutevar8x32_ps(s[first / VF_N], _mm256_setr_epi32(a, a, a, a, b, b, b, b));
}
SIMD void vf_store_i8(int8_t *p, vf x)
{
    __m256i i = _mm256_cvtps_epi32(x);
    __m128i w = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((void *)p, _mm_packs_epi16(w, w));
}
struct b64 {
    __m256i a, b;
};
SIMD void b64_store(void *q, struct b64 x)
{
    _mm256_storeu_si256(q, x.a);
    _mm256_storeu_si256((void *)((char *)q + 32), x.b);
}
SIMD struct b64 b64_load(const void *a, const void *b)
{
    return (struct b64){_mm256_loadu_si256(a), _mm256_loadu_si256(b)};
}
SIMD __m256i b64_nibbles32(const void *p)
{
    __m256i x = _mm256_broadcastsi128_si256(_mm_loadu_si128(p));
    return vb_low(_mm256_srlv_epi32(x, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)));
}
SIMD struct b64 b64_nibbles(const void *a, const void *b)
{
    return (struct b64){b64_nibbles32(a), b64_nibbles32(b)};
}
SIMD __m256i b64_field32(__m256i x, const int right, const char mask)
{
    x = right > 0 ? _mm256_srli_epi16(x, right) : right < 0 ? _mm256_slli_epi16(x, -right) : x;
    return _mm256_and_si256(x, _mm256_set1_epi8(mask));
}
SIMD struct b64 b64_field(struct b64 x, const int a, const int b, const char mask)
{
    return (struct b64){b64_field32(x.a, a, mask), b64_field32(x.b, b, mask)};
}
SIMD struct b64 b64_add(struct b64 y, struct b64 x, const int a, const int b, const char mask)
{
    return (struct b64){_mm256_or_si256(y.a, b64_field32(x.a, a, mask)),
                        _mm256_or_si256(y.b, b64_field32(x.b, b, mask))};
}
SIMD __m256i b64_sixteens32(__m256i y, uint32_t bits)
{
    const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
                                            0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)UINT64_C(0x8040201008040201));
    __m256i x = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte);
    x = _mm256_cmpeq_epi8(_mm256_and_si256(x, bit), bit);
    return _mm256_or_si256(y, _mm256_and_si256(x, _mm256_set1_epi8(16)));
}
SIMD struct b64 b64_sixteens(struct b64 x, uint64_t bits)
{
    return (struct b64){b64_sixteens32(x.a, (uint32_t)bits),
                        b64_sixteens32(x.b, (uint32_t)(bits >> 32))};
}
SIMD struct b64 b64_look_up(const void *levels, struct b64 x)
{
    __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128(levels));
    return (struct b64){_mm256_shuffle_epi8(table, x.a), _mm256_shuffle_epi8(table, x.b)};
}
SIMD struct b64 b64_xor(struct b64 x, const char mask)
{
    const __m256i m = _mm256_set1_epi8(mask);
    return (struct b64){_mm256_xor_si256(x.a, m), _mm256_xor_si256(x.b, m)};
}
SIMD float simd_half(const void *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof(h));
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}
#define SIMD_INT8 64
SIMD vi vi_scale(vi a, int32_t factor)
{
    return _mm256_mullo_epi32(a, _mm256_set1_epi32(factor));
}
SIMD void vi_store(int32_t *p, vi a)
{
    _mm256_storeu_si256((void *)p, a);
}
SIMD vb vb_sub(vb a, vb b)
{
    return _mm256_sub_epi8(a, b);
}
SIMD void vf_transpose(vf r[VF_N])
{
    __m256d d[8];
    for (int i = 0; i < 8; i += 4) {
        vf ab0 = _mm256_unpacklo_ps(r[i], r[i + 1]), ab1 = _mm256_unpackhi_ps(r[i], r[i + 1]);
        vf cd0 = _mm256_unpacklo_ps(r[i + 2], r[i + 3]),
           cd1 = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        d[i] = _mm256_unpacklo_pd(_mm256_castps_pd(ab0), _mm256_castps_pd(cd0));
        d[i + 1] = _mm256_unpackhi_pd(_mm256_castps_pd(ab0), _mm256_castps_pd(cd0));
        d[i + 2] = _mm256_unpacklo_pd(_mm256_castps_pd(ab1), _mm256_castps_pd(cd1));
        d[i + 3] = _mm256_unpackhi_pd(_mm256_castps_pd(ab1), _mm256_castps_pd(cd1));
    }
    for (int i = 0; i < 4; i++) {
        vf a = _mm256_castpd_ps(d[i]), b = _mm256_castpd_ps(d[i + 4]);
        r[i] = _mm256_permute2f128_ps(a, b, 0x20);
        r[i + 4] = _mm256_permute2f128_ps(a, b, 0x31);
    }
}

#elif defined(__ARM_NEON)
#include <arm_neon.h>

#define VF_N    4
#define GEMM_MR 6
#define GEMM_NV 4

typedef float32x4_t vf;

SIMD vf vf_zero(void)
{
    return vdupq_n_f32(0);
}
SIMD vf vf_set1(float x)
{
    return vdupq_n_f32(x);
}
SIMD vf vf_load(const float *p)
{
    return vld1q_f32(p);
}
SIMD void vf_store(float *p, vf x)
{
    vst1q_f32(p, x);
}
SIMD vf vf_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}
SIMD vf vf_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}
SIMD vf vf_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}
SIMD vf vf_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}
SIMD vf vf_max(vf a, vf b)
{
    return vmaxq_f32(a, b);
}
SIMD vf vf_min(vf a, vf b)
{
    return vminq_f32(a, b);
}
SIMD vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}
SIMD vf vf_abs(vf a)
{
    return vabsq_f32(a);
}
SIMD vf vf_select_neg(vf a, vf x, vf y)
{
    return vbslq_f32(vcltzq_f32(a), x, y);
}
SIMD vf vf_round(vf a)
{
    return vrndnq_f32(a);
}
SIMD vf vf_ldexp(vf a, vf n)
{
    int32x4_t e = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(e, 23)));
}
SIMD float vf_sum(vf a)
{
    return vaddvq_f32(a);
}
SIMD float vf_maxval(vf a)
{
    return vmaxvq_f32(a);
}
SIMD vf vf_load_f16(const void *p)
{
    float16x4_t h;
    memcpy(&h, p, sizeof(h));
    return vcvt_f32_f16(h);
}
SIMD void vf_store_f16(void *p, vf a)
{
    float16x4_t h = vcvt_f16_f32(a);
    memcpy(p, &h, sizeof(h));
}
SIMD vf vf_load_bf16(const void *p)
{
    uint16x4_t h;
    memcpy(&h, p, sizeof(h));
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}
SIMD void vf_store_bf16(void *p, vf a)
{
    uint32x4_t u = vreinterpretq_u32_f32(a);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    uint32x4_t r = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    r = vbslq_u32(vceqq_f32(a, a), r, vorrq_u32(u, vdupq_n_u32(0x400000)));
    uint16x4_t h = vshrn_n_u32(r, 16);
    memcpy(p, &h, sizeof(h));
}
SIMD vf vf_load_i8(const int8_t *p)
{
    int32_t raw;
    memcpy(&raw, p, sizeof(raw));
    int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(raw)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

#define VB_BIAS 0
typedef int8x16_t vb;
typedef int32x4_t vi;
SIMD vb vb_load(const void *p)
{
    return vld1q_s8(p);
}
SIMD vb vb_spread(const void *p, const int bytes)
{
    int32_t x4;
    int64_t x8;
    switch (bytes) {
    case 4:
        memcpy(&x4, p, sizeof(x4));
        return vreinterpretq_s8_s32(vdupq_n_s32(x4));
    case 8:
        memcpy(&x8, p, sizeof(x8));
        return vreinterpretq_s8_s64(vdupq_n_s64(x8));
    default:
        return vb_load(p);
    }
}
SIMD vi vi_load(const int32_t *p)
{
    return vld1q_s32(p);
}
SIMD vi vi_set1(int32_t x)
{
    return vdupq_n_s32(x);
}
SIMD vb vb_wide(vb x)
{
    return veorq_s8(x, vdupq_n_s8(-128));
}
SIMD vb vb_low(vb x)
{
    return vandq_s8(x, vdupq_n_s8(15));
}
SIMD vb vb_high(vb x)
{
    return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(x), 4));
}
SIMD vi vi_dot(vi acc, vb w, vb x)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(acc, w, x);
#else
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)));
    int32x4_t high = vpaddlq_s16(vmull_high_s8(w, x));
    return vaddq_s32(acc, vpaddq_s32(low, high));
#endif
}
SIMD vi vi_dot_wide(vi acc, vb w, vb x)
{
    return vi_dot(acc, w, x);
}
SIMD vf vf_from_vi(vi a)
{
    return vcvtq_f32_s32(a);
}
SIMD void vf_store_i8(int8_t *p, vf x)
{
    int16x4_t w = vqmovn_s32(vcvtnq_s32_f32(x));
    int8x8_t b = vqmovn_s16(vcombine_s16(w, w));
    memcpy(p, &b, VF_N);
}
SIMD void simd_look_up(const void *levels, void *x)
{
    vst1q_u8(x, vqtbl1q_u8(vld1q_u8(levels), vld1q_u8(x)));
}

#else /* generic */

#define VF_N    4
#define GEMM_MR 4
#define GEMM_NV 2

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vf_bits __attribute__((vector_size(16)));

SIMD vf vf_set1(float x)
{
    return (vf){x, x, x, x};
}
SIMD vf vf_zero(void)
{
    return vf_set1(0);
}
SIMD vf vf_load(const float *p)
{
    vf x;
    memcpy(&x, p, sizeof(x));
    return x;
}
SIMD void vf_store(float *p, vf x)
{
    memcpy(p, &x, sizeof(x));
}
SIMD vf vf_add(vf a, vf b)
{
    return a + b;
}
SIMD vf vf_sub(vf a, vf b)
{
    return a - b;
}
SIMD vf vf_mul(vf a, vf b)
{
    return a * b;
}
SIMD vf vf_div(vf a, vf b)
{
    return a / b;
}
SIMD vf vf_blend(vf_bits mask, vf x, vf y)
{
    return (vf)((mask & (vf_bits)x) | (~mask & (vf_bits)y));
}
SIMD vf vf_max(vf a, vf b)
{
    return vf_blend(a > b, a, b);
}
SIMD vf vf_min(vf a, vf b)
{
    return vf_blend(a < b, a, b);
}
SIMD vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
SIMD vf vf_abs(vf a)
{
    return (vf)((vf_bits)a & 0x7fffffff);
}
SIMD vf vf_select_neg(vf a, vf x, vf y)
{
    return vf_blend(a < vf_zero(), x, y);
}
SIMD vf vf_round(vf a)
{
    /* Adding 1.5 * 2^23 leaves no fraction bits; good for |a| < 2^22. */
    vf magic = vf_set1(12582912.0f);
    return (a + magic) - magic;
}
SIMD vf vf_ldexp(vf a, vf n)
{
    return a * (vf)((__builtin_convertvector(n, vf_bits) + 127) << 23);
}
SIMD float vf_sum(vf a)
{
    return (a[0] + a[2]) + (a[1] + a[3]);
}
SIMD float vf_maxval(vf a)
{
    float x = a[0] > a[1] ? a[0] : a[1], y = a[2] > a[3] ? a[2] : a[3];
    return x > y ? x : y;
}
SIMD vf vf_load_16(const void *p, float (*to_f32)(uint16_t))
{
    uint16_t h[VF_N];
    memcpy(h, p, sizeof(h));
    return (vf){to_f32(h[0]), to_f32(h[1]), to_f32(h[2]), to_f32(h[3])};
}
SIMD void vf_store_16(void *p, vf a, uint16_t (*from_f32)(float))
{
    uint16_t h[VF_N] = {from_f32(a[0]), from_f32(a[1]), from_f32(a[2]), from_f32(a[3])};
    memcpy(p, h, sizeof(h));
}
SIMD vf vf_load_f16(const void *p)
{
    return vf_load_16(p, half_to_f32);
}
SIMD void vf_store_f16(void *p, vf a)
{
    vf_store_16(p, a, half_from_f32);
}
SIMD vf vf_load_bf16(const void *p)
{
    return vf_load_16(p, bf16_to_f32);
}
SIMD void vf_store_bf16(void *p, vf a)
{
    vf_store_16(p, a, bf16_from_f32);
}
SIMD vf vf_load_i8(const int8_t *p)
{
    return (vf){(float)p[0], (float)p[1], (float)p[2], (float)p[3]};
}
#define VB_BIAS 0
typedef int8_t vb __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
SIMD vb vb_load(const void *p)
{
    vb x;
    memcpy(&x, p, sizeof(x));
    return x;
}
SIMD vb vb_spread(const void *p, const int bytes)
{
    char x[16];
    for (int i = 0; i < 16; i += bytes)
        memcpy(x + i, p, (size_t)bytes);
    return vb_load(x);
}
SIMD vi vi_load(const int32_t *p)
{
    vi x;
    memcpy(&x, p, sizeof(x));
    return x;
}
SIMD vi vi_set1(int32_t x)
{
    return (vi){x, x, x, x};
}
SIMD vb vb_wide(vb x)
{
    return x ^ -128;
}
SIMD vb vb_low(vb x)
{
    return x & 15;
}
SIMD vb vb_high(vb x)
{
    return (x >> 4) & 15;
}
SIMD vi vi_dot(vi acc, vb w, vb x)
{
    for (int i = 0; i < VF_N; i++)
        acc[i] += w[4 * i] * x[4 * i] + w[4 * i + 1] * x[4 * i + 1] + w[4 * i + 2] * x[4 * i + 2] +
                  w[4 * i + 3] * x[4 * i + 3];
    return acc;
}
SIMD vi vi_dot_wide(vi acc, vb w, vb x)
{
    return vi_dot(acc, w, x);
}
SIMD void vf_store_i8(int8_t *p, vf x)
{
    x = vf_round(vf_min(vf_set1(127), vf_max(vf_set1(-127), x)));
    for (int i = 0; i < VF_N; i++)
        p[i] = (int8_t)(x[i] == x[i] ? x[i] : 0);
}
SIMD void simd_look_up(const void *levels, void *x)
{
    uint8_t *q = x;
    for (int i = 0; i < 16; i++)
        q[i] = ((const uint8_t *)levels)[q[i]];
}
SIMD vf vf_from_vi(vi a)
{
    return __builtin_convertvector(a, vf);
}
#endif

#if !defined(__AVX2__) /* sets of four floats */
typedef uint8_t b16 __attribute__((vector_size(16)));
struct b64 {
    b16 part[4];
};
SIMD void b64_store(void *q, struct b64 x)
{
    memcpy(q, &x, sizeof(x));
}
SIMD struct b64 b64_load(const void *a, const void *b)
{
    struct b64 x;
    memcpy(&x, a, 32);
    memcpy(&x.part[2], b, 32);
    return x;
}
SIMD struct b64 b64_nibbles(const void *a, const void *b)
{
    b16 x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (struct b64){{x & 15, x >> 4, y & 15, y >> 4}};
}
SIMD struct b64 b64_field(struct b64 x, const int a, const int b, const char mask)
{
    for (int i = 0; i < 4; i++) {
        const int right = i < 2 ? a : b;
        x.part[i] = (right < 0 ? x.part[i] << -right : x.part[i] >> right) & (uint8_t)mask;
    }
    return x;
}
SIMD struct b64 b64_add(struct b64 y, struct b64 x, const int a, const int b, const char mask)
{
    x = b64_field(x, a, b, mask);
    for (int i = 0; i < 4; i++)
        y.part[i] |= x.part[i];
    return y;
}
SIMD struct b64 b64_sixteens(struct b64 y, uint64_t bits)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t x[8];
    for (int i = 0; i < 8; i++) {
        x[i] = (bits >> 8 * i & 255) * ones & UINT64_C(0x8040201008040201); /* bit j in byte j */
        x[i] = (x[i] + 0x7f * ones) >> 3 & 0x10 * ones;
    }
    return b64_add(y, b64_load(x, x + 4), 0, 0, 16);
}
SIMD struct b64 b64_look_up(const void *levels, struct b64 x)
{
    for (int i = 0; i < 4; i++)
        simd_look_up(levels, &x.part[i]);
    return x;
}
SIMD struct b64 b64_xor(struct b64 x, const char mask)
{
    for (int i = 0; i < 4; i++)
        x.part[i] ^= (uint8_t)mask;
    return x;
}
SIMD vf vf_spread(const vf *s, const int first, const int group)
{
    (void)group;
    return vf_set1(s[first / VF_N][first % VF_N]);
}
SIMD float simd_half(const void *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof(h));
    return half_to_f32(h);
}

/* Without masked loads; n < VF_N. */
SIMD void vf_transpose(vf r[VF_N])
{
    vf a = r[0], b = r[1], c = r[2], d = r[3];
    for (int i = 0; i < VF_N; i++)
        r[i] = (vf){a[i], b[i], c[i], d[i]};
}
SIMD vf vf_load_n(const float *p, int n)
{
    float x[VF_N] = {0};
    for (int i = 0; i < n; i++)
        x[i] = p[i];
    return vf_load(x);
}
SIMD void vf_store_n(float *p, vf a, int n)
{
    float x[VF_N];
    vf_store(x, a);
    for (int i = 0; i < n; i++)
        p[i] = x[i];
}
#endif

/* vf_max and vf_min return their second operand when one is NaN (on NEON: NaN), so that limits
 * written as vf_max(limit, x) let NaN through and a broken model is noticed. */

/* e^x within 2 ulp for -87 <= x <= 88, clamped outside. x = n ln 2 + r, |r| <= ln 2 / 2, and the
 * Taylor series of e^r to r^7. */
SIMD vf vf_exp(vf x)
{
    x = vf_min(vf_set1(88.0f), vf_max(vf_set1(-87.0f), x));
    vf n = vf_round(vf_mul(x, vf_set1(1.44269504089f)));
    vf r = vf_fma(n, vf_set1(-0.693145751953125f), x); /* ln 2 in two parts */
    r = vf_fma(n, vf_set1(-1.42860682030941723e-6f), r);
    vf p = vf_set1(1.0f / 5040);
    p = vf_fma(p, r, vf_set1(1.0f / 720));
    p = vf_fma(p, r, vf_set1(1.0f / 120));
    p = vf_fma(p, r, vf_set1(1.0f / 24));
    p = vf_fma(p, r, vf_set1(1.0f / 6));
    p = vf_fma(p, r, vf_set1(0.5f));
    p = vf_fma(p, r, vf_set1(1.0f));
    p = vf_fma(p, r, vf_set1(1.0f));
    return vf_ldexp(p, n);
}

/* 2^x within 2 ulp for -126 <= x <= 127, clamped below. x = n + f, |f| <= 1/2; the polynomial has
 * the least relative error with p(0) = 1, 9e-8. */
SIMD vf vf_exp2(vf x)
{
    x = vf_max(vf_set1(-126.0f), x);
    vf n = vf_round(x), f = vf_sub(x, n);
    vf p = vf_set1(0.001326472731f);
    p = vf_fma(p, f, vf_set1(0.009671512991f));
    p = vf_fma(p, f, vf_set1(0.055507335812f));
    p = vf_fma(p, f, vf_set1(0.240222424269f));
    p = vf_fma(p, f, vf_set1(0.693147003651f));
    p = vf_fma(p, f, vf_set1(1.0f));
    return vf_ldexp(p, n);
}

#if defined(SIMD_BF16)
/* 2^x within 7.5e-5, a 50th of the last bit of bf16, for x <= 127; less than 2^-126 becomes that.
 * 2^x = 2^floor(x) 2^f, which the last instruction does with its own floor. */
SIMD vf vf_exp2_bf16(vf x)
{
    x = vf_max(vf_set1(-126.0f), x);
    vf f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    vf p = vf_set1(0.078024523f);
    p = vf_fma(p, f, vf_set1(0.226067155f));
    p = vf_fma(p, f, vf_set1(0.695833541f));
    p = vf_fma(p, f, vf_set1(0.999925219f));
    return _mm512_scalef_ps(p, x);
}
#endif

SIMD vf vf_sigmoid(vf x)
{
    return vf_div(vf_set1(1.0f), vf_add(vf_set1(1.0f), vf_exp(vf_sub(vf_zero(), x))));
}

/* The same, good enough for results that are rounded to bf16. */
SIMD vf vf_sigmoid_bf16(vf x)
{
#if defined(SIMD_BF16)
    return _mm512_rcp14_ps(vf_add(vf_set1(1.0f), vf_exp2_bf16(vf_mul(x, vf_set1(-1.44269504f)))));
#else
    return vf_sigmoid(x);
#endif
}

SIMD vf vf_tanh(vf x)
{
    vf e = vf_exp(vf_add(x, x));
    return vf_sub(vf_set1(1.0f), vf_div(vf_set1(2.0f), vf_add(e, vf_set1(1.0f))));
}

/* erf(x) within 2e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26). */
SIMD vf vf_erf(vf x)
{
    vf a = vf_abs(x);
    vf t = vf_div(vf_set1(1.0f), vf_fma(a, vf_set1(0.3275911f), vf_set1(1.0f)));
    vf p = vf_set1(1.061405429f);
    p = vf_fma(p, t, vf_set1(-1.453152027f));
    p = vf_fma(p, t, vf_set1(1.421413741f));
    p = vf_fma(p, t, vf_set1(-0.284496736f));
    p = vf_fma(p, t, vf_set1(0.254829592f));
    p = vf_mul(vf_mul(p, t), vf_exp(vf_sub(vf_zero(), vf_mul(a, a))));
    vf y = vf_sub(vf_set1(1.0f), p);
    return vf_select_neg(x, vf_sub(vf_zero(), y), y);
}

#endif
