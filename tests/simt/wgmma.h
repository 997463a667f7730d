// wgmma.h: matrix products of a warpgroup (PTX ISA 9.7.15), warp by warp: warp w has rows 16w
// to 16w+15.
#ifndef QUERN_TESTS_SIMT_WGMMA_H
#define QUERN_TESTS_SIMT_WGMMA_H

#include <cstdint>

#include "simt/where.h"

namespace simt {

struct WgmmaShape {
    int n;
    bool a_mn_major, b_mn_major;
};

// d: n/2 registers a lane. They hold NaNs until waited for, and are not to be changed; nor may
// another shape use them. a: four registers a lane, or null, and then in shared memory.
// Reported, beside what descriptors and warpgroups must be: no wgmma_fence since the last
// wait; arguments that differ between lanes; registers that were changed in flight.
void wgmma(const WgmmaShape &shape, float *d, const uint32_t *a, uint64_t a_descriptor,
           uint64_t b_descriptor, bool accumulate, Where where);

void wgmma_fence(Where where);
void wgmma_commit(Where where);
// Completes all but the n newest groups of the warp.
void wgmma_wait(int n, Where where);

} // namespace simt

#endif
