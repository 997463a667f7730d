// device.h: launches and memory for tests of the primitives, on a GPU (nvcc) or on the layer.
#ifndef QUERN_TESTS_PRIM_DEVICE_H
#define QUERN_TESTS_PRIM_DEVICE_H

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "cuda/prim/prim.h"

#ifndef __CUDACC__
#include "simt/sweep.h"
#endif

namespace prim {

#ifdef __CUDACC__
inline void *allocate(size_t bytes) {
    void *p = nullptr;
    return cudaMalloc(&p, bytes) == cudaSuccess ? p : nullptr;
}
inline void release(void *p) { cudaFree(p); }
inline bool copy(void *to, const void *from, size_t bytes) {
    return cudaMemcpy(to, from, bytes, cudaMemcpyDefault) == cudaSuccess;
}
// A launch ran to its end without an error.
inline bool finished() {
    cudaError_t error = cudaDeviceSynchronize();
    if (error != cudaSuccess) fprintf(stderr, "%s\n", cudaGetErrorString(error));
    return error == cudaSuccess;
}
// Lets the kernel have more than 48 KB of shared memory.
inline bool allow_shared(const void *kernel, uint32_t bytes) {
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) ==
           cudaSuccess;
}
// On a GPU the schedule is what it is.
template <typename Test> void for_each_schedule(Test test) { test(); }
#else
inline void *allocate(size_t bytes) { return simt::device_allocate(bytes); }
inline void release(void *p) { simt::device_free(p); }
inline bool copy(void *to, const void *from, size_t bytes) {
    memcpy(to, from, bytes);
    return true;
}
inline bool finished() { return true; } // else the launch has thrown
inline bool allow_shared(const void *kernel, uint32_t bytes) {
    return simt::allow_shared(kernel, bytes) == 0;
}
template <typename Test> void for_each_schedule(Test test) { simt::for_each_schedule(8, test); }
#endif

// An array in device memory.
template <typename T> class Array {
  public:
    explicit Array(size_t n) : n_(n), data_((T *)allocate(n * sizeof(T))) {}
    explicit Array(const std::vector<T> &values) : Array(values.size()) {
        EXPECT_TRUE(copy(data_, values.data(), n_ * sizeof(T)));
    }
    ~Array() { release(data_); }
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;

    T *get() const { return data_; }
    std::vector<T> values() const {
        std::vector<T> host(n_);
        EXPECT_TRUE(copy(host.data(), data_, n_ * sizeof(T)));
        return host;
    }

  private:
    size_t n_;
    T *data_;
};

// ---- numbers, computed on the host by themselves --------------------------------------------

inline float float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
inline uint32_t bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float float_of_bf16(uint16_t bits) { return float_of_bits((uint32_t)bits << 16); }

// Bits of bf16 between −1 and 1 in size and not tiny: products of two are exact in fp32.
inline std::vector<uint16_t> random_bf16(size_t n, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<uint16_t> values(n);
    for (uint16_t &v : values) {
        uint32_t sign = random() % 2, exponent = 115 + random() % 12, mantissa = random() % 128;
        v = (uint16_t)(sign << 15 | exponent << 7 | mantissa);
    }
    return values;
}

} // namespace prim

#endif
