// device_memory.h: global memory with guard pages around each allocation, full of NaNs until
// written, watched by the race detector. Kernels may use other memory too, unwatched.
#ifndef QUERN_TESTS_SIMT_DEVICE_MEMORY_H
#define QUERN_TESTS_SIMT_DEVICE_MEMORY_H

#include <cstddef>

#include "simt/where.h"

namespace simt {

// Aligned to 256 bytes. The host may read and write it. Throws std::bad_alloc when the 16 GB
// for all allocations are used up; freed ones are not reused, so that a stale pointer faults.
void *device_allocate(size_t bytes);
void device_free(void *p);

// Fails unless the n bytes lie in one allocation or, all of them, outside device memory.
void check_device_bounds(const void *p, size_t n, const char *operation, Where where);

} // namespace simt

#endif
