// tsan_hooks.cc: what -fsanitize=thread makes kernels call at each access to memory. These
// take the place of ThreadSanitizer's own library. Race build only.
#include "simt/config.h"

#ifdef SIMT_RACE

#include <cstddef>
#include <cstdint>

#include "simt/race.h"

namespace {

using simt::Access;

void access(const volatile void *p, size_t n, Access kind, const void *pc) {
    if (!simt::current) return;
    simt::check_instrumented(simt::self(), (const void *)p, n, kind, pc);
}

} // namespace

#define PC __builtin_return_address(0)

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}

#define READ_AND_WRITE(suffix, n)                                                                  \
    void __tsan_read##suffix(void *p) { access(p, n, Access::kRead, PC); }                         \
    void __tsan_write##suffix(void *p) { access(p, n, Access::kWrite, PC); }

#define ACCESSES(n)                                                                                \
    READ_AND_WRITE(n, n)                                                                           \
    void __tsan_unaligned_read##n(void *p) { access(p, n, Access::kRead, PC); }                    \
    void __tsan_unaligned_write##n(void *p) { access(p, n, Access::kWrite, PC); }                  \
    void __tsan_volatile_read##n(void *p) { access(p, n, Access::kRead, PC); }                     \
    void __tsan_volatile_write##n(void *p) { access(p, n, Access::kWrite, PC); }                   \
    void __tsan_unaligned_volatile_read##n(void *p) { access(p, n, Access::kRead, PC); }           \
    void __tsan_unaligned_volatile_write##n(void *p) { access(p, n, Access::kWrite, PC); }

ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void __tsan_read_range(void *p, size_t n) { access(p, n, Access::kRead, PC); }
void __tsan_write_range(void *p, size_t n) { access(p, n, Access::kWrite, PC); }

// The host side of a test file may use std::atomic; kernels do not.
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}

#define UPDATE(bits, T, name, builtin)                                                             \
    T __tsan_atomic##bits##_##name(volatile T *p, T x, int) { return builtin(p, x, 5); }

#define ATOMICS(bits, T)                                                                           \
    T __tsan_atomic##bits##_load(const volatile T *p, int) { return __atomic_load_n(p, 5); }       \
    void __tsan_atomic##bits##_store(volatile T *p, T x, int) { __atomic_store_n(p, x, 5); }       \
    UPDATE(bits, T, exchange, __atomic_exchange_n)                                                 \
    UPDATE(bits, T, fetch_add, __atomic_fetch_add)                                                 \
    UPDATE(bits, T, fetch_sub, __atomic_fetch_sub)                                                 \
    UPDATE(bits, T, fetch_and, __atomic_fetch_and)                                                 \
    UPDATE(bits, T, fetch_or, __atomic_fetch_or)                                                   \
    UPDATE(bits, T, fetch_xor, __atomic_fetch_xor)                                                 \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile T *p, T *expected, T x, int, int) { \
        return __atomic_compare_exchange_n(p, expected, x, false, 5, 5);                           \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile T *p, T *expected, T x, int, int) {   \
        return __atomic_compare_exchange_n(p, expected, x, true, 5, 5);                            \
    }

ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)
}

#endif
