#include "simt/tensor_map.h"

#include <cstring>

#include "simt/tensor_layout.h"

namespace simt {

static constexpr uint32_t kMark = 0x70616d74, kMostBox = 256;
static constexpr uint64_t kMostDim = (uint64_t)1 << 32, kStrideLimit = (uint64_t)1 << 40;

bool read_layout(const CUtensorMap &map, TensorLayout &layout) {
    memcpy(&layout, &map, sizeof layout);
    return layout.mark == kMark;
}

uint32_t bytes_of_box(const TensorLayout &layout) {
    uint32_t bytes = layout.element_bytes;
    for (uint16_t side : layout.box) bytes *= side;
    return bytes;
}

static bool valid_dims(const TensorLayout &t) {
    for (int i = 0; i < t.rank; i++) {
        if (t.dims[i] < 1 || t.dims[i] > kMostDim || t.box[i] < 1) return false;
        if (i && (t.strides[i] % 16 || t.strides[i] >= kStrideLimit)) return false;
    }
    return (uintptr_t)t.base % 16 == 0;
}

static bool valid_rows(const TensorLayout &t) {
    uint32_t row = (uint32_t)t.box[0] * t.element_bytes;
    return row % 16 == 0 && (!t.span || row <= t.span);
}

static TensorLayout layout_of(CUtensorMapDataType type, uint32_t rank, void *address,
                              const uint64_t *dims, const uint64_t *strides, const uint32_t *box,
                              CUtensorMapSwizzle swizzle) {
    static const uint16_t spans[] = {0, 32, 64, 128};
    TensorLayout t = {};
    t.mark = kMark;
    t.rank = (uint8_t)rank;
    t.element_bytes = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 ? 4 : 2;
    t.span = spans[swizzle];
    t.base = (uint8_t *)address;
    for (uint32_t i = 0; i < kMostDims; i++) {
        t.dims[i] = i < rank ? dims[i] : 1;
        t.strides[i] = i == 0 ? t.element_bytes : i < rank ? strides[i - 1] : 0;
        t.box[i] = i < rank ? (uint16_t)(box[i] <= kMostBox ? box[i] : 0) : 1;
    }
    return t;
}

} // namespace simt

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, uint32_t rank,
                                void *address, const uint64_t *dims, const uint64_t *strides,
                                const uint32_t *box, const uint32_t *element_strides,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
    if (!map || (uintptr_t)map % 64 || !address || !dims || !box || !element_strides)
        return CUDA_ERROR_INVALID_VALUE;
    if (rank < 1 || rank > simt::kMostDims || (rank > 1 && !strides))
        return CUDA_ERROR_INVALID_VALUE;
    if (swizzle < CU_TENSOR_MAP_SWIZZLE_NONE || swizzle > CU_TENSOR_MAP_SWIZZLE_128B ||
        promotion < CU_TENSOR_MAP_L2_PROMOTION_NONE ||
        promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B)
        return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_TENSOR_MAP_DATA_TYPE_FLOAT32 && type != CU_TENSOR_MAP_DATA_TYPE_BFLOAT16)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
        return CUDA_ERROR_NOT_SUPPORTED;
    for (uint32_t i = 1; i < rank; i++)
        if (element_strides[i] != 1)
            return element_strides[i] - 1 < 8 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
    simt::TensorLayout layout = simt::layout_of(type, rank, address, dims, strides, box, swizzle);
    if (!simt::valid_dims(layout) || !simt::valid_rows(layout)) return CUDA_ERROR_INVALID_VALUE;
    memset(map, 0, sizeof *map);
    memcpy(map, &layout, sizeof layout);
    return CUDA_SUCCESS;
}
