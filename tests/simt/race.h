// race.h: the race detector. Two accesses to the same byte, one of them a write, race unless
// one happened before the other.
#ifndef QUERN_TESTS_SIMT_RACE_H
#define QUERN_TESTS_SIMT_RACE_H

#include "simt/machine.h"

namespace simt {

inline bool race_enabled() { return kRaceBuild && machine->config.race; }

enum class Access { kRead, kWrite, kAtomic };

// An access to shared or device memory by a thread; to other memory none. Reports a race and
// goes on. Ends the launch when the memory is not the thread's to use.
void check_access(Thread &thread, const void *address, size_t n, Access access, Site site);

// An access by an asynchronous engine: it begins when the thread issues it, and is over once
// a thread knows the agent's epoch.
struct Agent {
    uint32_t number, epoch;
};
void check_copy(Thread &thread, Agent agent, const void *address, size_t n, Access access,
                Site site);

// A number for one more engine of the block.
uint32_t new_agent(Block &block);

// What the launch's races add to its error.
std::string race_reports();

} // namespace simt

#endif
