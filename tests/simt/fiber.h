// fiber.h: stacks of their own, between which one OS thread switches.
#ifndef QUERN_TESTS_SIMT_FIBER_H
#define QUERN_TESTS_SIMT_FIBER_H

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__) || defined(SIMT_UCONTEXT)
#define SIMT_PORTABLE_FIBERS
#include <ucontext.h>
#endif

namespace simt {

struct Fiber {
    uint8_t *stack = nullptr; // lowest address; below it lies a page without access
    size_t stack_size = 0;
    void *fake_stack = nullptr; // AddressSanitizer's
#ifdef SIMT_PORTABLE_FIBERS
    ucontext_t context;
#else
    void *stack_pointer = nullptr;
#endif
};

// A stack for the fiber; it lives as long as the process.
void fiber_allocate(Fiber &fiber);

// The next switch to the fiber calls entry(), which must never return.
void fiber_prepare(Fiber &fiber, void (*entry)());

// Makes the caller's own stack a fiber that others can switch back to: always the same one.
void fiber_adopt_caller(Fiber &fiber);

// Leaves `from`, the running fiber, and goes on in `to`. Returns when another switches back.
void fiber_switch(Fiber &from, Fiber &to);

// The same for a fiber that will not be resumed.
void fiber_leave(Fiber &from, Fiber &to);

} // namespace simt

#endif
