// swizzle.h: how TMA and wgmma spread the rows of a tile over the banks of shared memory.
#ifndef QUERN_TESTS_SIMT_SWIZZLE_H
#define QUERN_TESTS_SIMT_SWIZZLE_H

#include <cstdint>

namespace simt {

// Where a tile of rows of `span` bytes (32, 64, 128; 0: not swizzled) keeps what the plain
// layout keeps at this address: bits 4 and up are exclusive-ored with bits 7 and up.
inline uint32_t swizzled(uint32_t address, uint32_t span) {
    uint32_t units = span ? span / 16 - 1 : 0;
    return address ^ ((address >> 3) & (units << 4));
}

} // namespace simt

#endif
