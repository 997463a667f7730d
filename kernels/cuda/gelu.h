/* gelu.h: GELU in its tanh approximation (Hendrycks & Gimpel 1606.08415) and its derivative,
 * ½x(1 + tanh u) = x·σ(2u), u = √(2/π)·(x + 0.044715x³). Device code. */
#ifndef QUERN_CUDA_GELU_H
#define QUERN_CUDA_GELU_H

#include "prim/prim.h"

/* e^(−2u); σ(2u) = 1/(1 + that). The factor is 2·√(2/π)·log2 e. */
QN_DEVICE float gelu_exp(float x) { return exp2_approx(-2.3022082f * (x + 0.044715f * x * x * x)); }

QN_DEVICE float gelu(float x) { return x / (1.0f + gelu_exp(x)); }

/* σ + xσ(1 − σ)·2u′ with σ = σ(2u), where 1 − σ = e^(−2u)·σ keeps its digits. Beyond ±10 σ is 0
 * or 1 to the last bit, and the clamp keeps the exponential finite. A NaN stays one. */
QN_DEVICE float gelu_derivative(float x) {
    const float y = x > 10.0f ? 10.0f : x < -10.0f ? -10.0f : x;
    const float e = gelu_exp(y), s = 1.0f / (1.0f + e);
    return s + y * s * (e * s) * 1.5957691216f * (1.0f + 0.134145f * y * y);
}

#endif
