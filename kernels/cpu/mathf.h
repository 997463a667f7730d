/* mathf.h: elementary functions without branches or calls, so that a loop over
 * them vectorises. Errors are below 2 ulp in the ranges used here. */
#ifndef QUERN_CPU_MATHF_H
#define QUERN_CPU_MATHF_H

#include <stdint.h>
#include <string.h>

static inline float qn_float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t qn_bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* e^x: 0 below −87.33, e^88.37 above 88.37, NaN for NaN.
 * x = n·ln2 + r with |r| ≤ ln2/2; e^r by its Taylor terms, fitted at the ends
 * (Cephes expf); 2^n by its exponent bits. */
static inline float qn_expf(float x) {
    const float magic = 12582912.0f; /* 1.5·2²³: adding it rounds to an integer */
    float y = x > 88.37f ? 88.37f : x;
    y = y < -87.33f ? -87.33f : y;
    float shifted = y * 1.44269504f + magic;
    float n = shifted - magic;
    float r = y - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    float scale = qn_float_of_bits((qn_bits_of_float(shifted) << 23) + 0x3f800000u);
    return x < -87.33f ? 0.0f : p * scale;
}

static inline float qn_sigmoidf(float x) { return 1.0f / (1.0f + qn_expf(-x)); }

static inline float qn_tanhf(float x) { return 1.0f - 2.0f / (1.0f + qn_expf(2.0f * x)); }

#endif
