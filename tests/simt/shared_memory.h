// shared_memory.h: a block's shared memory: a window of 256 KB that starts at 0x400 for
// the block's use, full of NaNs until written.
#ifndef QUERN_TESTS_SIMT_SHARED_MEMORY_H
#define QUERN_TESTS_SIMT_SHARED_MEMORY_H

#include <cstddef>
#include <cstdint>

#include "simt/where.h"

namespace simt {

// Dynamic shared memory of the running thread's block.
void *dynamic_shared();

// The static shared variable of that key (an address of the function's own), made on first use.
void *static_shared(const void *key, size_t size, size_t alignment, Where where);

uint32_t shared_address(const void *p, Where where);

} // namespace simt

#endif
