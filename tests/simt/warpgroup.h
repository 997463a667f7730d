// warpgroup.h: what the four warps of a warpgroup do together, and the registers they hand to
// each other (PTX ISA 9.7.20.5, setmaxnreg).
#ifndef QUERN_TESTS_SIMT_WARPGROUP_H
#define QUERN_TESTS_SIMT_WARPGROUP_H

#include <array>
#include <cstdint>

#include "simt/where.h"

namespace simt {

struct Block;
struct Thread;

constexpr int kRegistersOfBlock = 65536, kMostRegisters = 256;

// The thread's warp does its next step of this kind. The four warps must do the same steps, in
// the same order and with the same arguments, but none waits for another.
void step_with_warpgroup(Thread &thread, const char *operation,
                         const std::array<uint64_t, 4> &arguments, Where where);
// Fails when a warp has not done what others of its warpgroup did.
void check_warpgroups_done(Block &block);

// Registers that each thread of the warpgroup may use from here on: a multiple of 8 from 24 to
// 256, not fewer (raise) or not more (lower) than before. A raise waits until the block has
// them; the compiler gave it the most that its number of threads allows.
void registers_raise(int n, Where where);
void registers_lower(int n, Where where);

// True in one lane of the warp, which depends on the seed.
bool elect_one(Where where);

} // namespace simt

#endif
