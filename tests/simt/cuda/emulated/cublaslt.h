// cublaslt.h: what lies behind the handles of the emulated cuBLASLt.
#ifndef QUERN_TESTS_SIMT_CUDA_CUBLASLT_H
#define QUERN_TESTS_SIMT_CUDA_CUBLASLT_H

#include <cstddef>
#include <cstdint>

#include "cublasLt.h"

struct cublasLtMatmulDesc {
    cublasOperation_t op_a = CUBLAS_OP_N, op_b = CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = nullptr;
    void *aux = nullptr;
    int64_t aux_ld = 0;

    bool takes_bias() const {
        return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    }
    bool writes_aux() const {
        return epilogue == CUBLASLT_EPILOGUE_GELU_AUX ||
               epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    }
    bool takes_aux() const { return writes_aux() || epilogue == CUBLASLT_EPILOGUE_DGELU; }
};

struct cublasLtMatrixLayout {
    cudaDataType type;
    int64_t rows, cols, ld;
    int32_t batch = 1;
    int64_t step = 0;

    size_t element() const { return type == CUDA_R_16BF ? 2 : 4; }
};

struct cublasLtMatmulPreference {
    size_t workspace = 0;
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
    uint32_t alignment[4] = {256, 256, 256, 256}; // of A, B, C, D
};

namespace simt {

// What an algorithm was chosen for, in its opaque words.
struct Chosen {
    uint64_t workspace;
    uint64_t alignment[4]; // of A, B, C, D
    uint64_t problem;      // a digest of the descriptions
    uint64_t parts;        // of the sum over k, which meet in the type of D
    uint64_t unused;
};
static_assert(sizeof(Chosen) == sizeof(cublasLtMatmulAlgo_t), "fills the words");

// One call of cublasLtMatmul, all by value, since it may run after the descriptions are gone.
struct Product {
    cublasLtMatmulDesc desc;
    cublasLtMatrixLayout a_layout, b_layout, c_layout, d_layout;
    const char *a, *b, *c;
    char *d;
    float alpha, beta;
    Chosen chosen;
    void *workspace;

    // Throws Error unless every element lies in device memory, aligned as was said.
    void check() const;
    void run() const;
};

} // namespace simt

#endif
