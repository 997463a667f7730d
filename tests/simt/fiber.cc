#include "simt/fiber.h"

#include <cstdlib>
#include <new>
#include <pthread.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// ---- the switch ---------------------------------------------------------------------

#ifndef SIMT_PORTABLE_FIBERS
// Saves the registers that a call preserves on the stack, and the stack pointer in *save.
extern "C" void simt_fiber_switch(void **save, void *stack_pointer);
asm(R"(
.text
.globl simt_fiber_switch
.type simt_fiber_switch, @function
simt_fiber_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.size simt_fiber_switch, .-simt_fiber_switch
)");
#endif

namespace simt {

static constexpr size_t kStackSize = 256 * 1024, kGuardSize = 4096;

static void switch_registers(Fiber &from, Fiber &to) {
#ifdef SIMT_PORTABLE_FIBERS
    swapcontext(&from.context, &to.context);
#else
    simt_fiber_switch(&from.stack_pointer, to.stack_pointer);
#endif
}

// ---- what AddressSanitizer is told -----------------------------------------------------

static void announce_switch([[maybe_unused]] void **save, [[maybe_unused]] const Fiber &to) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(save, to.stack, to.stack_size);
#endif
}

static void announce_arrival([[maybe_unused]] void *fake_stack) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

static void forget_stack_poison([[maybe_unused]] const Fiber &fiber) {
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(fiber.stack, fiber.stack_size);
#endif
}

// ---- fibers -------------------------------------------------------------------------

void fiber_allocate(Fiber &fiber) {
    void *memory = mmap(nullptr, kGuardSize + kStackSize, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, kGuardSize, PROT_NONE)) throw std::bad_alloc();
    fiber.stack = (uint8_t *)memory + kGuardSize;
    fiber.stack_size = kStackSize;
}

static void (*next_entry)();

static void start() {
    announce_arrival(nullptr);
    next_entry();
    abort();
}

void fiber_prepare(Fiber &fiber, void (*entry)()) {
    next_entry = entry;
    forget_stack_poison(fiber);
    fiber.fake_stack = nullptr;
#ifdef SIMT_PORTABLE_FIBERS
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = fiber.stack_size;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, start, 0);
#else
    void **top = (void **)(fiber.stack + fiber.stack_size);
    *--top = nullptr; // a return address for start(), which keeps the stack aligned
    *--top = (void *)start;
    for (int i = 0; i < 6; i++) *--top = nullptr; // the six registers
    fiber.stack_pointer = top;
#endif
}

// Reading the bounds is slow, and they do not change.
static Fiber stack_of_caller() {
    pthread_attr_t attributes;
    void *stack;
    Fiber fiber;
    if (pthread_getattr_np(pthread_self(), &attributes)) throw std::bad_alloc();
    pthread_attr_getstack(&attributes, &stack, &fiber.stack_size);
    pthread_attr_destroy(&attributes);
    fiber.stack = (uint8_t *)stack;
    return fiber;
}

void fiber_adopt_caller(Fiber &fiber) {
    static const Fiber caller = stack_of_caller();
    fiber.stack = caller.stack;
    fiber.stack_size = caller.stack_size;
}

void fiber_switch(Fiber &from, Fiber &to) {
    announce_switch(&from.fake_stack, to);
    switch_registers(from, to);
    announce_arrival(from.fake_stack);
}

void fiber_leave(Fiber &from, Fiber &to) {
    announce_switch(nullptr, to);
    switch_registers(from, to);
    abort();
}

} // namespace simt
