// cublaslt.cc: matrix products as cuBLASLt defines them: column-major, in fp32, over strided
// batches. It refuses what the real one refuses, reads nothing else, and spoils its workspace.
#include "cublasLt.h"

#include <cstring>
#include <utility>
#include <vector>

#include "quern/bf16.h"
#include "simt/config.h"
#include "simt/cuda/emulated/memory.h"
#include "simt/stream.h"
#include "simt/text.h"

struct cublasLtContext {};

struct cublasLtMatmulDesc {
    cublasOperation_t op_a, op_b;
};

struct cublasLtMatrixLayout {
    cudaDataType type;
    int64_t rows, cols, ld;
    int32_t batch;
    int64_t step;

    size_t element() const { return type == CUDA_R_16BF ? 2 : 4; }
};

struct cublasLtMatmulPreference {
    size_t workspace;
    uint32_t align_a, align_b, align_c, align_d;
};

// What an algorithm was chosen for, in its opaque words.
struct Chosen {
    uint64_t workspace, align[4], rows, cols, depth;
};
static_assert(sizeof(Chosen) == sizeof(cublasLtMatmulAlgo_t), "fills the words");

// ---- handles and descriptions -------------------------------------------------------------

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out) {
    *out = new cublasLtContext();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasLtGetStatusName(cublasStatus_t status) {
    return status == CUBLAS_STATUS_INVALID_VALUE   ? "CUBLAS_STATUS_INVALID_VALUE"
           : status == CUBLAS_STATUS_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                                   : "another status";
}

template <typename T> static cublasStatus_t set(T *member, const void *value, size_t size) {
    if (size != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(member, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    *out = new cublasLtMatmulDesc{CUBLAS_OP_N, CUBLAS_OP_N};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t size) {
    return set(attribute == CUBLASLT_MATMUL_DESC_TRANSA ? &product->op_a : &product->op_b, value,
               size);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
    delete product;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
    if (rows == 0 || cols == 0 || ld < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
    *out = new cublasLtMatrixLayout{type, (int64_t)rows, (int64_t)cols, ld, 1, 0};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *value, size_t size) {
    return attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? set(&layout->batch, value, size)
                                                           : set(&layout->step, value, size);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) {
    *out = new cublasLtMatmulPreference{0, 256, 256, 256, 256};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t size) {
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set(&preference->workspace, value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return set(&preference->align_a, value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return set(&preference->align_b, value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return set(&preference->align_c, value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(&preference->align_d, value, size);
    }
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

// ---- choosing -------------------------------------------------------------------------------

// Whether op(a) (rows,depth) · op(b) (depth,cols) = c, batch for batch.
static bool fits(const cublasLtMatmulDesc &product, const cublasLtMatrixLayout &a,
                 const cublasLtMatrixLayout &b, const cublasLtMatrixLayout &c) {
    const bool turn_a = product.op_a == CUBLAS_OP_T, turn_b = product.op_b == CUBLAS_OP_T;
    const int64_t rows = turn_a ? a.cols : a.rows, depth = turn_a ? a.rows : a.cols;
    return rows == c.rows && (turn_b ? b.rows : b.cols) == c.cols &&
           (turn_b ? b.cols : b.rows) == depth && a.batch == c.batch && b.batch == c.batch;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int *returned) {
    *returned = 0;
    if (requested < 1 || !fits(*product, *a, *b, *c) || c->type != d->type)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (a->type != CUDA_R_16BF || b->type != CUDA_R_16BF) return CUBLAS_STATUS_NOT_SUPPORTED;
    const int64_t depth = product->op_a == CUBLAS_OP_T ? a->rows : a->cols;
    const Chosen chosen = {
        preference->workspace,
        {preference->align_a, preference->align_b, preference->align_c, preference->align_d},
        (uint64_t)c->rows,
        (uint64_t)c->cols,
        (uint64_t)depth};
    memcpy(&results[0].algo, &chosen, sizeof chosen);
    results[0].workspaceSize = preference->workspace;
    results[0].state = CUBLAS_STATUS_SUCCESS;
    *returned = 1;
    return CUBLAS_STATUS_SUCCESS;
}

// ---- multiplying ------------------------------------------------------------------------------

namespace {

// A matrix of a batch, read and written as op says.
struct Matrix {
    char *data;
    const cublasLtMatrixLayout *layout;
    bool turned;

    char *at(int64_t batch, int64_t row, int64_t col) const {
        if (turned) std::swap(row, col);
        return data + (batch * layout->step + col * layout->ld + row) * (int64_t)layout->element();
    }
    float load(int64_t batch, int64_t row, int64_t col) const {
        float x;
        uint16_t bits;
        if (layout->type == CUDA_R_32F) {
            memcpy(&x, at(batch, row, col), sizeof x);
            return x;
        }
        memcpy(&bits, at(batch, row, col), sizeof bits);
        return qn_float_of_bf16(bits);
    }
    void store(int64_t batch, int64_t row, int64_t col, float x) const {
        const uint16_t bits = qn_bf16_of_float(x);
        if (layout->type == CUDA_R_32F)
            memcpy(at(batch, row, col), &x, sizeof x);
        else
            memcpy(at(batch, row, col), &bits, sizeof bits);
    }
    // Every row of every matrix lies in device memory, aligned as was said.
    void check(const char *name, uint64_t alignment) const {
        for (int64_t i = 0; i < layout->batch; i++) {
            const char *begin = data + i * layout->step * (int64_t)layout->element();
            if ((uintptr_t)begin % alignment)
                throw simt::Error(simt::format("cublasLtMatmul: %s %lld of a batch is not aligned "
                                               "to the %llu bytes it was said to be",
                                               name, (long long)i, (unsigned long long)alignment));
            for (int64_t col = 0; col < layout->cols; col++)
                simt::check_device_range(begin + col * layout->ld * (int64_t)layout->element(),
                                         (size_t)layout->rows * layout->element(),
                                         "cublasLtMatmul");
        }
    }
};

struct Product {
    Matrix a, b, c, d;
    cublasLtMatrixLayout layouts[4];
    Chosen chosen;
    float alpha, beta;
    void *workspace;

    void run() {
        a.layout = &layouts[0], b.layout = &layouts[1];
        c.layout = &layouts[2], d.layout = &layouts[3];
        if (chosen.workspace) memset(workspace, 0xff, chosen.workspace);
        for (int64_t batch = 0; batch < d.layout->batch; batch++) run_batch(batch);
    }

  private:
    void run_batch(int64_t batch) const {
        const int64_t rows = (int64_t)chosen.rows, depth = (int64_t)chosen.depth;
        std::vector<float> left(rows * depth), sums(rows);
        for (int64_t k = 0; k < depth; k++)
            for (int64_t row = 0; row < rows; row++) left[k * rows + row] = a.load(batch, row, k);
        for (int64_t col = 0; col < (int64_t)chosen.cols; col++) {
            sums.assign(rows, 0);
            for (int64_t k = 0; k < depth; k++) {
                const float x = b.load(batch, k, col);
                for (int64_t row = 0; row < rows; row++) sums[row] += left[k * rows + row] * x;
            }
            for (int64_t row = 0; row < rows; row++) {
                float x = alpha * sums[row];
                if (beta != 0) x += beta * c.load(batch, row, col);
                d.store(batch, row, col, x);
            }
        }
    }
};

} // namespace

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
    Chosen chosen;
    memcpy(&chosen, algorithm, sizeof chosen);
    if (!fits(*product, *a_layout, *b_layout, *c_layout) || workspace_bytes < chosen.workspace)
        return CUBLAS_STATUS_INVALID_VALUE;
    Product p = {{(char *)a, a_layout, product->op_a == CUBLAS_OP_T},
                 {(char *)b, b_layout, product->op_b == CUBLAS_OP_T},
                 {(char *)c, c_layout, false},
                 {(char *)d, d_layout, false},
                 {*a_layout, *b_layout, *c_layout, *d_layout},
                 chosen,
                 *(const float *)alpha,
                 *(const float *)beta,
                 workspace};
    p.a.check("A", chosen.align[0]);
    p.b.check("B", chosen.align[1]);
    p.c.check("C", chosen.align[2]);
    p.d.check("D", chosen.align[3]);
    simt::check_device_range(workspace, chosen.workspace, "cublasLtMatmul, workspace");
    simt::enqueue(stream, [p]() mutable { p.run(); });
    return CUBLAS_STATUS_SUCCESS;
}
