// atomics.h: what orders threads through global memory: atomics (relaxed), fences, semaphores.
#ifndef QUERN_TESTS_SIMT_ATOMICS_H
#define QUERN_TESTS_SIMT_ATOMICS_H

#include <cstdint>

#include "simt/where.h"

namespace simt {

// Each returns the old value. Defined in atomics.cc for int32_t, uint32_t, unsigned long long,
// float and double, and not inline: the race build would see a read and a write, and might
// preempt between them.
template <typename T> T atomic_add(T *p, T x, Where where);
template <typename T> T atomic_max(T *p, T x, Where where);
template <typename T> T atomic_min(T *p, T x, Where where);
template <typename T> T atomic_exchange(T *p, T x, Where where);
template <typename T> T atomic_compare_and_swap(T *p, T expected, T x, Where where);

void thread_fence();

void semaphore_wait(const int32_t *p, int32_t value, Where where);
void semaphore_release(int32_t *p, int32_t value, Where where);

} // namespace simt

#endif
