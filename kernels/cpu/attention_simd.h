/* attention_simd.h: vectors as wide as the machine's, in GCC's portable vector types,
 * and the few operations on them that attention needs. */
#ifndef QUERN_CPU_ATTENTION_SIMD_H
#define QUERN_CPU_ATTENTION_SIMD_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE__)
#include <immintrin.h>
#endif

/* LANES floats a vector. BLOCK_ROWS × 3 vectors of accumulators, 3 of one operand and
 * a broadcast of the other fill the registers: 16 of them up to AVX2, 32 in AVX-512
 * and NEON. */
#if defined(__AVX512F__)
enum { LANES = 16, BLOCK_ROWS = 8 };
#define INTERLEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define INTERLEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX__)
enum { LANES = 8, BLOCK_ROWS = 4 };
#define INTERLEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define INTERLEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#if defined(__aarch64__)
enum { LANES = 4, BLOCK_ROWS = 8 };
#else
enum { LANES = 4, BLOCK_ROWS = 4 };
#endif
#define INTERLEAVE_LOW 0, 4, 1, 5
#define INTERLEAVE_HIGH 2, 6, 3, 7
#endif

typedef float vfloat __attribute__((vector_size(4 * LANES)));
typedef int32_t vint __attribute__((vector_size(4 * LANES)));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE vfloat vload(const float *p) {
    vfloat x;
    memcpy(&x, p, sizeof x);
    return x;
}

ALWAYS_INLINE vint vload_int(const int32_t *p) {
    vint x;
    memcpy(&x, p, sizeof x);
    return x;
}

ALWAYS_INLINE void vstore(float *p, vfloat x) { memcpy(p, &x, sizeof x); }

ALWAYS_INLINE vfloat vset(float x) { return x - (vfloat){0}; }

ALWAYS_INLINE vint vset_int(int32_t x) { return x - (vint){0}; }

/* Makes the compiler hold x in a register; it would rather load it anew for every use, and
 * there are fewer loads than multiply-adds in a cycle. */
ALWAYS_INLINE vfloat vhold(vfloat x) {
#if defined(__x86_64__)
    __asm__("" : "+v"(x));
#elif defined(__aarch64__)
    __asm__("" : "+w"(x));
#endif
    return x;
}

/* 0, 1, 2, … */
ALWAYS_INLINE vint vlane(void) {
    vint lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane;
}

/* Lanes of a where the mask has all ones, of b where it has zeros. */
ALWAYS_INLINE vfloat vselect(vint mask, vfloat a, vfloat b) {
    return (vfloat)((mask & (vint)a) | (~mask & (vint)b));
}

/* a > b ? a : b, which is b where either is NaN. */
ALWAYS_INLINE vfloat vmax(vfloat a, vfloat b) {
#if defined(__AVX512F__)
    return (vfloat)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (vfloat)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE__)
    return (vfloat)_mm_max_ps((__m128)a, (__m128)b);
#else
    return vselect(a > b, a, b);
#endif
}

/* 2^x for x < 128: 0 below −126.5, NaN for NaN. x = n + r with |r| ≤ ½; 2^r by a
 * polynomial of degree 6 (Cephes exp2f); 2^n by its exponent bits, which the magic
 * number's own low bits bias by 127. */
ALWAYS_INLINE vfloat vexp2(vfloat x) {
    const float magic = 12582912.0f + 127.0f; /* 1.5·2²³: adding it rounds to an integer */
    vfloat y = vmax(vset(-127.0f), x);
    vfloat shifted = y + magic;
    vfloat r = y - (shifted - magic);
    vfloat p = r * 1.535336188319500e-4f + 1.339887440266574e-3f;
    p = p * r + 9.618437357674640e-3f;
    p = p * r + 5.550332471162809e-2f;
    p = p * r + 2.402264791363012e-1f;
    p = p * r + 6.931472028550421e-1f;
    vfloat scale = (vfloat)((vint)shifted << 23);
    return (p * r) * scale + scale;
}

/* Rows become columns: after log2(LANES) rounds of interleaving row i with row
 * i + LANES/2, element (i, j) stands at (j, i). */
ALWAYS_INLINE void vtranspose(vfloat x[LANES]) {
    for (int round = 1; round < LANES; round *= 2) {
        vfloat y[LANES];
        for (int i = 0; i < LANES / 2; i++) {
            y[2 * i] = __builtin_shuffle(x[i], x[i + LANES / 2], (vint){INTERLEAVE_LOW});
            y[2 * i + 1] = __builtin_shuffle(x[i], x[i + LANES / 2], (vint){INTERLEAVE_HIGH});
        }
        for (int i = 0; i < LANES; i++) x[i] = y[i];
    }
}

#endif
