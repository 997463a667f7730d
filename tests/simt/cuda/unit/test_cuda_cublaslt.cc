// test_cuda_cublaslt.cc: the emulated cuBLASLt refuses what the real one refuses.
#include <gtest/gtest.h>

#include <vector>

#include "cublasLt.h"
#include "simt/device_memory.h"

namespace {

const int64_t kRows = 16, kCols = 8, kDepth = 24;

// D (16,8) = A (16,24) · B (24,8) with everything as it should be; tests change one thing.
class CublasLt : public testing::Test {
  protected:
    CublasLt() {
        for (void **x : {&a_data, &b_data, &d_data, &aux, &bias, &workspace})
            *x = simt::device_allocate(4096);
        cublasLtCreate(&handle);
        cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_GELU_AUX_BIAS);
        set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
        set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux);
        set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, kRows);
        describe(&a, CUDA_R_16BF, kRows, kDepth);
        describe(&b, CUDA_R_16BF, kDepth, kCols);
        describe(&d, CUDA_R_16BF, kRows, kCols);
        cublasLtMatmulPreferenceCreate(&preference);
        const size_t bytes = 256;
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, bytes);
        for (auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
            prefer(attribute, (uint32_t)16);
    }
    ~CublasLt() override {
        cublasLtMatmulPreferenceDestroy(preference);
        for (cublasLtMatrixLayout_t x : {a, b, d}) cublasLtMatrixLayoutDestroy(x);
        cublasLtMatmulDescDestroy(product);
        cublasLtDestroy(handle);
        for (void *x : {a_data, b_data, d_data, aux, bias, workspace}) simt::device_free(x);
    }

    template <typename T> cublasStatus_t set(cublasLtMatmulDescAttributes_t attribute, T value) {
        return cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value);
    }
    template <typename T>
    cublasStatus_t prefer(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
        return cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value);
    }
    static void describe(cublasLtMatrixLayout_t *out, cudaDataType type, int64_t rows,
                         int64_t cols) {
        ASSERT_EQ(cublasLtMatrixLayoutCreate(out, type, rows, cols, rows), CUBLAS_STATUS_SUCCESS);
    }
    // The status, or NOT_SUPPORTED for no result.
    cublasStatus_t choose() {
        int found = 0;
        const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, product, a, b, d, d,
                                                                     preference, 1, &best, &found);
        return status || found ? status : CUBLAS_STATUS_NOT_SUPPORTED;
    }
    cublasStatus_t multiply(size_t workspace_bytes = 256) {
        const float one = 1, zero = 0;
        return cublasLtMatmul(handle, product, &one, a_data, a, b_data, b, &zero, d_data, d, d_data,
                              d, &best.algo, workspace, workspace_bytes, nullptr);
    }

    void *a_data, *b_data, *d_data, *aux, *bias, *workspace;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t best;
};

TEST_F(CublasLt, TakesWhatFits) {
    EXPECT_EQ(choose(), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(multiply(), CUBLAS_STATUS_SUCCESS);
}

TEST_F(CublasLt, RefusesTheWrongScaleType) {
    cublasLtMatmulDesc_t other;
    EXPECT_EQ(cublasLtMatmulDescCreate(&other, CUBLAS_COMPUTE_32F, CUDA_R_16BF),
              CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_F(CublasLt, RefusesAttributesOfTheWrongSize) {
    EXPECT_EQ(set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, (int32_t)16), CUBLAS_STATUS_INVALID_VALUE);
    EXPECT_EQ(prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (size_t)16),
              CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLt, RefusesRowsOfAuxThatAreNoMultipleOf8) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, kRows + 4);
    EXPECT_EQ(choose(), CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLt, RefusesRowsOfAuxThatAreTooShort) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, kRows - 8);
    EXPECT_EQ(choose(), CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLt, RefusesAnAuxThatIsMissingOrMisaligned) {
    for (void *wrong : {(void *)nullptr, (void *)((char *)aux + 8)}) {
        set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, wrong);
        EXPECT_EQ(choose(), CUBLAS_STATUS_INVALID_VALUE);
    }
}

TEST_F(CublasLt, RefusesABiasThatIsMissingOrMisaligned) {
    ASSERT_EQ(choose(), CUBLAS_STATUS_SUCCESS);
    for (void *wrong : {(void *)nullptr, (void *)((char *)bias + 2)}) {
        set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, wrong);
        EXPECT_EQ(multiply(), CUBLAS_STATUS_INVALID_VALUE); // chosen with another
        EXPECT_EQ(choose(), CUBLAS_STATUS_INVALID_VALUE);
    }
}

TEST_F(CublasLt, RefusesDtypesThatHaveNoSuchProduct) {
    cublasLtMatrixLayoutDestroy(a);
    describe(&a, CUDA_R_32F, kRows, kDepth);
    EXPECT_EQ(choose(), CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_F(CublasLt, HasEpiloguesForBf16Only) {
    cublasLtMatrixLayoutDestroy(d);
    describe(&d, CUDA_R_32F, kRows, kCols);
    EXPECT_EQ(choose(), CUBLAS_STATUS_NOT_SUPPORTED);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT);
    EXPECT_EQ(choose(), CUBLAS_STATUS_SUCCESS);
}

TEST_F(CublasLt, RefusesShapesThatDoNotMatch) {
    cublasLtMatrixLayoutDestroy(b);
    describe(&b, CUDA_R_16BF, kDepth + 1, kCols);
    EXPECT_EQ(choose(), CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLt, RefusesAWorkspaceThatIsTooSmallOrMisaligned) {
    ASSERT_EQ(choose(), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(multiply(255), CUBLAS_STATUS_INVALID_VALUE);
    workspace = (char *)workspace + 128;
    EXPECT_EQ(multiply(), CUBLAS_STATUS_INVALID_VALUE);
    workspace = (char *)workspace - 128;
}

TEST_F(CublasLt, RefusesAnAlgorithmThatWasChosenForAnotherProduct) {
    ASSERT_EQ(choose(), CUBLAS_STATUS_SUCCESS);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    EXPECT_EQ(multiply(), CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLt, NoticesMemoryThatIsLessAlignedThanItWasSaidToBe) {
    ASSERT_EQ(choose(), CUBLAS_STATUS_SUCCESS);
    a_data = (char *)a_data + 2;
    EXPECT_THROW(multiply(), std::runtime_error);
    a_data = (char *)a_data - 2;
}

} // namespace
