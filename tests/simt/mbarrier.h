// mbarrier.h: barriers in shared memory that count arrivals and bytes (PTX ISA 9.7.12.15).
#ifndef QUERN_TESTS_SIMT_MBARRIER_H
#define QUERN_TESTS_SIMT_MBARRIER_H

#include <cstdint>

#include "simt/where.h"

namespace simt {

// Reported: a wrong address or alignment; a count outside 1 to 2^20−1; an mbarrier that was
// never initialised, was initialised twice, or whose bytes were overwritten; more arrivals than
// a phase has; more than 2^20−1 bytes expected; a wait that comes two phases late.
void mbarrier_init(uint32_t address, uint32_t count, Where where);
void mbarrier_init_fence();
void mbarrier_arrive(uint32_t address, uint32_t bytes, Where where);
void mbarrier_wait(uint32_t address, uint32_t parity, Where where);

void fence_proxy_async();

} // namespace simt

#endif
