// tensor_map.h: tensor maps for tests, from the driver or from the layer.
#ifndef QUERN_TESTS_PRIM_TENSOR_MAP_H
#define QUERN_TESTS_PRIM_TENSOR_MAP_H

#include "cuda/prim/hopper.h"
#include "prim/device.h"

namespace prim {

#ifdef __CUDACC__
// The driver's function, without linking the driver.
inline CUresult encode_tiled(CUtensorMap *map, CUtensorMapDataType type, uint32_t rank, void *base,
                             const uint64_t *dims, const uint64_t *strides, const uint32_t *box,
                             const uint32_t *steps, CUtensorMapInterleave interleave,
                             CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                             CUtensorMapFloatOOBfill fill) {
    static void *function = nullptr;
    cudaDriverEntryPointQueryResult found;
    if (!function && cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                      cudaEnableDefault, &found) != cudaSuccess)
        return CUDA_ERROR_NOT_FOUND;
    return ((decltype(&cuTensorMapEncodeTiled))function)(
        map, type, rank, base, (const cuuint64_t *)dims, (const cuuint64_t *)strides, box, steps,
        interleave, swizzle, promotion, fill);
}
#else
constexpr auto encode_tiled = cuTensorMapEncodeTiled;
#endif

struct Tensor {
    CUtensorMapDataType type;
    void *base;
    std::vector<uint64_t> dims, strides; // innermost first; strides in bytes, of the others
    std::vector<uint32_t> box;
    CUtensorMapSwizzle swizzle;
};

inline CUresult encode(const Tensor &t, qn_tensor_map *map) {
    std::vector<uint32_t> steps(t.dims.size(), 1);
    return encode_tiled(map, t.type, (uint32_t)t.dims.size(), t.base, t.dims.data(),
                        t.strides.data(), t.box.data(), steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
                        t.swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

} // namespace prim

#endif
