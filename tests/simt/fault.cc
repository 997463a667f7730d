#include "simt/fault.h"

#include <csignal>
#include <ucontext.h>

#include "simt/device_heap.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/site.h"
#include "simt/text.h"

namespace simt {

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)

static struct sigaction previous;
alignas(16) static char handler_stack[64 * 1024];
static const uint8_t *fault_address, *fault_code;

static std::string kind_of(const uint8_t *address) {
    const Fiber &fiber = self().fiber;
    if (in_device_heap(address))
        return "out of the bounds of device memory: " + place_in_heap(address);
    if (address < fiber.stack && address >= fiber.stack - 4096) return "its stack overflowed";
    return "no memory is there, or a vector is misaligned";
}

[[noreturn]] static void fail_at_fault() {
    fail_without_unwinding(
        format("%s: access to address %p, in %s: ", to_string(Site(fault_code + 1)).c_str(),
               (const void *)fault_address, to_string(self()).c_str()) +
        kind_of(fault_address));
}

// The thread goes on in fail_at_fault, at the top of its stack: what lies there is over.
static void on_fault(int signal, siginfo_t *info, void *context) {
    if (!current) { // not a kernel's: the fault happens again, with the handler of before
        sigaction(signal, &previous, nullptr);
        return;
    }
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    fault_address = (const uint8_t *)info->si_addr;
    fault_code = (const uint8_t *)registers[REG_RIP];
    uintptr_t top = (uintptr_t)(self().fiber.stack + self().fiber.stack_size);
    registers[REG_RSP] = (greg_t)(top - 8); // as after a call
    registers[REG_RIP] = (greg_t)fail_at_fault;
}

void catch_faults() {
    stack_t stack = {};
    stack.ss_sp = handler_stack;
    stack.ss_size = sizeof handler_stack;
    sigaltstack(&stack, nullptr);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &previous);
}

void release_faults() { sigaction(SIGSEGV, &previous, nullptr); }

#else

void catch_faults() {}
void release_faults() {}

#endif

} // namespace simt
