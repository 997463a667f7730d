/* values.h: every name of cuBLASLt whose value the emulated header repeats. */
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

#ifdef __cplusplus
extern "C" {
#endif

/* In the order above, by the emulated header and by NVIDIA's. */
extern const long emulated_values[], nvidia_values[];

#ifdef __cplusplus
}
#endif
#endif
