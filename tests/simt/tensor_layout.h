// tensor_layout.h: what a tensor map says. For the layer's own files.
#ifndef QUERN_TESTS_SIMT_TENSOR_LAYOUT_H
#define QUERN_TESTS_SIMT_TENSOR_LAYOUT_H

#include <cstdint>

#include "simt/tensor_map.h"

namespace simt {

constexpr int kMostDims = 5;

struct TensorLayout {
    uint32_t mark; // of a map that was encoded
    uint8_t rank, element_bytes;
    uint16_t span; // of the swizzle, in bytes; 0: none
    uint8_t *base;
    uint64_t dims[kMostDims];    // 1 past the rank
    uint64_t strides[kMostDims]; // in bytes; that of the innermost is element_bytes
    uint16_t box[kMostDims];     // 1 past the rank
};
static_assert(sizeof(TensorLayout) <= sizeof(CUtensorMap));

// False when the map was never encoded.
bool read_layout(const CUtensorMap &map, TensorLayout &layout);

uint32_t bytes_of_box(const TensorLayout &layout);

} // namespace simt

#endif
