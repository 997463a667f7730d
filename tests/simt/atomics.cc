#include "simt/atomics.h"

#include <algorithm>
#include <unordered_map>

#include "simt/device_memory.h"
#include "simt/race.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/text.h"

namespace simt {

// ---- what a word of memory hands on ------------------------------------------------------

// A release replaces what the word carried; a relaxed atomic adds what its thread fenced
// before (C++ [atomics.fences]).
static void publish_fenced(Thread &thread, const void *p) {
    if (!race_enabled() || !thread.clock.fenced) return;
    KnowledgeSum sum;
    sum.add(machine->published[p]);
    sum.add(thread.clock.fenced);
    machine->published[p] = sum.result();
}

static void remember_for_fence(Thread &thread, const void *p) {
    if (!race_enabled()) return;
    KnowledgeSum sum;
    sum.add(thread.clock.read_by_atomics);
    sum.add(machine->published[p]);
    thread.clock.read_by_atomics = sum.result();
}

void thread_fence() {
    Thread &thread = self();
    if (!race_enabled()) return;
    acquire(thread, thread.clock.read_by_atomics);
    KnowledgeSum sum;
    release(thread, sum);
    thread.clock.fenced = sum.result();
}

// ---- atomics -----------------------------------------------------------------------------

template <typename T, typename Update>
static T update(T *p, Update updated, const char *operation, Where where) {
    Thread &thread = self();
    if ((uintptr_t)p % sizeof(T))
        fail_at(where, operation,
                format("address %p is not a multiple of %zu", (void *)p, sizeof(T)));
    check_device_bounds(p, sizeof(T), operation, where);
    check_access(thread, p, sizeof(T), Access::kAtomic, where);
    T old = *p;
    *p = updated(old);
    remember_for_fence(thread, p);
    publish_fenced(thread, p);
    ask_polling();
    yield(where); // a thread may spin on it
    return old;
}

template <typename T> T atomic_add(T *p, T x, Where where) {
    return update(
        p, [=](T old) { return (T)(old + x); }, "atomicAdd", where);
}
template <typename T> T atomic_max(T *p, T x, Where where) {
    return update(
        p, [=](T old) { return std::max(old, x); }, "atomicMax", where);
}
template <typename T> T atomic_min(T *p, T x, Where where) {
    return update(
        p, [=](T old) { return std::min(old, x); }, "atomicMin", where);
}
template <typename T> T atomic_exchange(T *p, T x, Where where) {
    return update(
        p, [=](T) { return x; }, "atomicExch", where);
}
template <typename T> T atomic_compare_and_swap(T *p, T expected, T x, Where where) {
    return update(
        p, [=](T old) { return old == expected ? x : old; }, "atomicCAS", where);
}

#define DEFINE_ATOMICS(T)                                                                          \
    template T atomic_add(T *, T, Where);                                                          \
    template T atomic_max(T *, T, Where);                                                          \
    template T atomic_min(T *, T, Where);                                                          \
    template T atomic_exchange(T *, T, Where);                                                     \
    template T atomic_compare_and_swap(T *, T, T, Where);
DEFINE_ATOMICS(int32_t)
DEFINE_ATOMICS(uint32_t)
DEFINE_ATOMICS(unsigned long long)
DEFINE_ATOMICS(float)
DEFINE_ATOMICS(double)

// ---- semaphores ----------------------------------------------------------------------------

static bool has_value(const Thread &thread) {
    return *(const int32_t *)thread.wait.object >= (int32_t)thread.wait.value;
}

static std::string value_wanted(const Thread &thread) {
    return format("it is %d, and waited for to reach %d", *(const int32_t *)thread.wait.object,
                  (int32_t)thread.wait.value);
}

void semaphore_wait(const int32_t *p, int32_t value, Where where) {
    Thread &thread = self();
    check_device_bounds(p, sizeof *p, "semaphore_wait", where);
    perhaps_yield(where);
    suspend_until(Wait{"a semaphore", where, value_wanted, p, value}, has_value);
    check_access(thread, p, sizeof *p, Access::kAtomic, where);
    if (race_enabled()) acquire(thread, machine->published[p]);
}

void semaphore_release(int32_t *p, int32_t value, Where where) {
    Thread &thread = self();
    check_device_bounds(p, sizeof *p, "semaphore_release", where);
    check_access(thread, p, sizeof *p, Access::kAtomic, where);
    if (race_enabled()) {
        KnowledgeSum sum;
        release(thread, sum);
        machine->published[p] = sum.result();
    }
    *p = value;
    ask_polling();
    yield(where);
}

} // namespace simt
