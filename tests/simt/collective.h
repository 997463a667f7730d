// collective.h: operations that the lanes of a warp do together.
#ifndef QUERN_TESTS_SIMT_COLLECTIVE_H
#define QUERN_TESTS_SIMT_COLLECTIVE_H

#include <array>
#include <cstdint>

#include "simt/where.h"

namespace simt {

// Arguments of each lane of the mask; null for other lanes.
struct Lanes {
    uint32_t mask;
    std::array<void *, 32> arguments;
    Where where;
};

// Waits for all lanes of the mask; the last one to arrive computes for all. Reported: another
// operation, place or mask of a lane in the mask; a lane that has exited.
using CollectiveFunction = void (*)(const Lanes &lanes);
void collective(uint32_t mask, const char *operation, CollectiveFunction compute, void *arguments,
                Where where);

void sync_warp(uint32_t mask, Where where);

// value of lane `source`, a lane of the mask.
struct Shuffle {
    uint64_t value;
    int source;
};
uint64_t shuffle(uint32_t mask, const char *operation, Shuffle arguments, Where where);
uint32_t ballot(uint32_t mask, const char *operation, bool predicate, Where where);

} // namespace simt

#endif
