/* values.h: every name of cuBLASLt and CUPTI whose value the emulated headers repeat. */
#ifndef QUERN_TESTS_SIMT_CUDA_VALUES_H
#define QUERN_TESTS_SIMT_CUDA_VALUES_H

#define CUBLASLT_VALUES(V)                                                                         \
    V(CUBLAS_VER_MAJOR)                                                                            \
    V(CUBLAS_STATUS_SUCCESS)                                                                       \
    V(CUBLAS_STATUS_NOT_INITIALIZED)                                                               \
    V(CUBLAS_STATUS_ALLOC_FAILED)                                                                  \
    V(CUBLAS_STATUS_INVALID_VALUE)                                                                 \
    V(CUBLAS_STATUS_ARCH_MISMATCH)                                                                 \
    V(CUBLAS_STATUS_EXECUTION_FAILED)                                                              \
    V(CUBLAS_STATUS_NOT_SUPPORTED)                                                                 \
    V(CUDA_R_32F)                                                                                  \
    V(CUDA_R_16BF)                                                                                 \
    V(CUBLAS_OP_N)                                                                                 \
    V(CUBLAS_OP_T)                                                                                 \
    V(CUBLAS_COMPUTE_32F)                                                                          \
    V(CUBLASLT_MATMUL_DESC_TRANSA)                                                                 \
    V(CUBLASLT_MATMUL_DESC_TRANSB)                                                                 \
    V(CUBLASLT_MATMUL_DESC_EPILOGUE)                                                               \
    V(CUBLASLT_MATMUL_DESC_BIAS_POINTER)                                                           \
    V(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER)                                                   \
    V(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD)                                                        \
    V(CUBLASLT_EPILOGUE_DEFAULT)                                                                   \
    V(CUBLASLT_EPILOGUE_BIAS)                                                                      \
    V(CUBLASLT_EPILOGUE_GELU_AUX)                                                                  \
    V(CUBLASLT_EPILOGUE_GELU_AUX_BIAS)                                                             \
    V(CUBLASLT_EPILOGUE_DGELU)                                                                     \
    V(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)                                                      \
    V(CUBLASLT_REDUCTION_SCHEME_MASK)                                                              \
    V(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT)                                                          \
    V(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET)                                                 \
    V(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)                                                    \
    V(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)                                                  \
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES)                                                  \
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES)                                                  \
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES)                                                  \
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)

#define CUPTI_VALUES(V)                                                                            \
    V(CUPTI_SUCCESS)                                                                               \
    V(CUPTI_ERROR_INVALID_PARAMETER)                                                               \
    V(CUPTI_ERROR_INVALID_OPERATION)                                                               \
    V(CUPTI_ERROR_OUT_OF_MEMORY)                                                                   \
    V(CUPTI_ERROR_MAX_LIMIT_REACHED)                                                               \
    V(CUPTI_ERROR_NOT_COMPATIBLE)                                                                  \
    V(CUPTI_ERROR_NOT_INITIALIZED)                                                                 \
    V(CUPTI_ERROR_QUEUE_EMPTY)                                                                     \
    V(CUPTI_ERROR_INVALID_KIND)                                                                    \
    V(CUPTI_ERROR_INSUFFICIENT_PRIVILEGES)                                                         \
    V(CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED)                                              \
    V(CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES)                                      \
    V(CUPTI_ACTIVITY_KIND_MEMCPY)                                                                  \
    V(CUPTI_ACTIVITY_KIND_MEMSET)                                                                  \
    V(CUPTI_ACTIVITY_KIND_KERNEL)                                                                  \
    V(CUPTI_ACTIVITY_KIND_DRIVER)                                                                  \
    V(CUPTI_ACTIVITY_KIND_RUNTIME)                                                                 \
    V(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL)                                                       \
    V(CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION)                                                    \
    V(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0)                                                     \
    V(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM1)                                                     \
    V(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED)                                                            \
    V(sizeof(CUpti_Activity))                                                                      \
    V(sizeof(CUpti_ActivityKernel9))                                                               \
    V(offsetof(CUpti_ActivityKernel9, start))                                                      \
    V(offsetof(CUpti_ActivityKernel9, end))                                                        \
    V(offsetof(CUpti_ActivityKernel9, correlationId))                                              \
    V(offsetof(CUpti_ActivityKernel9, name))                                                       \
    V(sizeof(CUpti_ActivityMemcpy5))                                                               \
    V(offsetof(CUpti_ActivityMemcpy5, start))                                                      \
    V(offsetof(CUpti_ActivityMemcpy5, end))                                                        \
    V(offsetof(CUpti_ActivityMemcpy5, correlationId))                                              \
    V(offsetof(CUpti_ActivityMemcpy5, runtimeCorrelationId))                                       \
    V(sizeof(CUpti_ActivityMemset4))                                                               \
    V(offsetof(CUpti_ActivityMemset4, start))                                                      \
    V(offsetof(CUpti_ActivityMemset4, end))                                                        \
    V(offsetof(CUpti_ActivityMemset4, correlationId))                                              \
    V(sizeof(CUpti_ActivityExternalCorrelation))                                                   \
    V(offsetof(CUpti_ActivityExternalCorrelation, externalKind))                                   \
    V(offsetof(CUpti_ActivityExternalCorrelation, externalId))                                     \
    V(offsetof(CUpti_ActivityExternalCorrelation, correlationId))                                  \
    V(sizeof(CUpti_ActivityAPI))                                                                   \
    V(offsetof(CUpti_ActivityAPI, correlationId))

/* Where NVIDIA's headers have both libraries. */
#ifdef WITH_CUPTI
#define ALL_VALUES(V) CUBLASLT_VALUES(V) CUPTI_VALUES(V)
#else
#define ALL_VALUES(V) CUBLASLT_VALUES(V)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* In the order above, by the emulated headers and by NVIDIA's. */
extern const long emulated_values[], nvidia_values[];

#ifdef __cplusplus
}
#endif
#endif
