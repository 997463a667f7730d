// race.h: the race detector. Two accesses to the same byte, one of them a write, race unless
// one happened before the other.
#ifndef QUERN_TESTS_SIMT_RACE_H
#define QUERN_TESTS_SIMT_RACE_H

#include <string>

#include "simt/machine.h"

namespace simt {

inline bool race_enabled() { return kRaceBuild && machine->config.race; }

enum class Access { kRead, kWrite, kAtomic };

// ---- nothing outside the race build -----------------------------------------------------

// An access by a thread to shared or device memory; other memory is not watched. A race is
// reported, and the launch goes on; it throws at its end.
void check_access(Thread &thread, const void *address, size_t n, Access access, Site site);

// An access by an asynchronous engine of the thread's block. It begins when the thread issues
// it, and is over once a thread knows that epoch of the agent.
struct Agent {
    uint32_t number, epoch;
};
void check_copy(Thread &thread, Agent agent, const void *address, size_t n, Access access,
                Site site);

// A number for one more engine of the block.
uint32_t new_agent(Block &block);

// An access by the kernel's own code. Memory that is not the thread's to use ends the launch.
void check_instrumented(Thread &thread, const void *address, size_t n, Access access,
                        const void *pc);

// A line for each race of the launch.
std::string race_reports();

} // namespace simt

#endif
