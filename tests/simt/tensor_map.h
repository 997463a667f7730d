/* tensor_map.h: tensor maps as the CUDA driver's API has them, as far as quern uses them: tiles
 * of bfloat16 and float. Names, values and checks are those of cuda.h. Also for C. */
#ifndef QUERN_TESTS_SIMT_TENSOR_MAP_H
#define QUERN_TESTS_SIMT_TENSOR_MAP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_NOT_SUPPORTED = 801,
} CUresult;

typedef enum {
    CU_TENSOR_MAP_DATA_TYPE_FLOAT32 = 7,
    CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9,
} CUtensorMapDataType;

typedef enum { CU_TENSOR_MAP_INTERLEAVE_NONE = 0 } CUtensorMapInterleave;

typedef enum {
    CU_TENSOR_MAP_SWIZZLE_NONE = 0,
    CU_TENSOR_MAP_SWIZZLE_32B = 1,
    CU_TENSOR_MAP_SWIZZLE_64B = 2,
    CU_TENSOR_MAP_SWIZZLE_128B = 3,
} CUtensorMapSwizzle;

typedef enum {
    CU_TENSOR_MAP_L2_PROMOTION_NONE = 0,
    CU_TENSOR_MAP_L2_PROMOTION_L2_64B = 1,
    CU_TENSOR_MAP_L2_PROMOTION_L2_128B = 2,
    CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3,
} CUtensorMapL2promotion;

typedef enum { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0 } CUtensorMapFloatOOBfill;

#ifdef __cplusplus
#define QN_ALIGNAS(n) alignas(n)
#else
#define QN_ALIGNAS(n) _Alignas(n)
#endif
typedef struct {
    QN_ALIGNAS(64) uint64_t opaque[16];
} CUtensorMap;
#undef QN_ALIGNAS

/* Dimensions innermost first; strides, in bytes, of all but the innermost. The strides of the
 * elements must be 1 (that of the innermost is not used). CUDA_ERROR_INVALID_VALUE where the driver
 * says so, and CUDA_ERROR_NOT_SUPPORTED for what the layer does not have. */
CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, uint32_t rank,
                                void *address, const uint64_t *dims, const uint64_t *strides,
                                const uint32_t *box, const uint32_t *element_strides,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill);

#ifdef __cplusplus
}
#endif

#endif
