// mbarrier_copies.h: what bulk copies do with mbarriers. For the layer's own files.
#ifndef QUERN_TESTS_SIMT_MBARRIER_COPIES_H
#define QUERN_TESTS_SIMT_MBARRIER_COPIES_H

#include "simt/hopper_state.h"

namespace simt {

// The initialised mbarrier that a copy, issued now, will complete on.
Mbarrier &mbarrier_of_copy(Thread &thread, uint32_t address, const char *operation, Where where);

// The copy of that epoch has written its bytes.
void complete_bytes(Mbarrier &barrier, const Block &block, uint32_t bytes, uint32_t epoch);

// Fails when a copy was not waited for.
void check_mbarriers_done(Block &block);

} // namespace simt

#endif
