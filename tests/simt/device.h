// device.h: what CUDA C++ itself offers to kernels, as far as quern's kernels use it.
#ifndef QUERN_TESTS_SIMT_DEVICE_H
#define QUERN_TESTS_SIMT_DEVICE_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "simt/atomics.h"
#include "simt/barrier.h"
#include "simt/collective.h"
#include "simt/registers.h"
#include "simt/vector_types.h"
#include "simt/where.h"

// ---- qualifiers ------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __grid_constant__
#define __align__(n) alignas(n)

// ---- registers -------------------------------------------------------------------------

#define threadIdx (::simt::current->thread_index)
#define blockIdx (::simt::current->block_index)
#define blockDim (::simt::current->block_shape)
#define gridDim (::simt::current->grid_shape)
constexpr int warpSize = 32;

// ---- synchronising ------------------------------------------------------------------------

#define SIMT_HERE simt::Where where = simt::Where::here()

inline void __syncthreads(SIMT_HERE) { simt::barrier_sync(0, simt::kWholeBlock, where); }
inline void __syncwarp(uint32_t mask = ~0u, SIMT_HERE) { simt::sync_warp(mask, where); }
inline void __threadfence() { simt::thread_fence(); }
inline void __threadfence_block() { simt::thread_fence(); }

// ---- votes and shuffles ---------------------------------------------------------------------

inline uint32_t __ballot_sync(uint32_t mask, int predicate, SIMT_HERE) {
    return simt::ballot(mask, "__ballot_sync", predicate != 0, where);
}
inline int __any_sync(uint32_t mask, int predicate, SIMT_HERE) {
    return simt::ballot(mask, "__any_sync", predicate != 0, where) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, SIMT_HERE) {
    return simt::ballot(mask, "__all_sync", predicate == 0, where) == 0;
}

namespace simt {

inline int lane() {
    dim3 shape = current->block_shape;
    uint3 t = current->thread_index;
    return (int)((t.x + shape.x * (t.y + shape.y * t.z)) % 32);
}

template <typename T>
T shuffle_value(uint32_t mask, const char *operation, T value, int source, Where where) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = shuffle(mask, operation, {bits, source}, where);
    memcpy(&value, &bits, sizeof value);
    return value;
}

} // namespace simt

// In each a lane whose source lies outside its segment of `width` lanes keeps its own value.
template <typename T> T __shfl_sync(uint32_t mask, T value, int source, int width = 32, SIMT_HERE) {
    int segment = simt::lane() & ~(width - 1);
    return simt::shuffle_value(mask, "__shfl_sync", value, segment | (source & (width - 1)), where);
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int bits, int width = 32, SIMT_HERE) {
    int lane = simt::lane(), source = lane ^ bits;
    bool inside = source < (lane & ~(width - 1)) + width; // earlier segments may be read
    return simt::shuffle_value(mask, "__shfl_xor_sync", value, inside ? source : lane, where);
}
template <typename T>
T __shfl_up_sync(uint32_t mask, T value, unsigned by, int width = 32, SIMT_HERE) {
    int lane = simt::lane(), source = lane - (int)by;
    bool inside = source >= (lane & ~(width - 1));
    return simt::shuffle_value(mask, "__shfl_up_sync", value, inside ? source : lane, where);
}
template <typename T>
T __shfl_down_sync(uint32_t mask, T value, unsigned by, int width = 32, SIMT_HERE) {
    int lane = simt::lane(), source = lane + (int)by;
    bool inside = source < (lane & ~(width - 1)) + width;
    return simt::shuffle_value(mask, "__shfl_down_sync", value, inside ? source : lane, where);
}

// ---- atomics -----------------------------------------------------------------------------

namespace simt {
template <typename T> struct Same { using type = T; };
template <typename T> using same_t = typename Same<T>::type; // is not deduced
} // namespace simt

template <typename T> T atomicAdd(T *p, simt::same_t<T> x, SIMT_HERE) {
    return simt::atomic_add(p, x, where);
}
template <typename T> T atomicMax(T *p, simt::same_t<T> x, SIMT_HERE) {
    return simt::atomic_max(p, x, where);
}
template <typename T> T atomicMin(T *p, simt::same_t<T> x, SIMT_HERE) {
    return simt::atomic_min(p, x, where);
}
template <typename T> T atomicExch(T *p, simt::same_t<T> x, SIMT_HERE) {
    return simt::atomic_exchange(p, x, where);
}
template <typename T> T atomicCAS(T *p, simt::same_t<T> expected, simt::same_t<T> x, SIMT_HERE) {
    return simt::atomic_compare_and_swap(p, expected, x, where);
}

// ---- bits and numbers -----------------------------------------------------------------------

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }

template <typename To, typename From> To simt_bits(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
inline float __uint_as_float(uint32_t x) { return simt_bits<float>(x); }
inline float __int_as_float(int32_t x) { return simt_bits<float>(x); }
inline uint32_t __float_as_uint(float x) { return simt_bits<uint32_t>(x); }
inline int32_t __float_as_int(float x) { return simt_bits<int32_t>(x); }

inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }

template <typename A, typename B> constexpr std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    return (T)b < (T)a ? (T)b : (T)a;
}
template <typename A, typename B> constexpr std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    return (T)a < (T)b ? (T)b : (T)a;
}

template <typename T> T __ldg(const T *p) { return *p; }

#endif
