// memory.h: is memory what a call of the runtime or of cuBLASLt takes it for?
#ifndef QUERN_TESTS_SIMT_CUDA_MEMORY_H
#define QUERN_TESTS_SIMT_CUDA_MEMORY_H

#include <cstddef>

namespace simt {

// Throws Error unless the n bytes lie in one allocation or, all of them, outside device memory.
void check_device_range(const void *p, size_t n, const char *operation);

} // namespace simt

#endif
