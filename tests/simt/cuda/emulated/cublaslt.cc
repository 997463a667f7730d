// cublaslt.cc: descriptions, the choice of an algorithm, and the call. It refuses what the real
// one refuses by its manual and header, and what they leave open: an epilogue over a batch, a
// bias or an operand of an epilogue that is not aligned to 16 bytes, a workspace that is not to
// 256.
#include "simt/cuda/emulated/cublaslt.h"

#include <algorithm>
#include <cstring>

#include "simt/cuda/emulated/gpu.h"
#include "simt/stream.h"

using namespace simt;

struct cublasLtContext {};

enum { ALIGN_BYTES = 16, ALIGN_WORKSPACE = 256, ALIGN_AUX = 8, OUTPUT_PARTS = 8 };

static CublasLtUse use;
CublasLtUse simt::cublaslt_use() { return use; }

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

template <typename T> static cublasStatus_t create(T **out, T value) {
    *out = new T(value);
    use.descriptions++;
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T> static cublasStatus_t destroy(T *description) {
    use.descriptions -= description != nullptr;
    delete description;
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T> static cublasStatus_t set(T *member, const void *value, size_t size) {
    if (!value || size != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(member, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    return create(out, cublasLtMatmulDesc());
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t size) {
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(&product->op_a, value, size);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set(&product->op_b, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set(&product->epilogue, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(&product->bias, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        return set(&product->aux, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        return set(&product->aux_ld, value, size);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) { return destroy(product); }

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
    if (rows == 0 || cols == 0 || ld < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
    return create(out, cublasLtMatrixLayout{type, (int64_t)rows, (int64_t)cols, ld});
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *value, size_t size) {
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return set(&layout->batch, value, size);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return set(&layout->step, value, size);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    return destroy(layout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) {
    return create(out, cublasLtMatmulPreference());
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t size) {
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set(&preference->workspace, value, size);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return set(&preference->reductions, value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return set(&preference->alignment[0], value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return set(&preference->alignment[1], value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return set(&preference->alignment[2], value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(&preference->alignment[3], value, size);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    return destroy(preference);
}

// ---- what there is an algorithm for ------------------------------------------------------------

static bool is_aligned(const void *p) { return p && (uintptr_t)p % ALIGN_BYTES == 0; }

// What the manual's section on tensor cores asks for full efficiency, of each matrix: its address,
// its columns' distance, and the contiguous length of a column, are multiples of 16 bytes.
static bool lies_in_whole_vectors(const cublasLtMatrixLayout &x, const void *data) {
    const size_t column = (size_t)x.rows * x.element(), ld = (size_t)x.ld * x.element();
    return is_aligned(data) && column % ALIGN_BYTES == 0 && ld % ALIGN_BYTES == 0;
}

// op(a) (rows,depth) · op(b) (depth,cols) = d, batch for batch, and c is like d.
static bool fits(const cublasLtMatmulDesc &product, const cublasLtMatrixLayout &a,
                 const cublasLtMatrixLayout &b, const cublasLtMatrixLayout &c,
                 const cublasLtMatrixLayout &d) {
    const bool turn_a = product.op_a == CUBLAS_OP_T, turn_b = product.op_b == CUBLAS_OP_T;
    const int64_t rows = turn_a ? a.cols : a.rows, depth = turn_a ? a.rows : a.cols;
    return rows == d.rows && (turn_b ? b.rows : b.cols) == d.cols &&
           (turn_b ? b.cols : b.rows) == depth && a.batch == d.batch && b.batch == d.batch &&
           c.rows == d.rows && c.cols == d.cols && c.batch == d.batch && d.batch >= 1;
}

// What the epilogue is given is what it needs.
static bool has_extras(const cublasLtMatmulDesc &product, const cublasLtMatrixLayout &d) {
    if (product.takes_bias() && !is_aligned(product.bias)) return false;
    return !product.takes_aux() ||
           (is_aligned(product.aux) && product.aux_ld % ALIGN_AUX == 0 && product.aux_ld >= d.rows);
}

static bool is_known(cublasLtEpilogue_t epilogue) {
    return epilogue == CUBLASLT_EPILOGUE_DEFAULT || epilogue == CUBLASLT_EPILOGUE_BIAS ||
           epilogue == CUBLASLT_EPILOGUE_GELU_AUX || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS ||
           epilogue == CUBLASLT_EPILOGUE_DGELU;
}

static bool has_algorithm(const cublasLtMatmulDesc &product, const cublasLtMatrixLayout &a,
                          const cublasLtMatrixLayout &b, const cublasLtMatrixLayout &c,
                          const cublasLtMatrixLayout &d,
                          const cublasLtMatmulPreference &preference) {
    if (a.type != CUDA_R_16BF || b.type != CUDA_R_16BF || c.type != d.type) return false;
    if (product.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return gpu().has_products;
    for (uint32_t bytes : preference.alignment)
        if (bytes < ALIGN_BYTES) return false;
    return gpu().has_epilogues && d.type == CUDA_R_16BF && d.batch == 1;
}

// Everything that an algorithm is chosen for.
static uint64_t digest(const cublasLtMatmulDesc &product, const cublasLtMatrixLayout &a,
                       const cublasLtMatrixLayout &b, const cublasLtMatrixLayout &c,
                       const cublasLtMatrixLayout &d) {
    uint64_t h = 14695981039346656037u;
    auto take = [&](int64_t word) { h = (h ^ (uint64_t)word) * 1099511628211u; };
    for (int64_t word : {(int64_t)product.op_a, (int64_t)product.op_b, (int64_t)product.epilogue,
                         product.takes_aux() ? product.aux_ld : 0})
        take(word);
    for (const cublasLtMatrixLayout *x : {&a, &b, &c, &d})
        for (int64_t word : {(int64_t)x->type, x->rows, x->cols, x->ld, (int64_t)x->batch, x->step})
            take(word);
    return h;
}

static bool is_power_of_2(uint32_t x) { return x && !(x & (x - 1)); }

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int *returned) {
    use.heuristics++;
    *returned = 0;
    if (requested < 1 || !fits(*product, *a, *b, *c, *d) || !is_known(product->epilogue) ||
        !has_extras(*product, *d))
        return CUBLAS_STATUS_INVALID_VALUE;
    for (uint32_t bytes : preference->alignment)
        if (!is_power_of_2(bytes)) return CUBLAS_STATUS_INVALID_VALUE;
    use.aligned = *std::min_element(preference->alignment, preference->alignment + 4);
    if (!has_algorithm(*product, *a, *b, *c, *d, *preference)) return CUBLAS_STATUS_NOT_SUPPORTED;
    Chosen chosen = {};
    chosen.workspace = preference->workspace;
    for (int i = 0; i < 4; i++) chosen.alignment[i] = preference->alignment[i];
    chosen.problem = digest(*product, *a, *b, *c, *d);
    const bool only_fp32 = preference->reductions == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    chosen.parts = only_fp32 ? 1 : OUTPUT_PARTS;
    memcpy(&results[0].algo, &chosen, sizeof chosen);
    results[0].workspaceSize = preference->workspace;
    results[0].state = CUBLAS_STATUS_SUCCESS;
    *returned = 1;
    return CUBLAS_STATUS_SUCCESS;
}

// ---- multiplying ------------------------------------------------------------------------------

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
    if (gpu().product_error) return (cublasStatus_t)gpu().product_error;
    Chosen chosen;
    memcpy(&chosen, algorithm, sizeof chosen);
    if (chosen.problem != digest(*product, *a_layout, *b_layout, *c_layout, *d_layout) ||
        !has_extras(*product, *d_layout) || !a || !b || !d || (!c && *(const float *)beta != 0) ||
        (c == d && c_layout->ld != d_layout->ld))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (workspace_bytes < chosen.workspace ||
        (chosen.workspace && (!workspace || (uintptr_t)workspace % ALIGN_WORKSPACE)))
        return CUBLAS_STATUS_INVALID_VALUE;
    const Product p = {*product,
                       *a_layout,
                       *b_layout,
                       *c_layout,
                       *d_layout,
                       (const char *)a,
                       (const char *)b,
                       (const char *)c,
                       (char *)d,
                       *(const float *)alpha,
                       *(const float *)beta,
                       chosen,
                       workspace};
    p.check();
    use.products++;
    use.epilogues += product->epilogue != CUBLASLT_EPILOGUE_DEFAULT;
    use.unaligned += !lies_in_whole_vectors(*a_layout, a) || !lies_in_whole_vectors(*b_layout, b) ||
                     !lies_in_whole_vectors(*d_layout, d);
    enqueue(stream, Label{Label::kKernel, "emulated_gemm"}, [p] { p.run(); });
    return CUBLAS_STATUS_SUCCESS;
}
