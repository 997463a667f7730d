// barrier.h: the block's barriers. As bar.sync.aligned has it, a warp arrives as one.
#ifndef QUERN_TESTS_SIMT_BARRIER_H
#define QUERN_TESTS_SIMT_BARRIER_H

#include "simt/where.h"

namespace simt {

constexpr int kWholeBlock = 0; // as a number of threads

// Reported: an id outside 0 to 15; a count that is no multiple of 32, more than the block has,
// or other than that of the arrivals before. Threads that exit instead end in a deadlock.
void barrier_sync(int id, int n_threads, Where where);
void barrier_arrive(int id, int n_threads, Where where);

} // namespace simt

#endif
