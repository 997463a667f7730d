// tma.h: bulk copies of boxes of tensors (PTX ISA 9.7.8.25).
#ifndef QUERN_TESTS_SIMT_TMA_H
#define QUERN_TESTS_SIMT_TMA_H

#include <cstdint>

#include "simt/tensor_map.h"
#include "simt/where.h"

namespace simt {

using TensorMap = ::CUtensorMap;

// `at`: coordinates of the box's first element, innermost first, as many as `rank`. Reported:
// a map that was never encoded, or is of another rank; shared memory not aligned to 128 bytes,
// or for a swizzled map to 8 times its span; a box that exceeds shared or device memory.
void tma_load(uint32_t destination, const TensorMap *map, uint32_t mbarrier, const int32_t *at,
              int rank, Where where);
void tma_store(const TensorMap *map, uint32_t source, const int32_t *at, int rank, Where where);
void tma_reduce_add(const TensorMap *map, uint32_t source, const int32_t *at, int rank,
                    Where where);

} // namespace simt

#endif
