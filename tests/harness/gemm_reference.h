// gemm_reference.h: the matrix product and its epilogues, as ops.h defines them.
#ifndef QUERN_TESTS_GEMM_REFERENCE_H
#define QUERN_TESTS_GEMM_REFERENCE_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace reference {

// The nearest bf16, ties to even, by arithmetic rather than by bits.
inline float round_bf16(float x) {
    if (x == 0 || !std::isfinite(x)) return x;
    int exponent;
    std::frexp(x, &exponent);
    if (exponent < -125) exponent = -125; // subnormals share one step
    double step = std::ldexp(1.0, exponent - 8);
    return (float)(std::nearbyint((double)x / step) * step);
}

inline std::vector<float> round_bf16(std::vector<float> x) {
    for (float &value : x) value = round_bf16(value);
    return x;
}

template <typename T> struct Matrix {
    int64_t rows, cols;
    std::vector<T> data;
    T operator()(int64_t i, int64_t j, bool transpose) const {
        return transpose ? data[(size_t)(j * cols + i)] : data[(size_t)(i * cols + j)];
    }
};

// op(A) (M,K) · op(B) (K,N)
template <typename T>
std::vector<T> product(const Matrix<T> &a, bool transpose_a, const Matrix<T> &b, bool transpose_b) {
    int64_t m = transpose_a ? a.cols : a.rows, k = transpose_a ? a.rows : a.cols;
    int64_t n = transpose_b ? b.rows : b.cols;
    std::vector<T> c((size_t)(m * n));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            T sum = 0;
            for (int64_t l = 0; l < k; l++) sum += a(i, l, transpose_a) * b(l, j, transpose_b);
            c[(size_t)(i * n + j)] = sum;
        }
    return c;
}

// Σₖ op(A)[m,k] for every m
template <typename T> std::vector<T> sums_along_k(const Matrix<T> &a, bool transpose) {
    int64_t m = transpose ? a.cols : a.rows, k = transpose ? a.rows : a.cols;
    std::vector<T> sums((size_t)m);
    for (int64_t i = 0; i < m; i++)
        for (int64_t l = 0; l < k; l++) sums[(size_t)i] += a(i, l, transpose);
    return sums;
}

template <typename T> T gelu(T x) {
    const T root = (T)0.79788456080286535588; // √(2/π)
    return (T)0.5 * x * (1 + std::tanh(root * (x + (T)0.044715 * x * x * x)));
}

template <typename T> T dgelu(T x) {
    const T root = (T)0.79788456080286535588;
    T t = std::tanh(root * (x + (T)0.044715 * x * x * x));
    T du = root * (1 + (T)(3 * 0.044715) * x * x);
    return (T)0.5 * (1 + t) + (T)0.5 * x * (1 - t * t) * du;
}

} // namespace reference

#endif
