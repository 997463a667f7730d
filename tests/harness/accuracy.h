// accuracy.h: when is a result good enough? When its error is at most twice the error
// that the plain computation in the same precision makes, plus one rounding of the
// result. References are templates: double gives the exact values, float the plain ones.
// Where results are stored in a narrower dtype, the plain computation rounds the exact ones
// to it.
#ifndef QUERN_TESTS_ACCURACY_H
#define QUERN_TESTS_ACCURACY_H

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "quern/bf16.h"
#include "quern/tensor.h"

namespace harness {

template <typename To, typename From> std::vector<To> convert(const std::vector<From> &x) {
    return std::vector<To>(x.begin(), x.end());
}

struct Error {
    double largest = 0, rms = 0;
};

template <typename T> Error error_of(const std::vector<T> &x, const std::vector<double> &exact) {
    Error e;
    for (size_t i = 0; i < x.size(); i++) {
        double d = std::fabs((double)x[i] - exact[i]);
        if (!(d <= e.largest)) e.largest = d; // takes a NaN, and keeps it
        e.rms += d * d;
    }
    e.rms = std::sqrt(e.rms / (double)(x.empty() ? 1 : x.size()));
    return e;
}

inline Error size_of(const std::vector<double> &exact) {
    return error_of(std::vector<double>(exact.size()), exact);
}

// The error of storing the exact values.
inline Error storage_error(qn_dtype storage, const std::vector<double> &exact) {
    if (storage == QN_F32) return {};
    std::vector<float> x = convert<float>(exact);
    for (float &value : x) value = qn_round_bf16(value);
    return error_of(x, exact);
}

// By the largest error and by the root of the mean square, of a result in a storage dtype.
// `term` is the size of the terms of a difference, where they may cancel to less than that.
inline void expect_stored(qn_dtype storage, const std::string &name,
                          const std::vector<float> &result, const std::vector<double> &exact,
                          const std::vector<float> &plain, double term = 0) {
    ASSERT_EQ(result.size(), exact.size()) << name;
    ASSERT_EQ(result.size(), plain.size()) << name;
    const double rounding = 0x1p-23;
    Error got = error_of(result, exact), size = size_of(exact);
    Error plain_error = error_of(plain, exact), stored = storage_error(storage, exact);
    double largest = plain_error.largest + stored.largest, rms = plain_error.rms + stored.rms;
    EXPECT_LE(got.largest, 2 * largest + rounding * std::max(size.largest, term))
        << name << ": largest error; the plain computation has " << largest;
    EXPECT_LE(got.rms, 2 * rms + rounding * std::max(size.rms, term))
        << name << ": rms error; the plain computation has " << rms;
}

// The same of an fp32 result.
inline void expect_accurate(const std::string &name, const std::vector<float> &result,
                            const std::vector<double> &exact, const std::vector<float> &plain,
                            double term = 0) {
    expect_stored(QN_F32, name, result, exact, plain, term);
}

// Each element by itself, within that many units in its last place.
inline void expect_ulps(const std::string &name, const std::vector<float> &result,
                        const std::vector<double> &exact, double ulps) {
    ASSERT_EQ(result.size(), exact.size()) << name;
    for (size_t i = 0; i < result.size(); i++)
        EXPECT_LE(std::fabs((double)result[i] - exact[i]),
                  ulps * (0x1p-23 * std::fabs(exact[i]) + 0x1p-126))
            << name << '[' << i << "] is " << result[i] << ", expected " << exact[i];
}

template <typename T>
void expect_same_bits(const std::string &name, const std::vector<T> &x, const std::vector<T> &y) {
    ASSERT_EQ(x.size(), y.size()) << name;
    EXPECT_TRUE(x.empty() || memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0)
        << name << ": the bits differ";
}

// gradient[i] is ∂f/∂x[i] at x, by central differences.
inline void expect_gradient(const std::string &name,
                            const std::function<double(const std::vector<double> &)> &f,
                            std::vector<double> x, const std::vector<double> &gradient) {
    ASSERT_EQ(x.size(), gradient.size()) << name;
    for (size_t i = 0; i < x.size(); i++) {
        const double at = x[i], step = 1e-5;
        x[i] = at + step;
        double up = f(x);
        x[i] = at - step;
        double down = f(x);
        x[i] = at;
        EXPECT_NEAR((up - down) / (2 * step), gradient[i], 1e-7 * (1 + std::fabs(gradient[i])))
            << name << '[' << i << ']';
    }
}

template <typename T> double dot(const std::vector<T> &x, const std::vector<T> &y) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); i++) sum += (double)x[i] * (double)y[i];
    return sum;
}

} // namespace harness

#endif
