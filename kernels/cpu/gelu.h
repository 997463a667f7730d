/* gelu.h: GELU in its tanh approximation (Hendrycks & Gimpel 1606.08415),
 * ½x(1 + tanh u) = x·σ(2u), u = √(2/π)·(x + 0.044715x³). */
#ifndef QUERN_CPU_GELU_H
#define QUERN_CPU_GELU_H

#include "mathf.h"

/* e^(−2u); σ(2u) = 1/(1 + that). */
static inline float qn_gelu_expf(float x) {
    const float two_root = 1.5957691216f; /* 2·√(2/π) */
    return qn_expf(-two_root * (x + 0.044715f * x * x * x));
}

static inline float qn_geluf(float x) { return x / (1.0f + qn_gelu_expf(x)); }

/* σ + xσ(1 − σ)·2u′ with σ = σ(2u), where 1 − σ = e^(−2u)·σ keeps its digits. Beyond ±12
 * σ is 0 or 1 to the last bit, and the clamp keeps the polynomial finite. */
static inline float qn_dgeluf(float x) {
    float y = x > 12.0f ? 12.0f : x;
    y = y < -12.0f ? -12.0f : y;
    float e = qn_gelu_expf(y), s = 1.0f / (1.0f + e);
    return s + y * s * (e * s) * 1.5957691216f * (1.0f + 0.134145f * y * y);
}

#endif
