/* plan.c: cuBLASLt is column-major: a row-major matrix is to it the transposed one, so
 * Cᵀ = op(B)ᵀ·op(A)ᵀ is what it computes, with B as its first operand. Rows of C are its columns,
 * and a bias along them is one along its rows, as its epilogues have it. */
#include "plan.h"

/* ---- descriptions ---------------------------------------------------------- */

static qn_status set(const qn_cublaslt *blas, cublasLtMatmulDesc_t product,
                     cublasLtMatmulDescAttributes_t attribute, const void *value, size_t size) {
    QN_BLAS_TRY(blas->MatmulDescSetAttribute(product, attribute, value, size),
                "describing a matrix product");
    return QN_OK;
}

static bool has_bias(const qn_plan_key *key) {
    return key->epilogue == CUBLASLT_EPILOGUE_BIAS ||
           key->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

qn_status qn_plan_point(const qn_cublaslt *blas, qn_plan *plan, qn_plan_extras extras) {
    if (has_bias(&plan->key))
        QN_TRY(set(blas, plan->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &extras.bias,
                   sizeof extras.bias));
    if (plan->key.aux_row)
        QN_TRY(set(blas, plan->product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &extras.aux,
                   sizeof extras.aux));
    return QN_OK;
}

static qn_status describe_product(const qn_cublaslt *blas, qn_plan_extras extras, qn_plan *plan) {
    const qn_plan_key *key = &plan->key;
    const cublasOperation_t first = key->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t second = key->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = (cublasLtEpilogue_t)key->epilogue;
    QN_BLAS_TRY(blas->MatmulDescCreate(&plan->product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                "describing a matrix product");
    QN_TRY(set(blas, plan->product, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    QN_TRY(set(blas, plan->product, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    QN_TRY(set(blas, plan->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    if (key->aux_row)
        QN_TRY(set(blas, plan->product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &key->aux_row,
                   sizeof key->aux_row));
    return qn_plan_point(blas, plan, extras);
}

static qn_status describe_matrix(const qn_cublaslt *blas, const qn_plan_matrix *x, int64_t rows,
                                 int64_t cols, int64_t batch, cublasLtMatrixLayout_t *out) {
    const cudaDataType_t type = x->dtype == QN_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    const int32_t count = (int32_t)batch;
    QN_BLAS_TRY(blas->MatrixLayoutCreate(out, type, (uint64_t)cols, (uint64_t)rows, x->row),
                "describing a matrix");
    QN_BLAS_TRY(blas->MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                               sizeof count),
                "describing a batch of matrices");
    QN_BLAS_TRY(blas->MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                               &x->step, sizeof x->step),
                "describing a batch of matrices");
    return QN_OK;
}

static qn_status describe_matrices(const qn_cublaslt *blas, qn_plan *plan) {
    const qn_plan_key *k = &plan->key;
    const bool turn_a = k->transpose_a, turn_b = k->transpose_b;
    QN_TRY(describe_matrix(blas, &k->a, turn_a ? k->k : k->m, turn_a ? k->m : k->k, k->batch,
                           &plan->a));
    QN_TRY(describe_matrix(blas, &k->b, turn_b ? k->n : k->k, turn_b ? k->k : k->n, k->batch,
                           &plan->b));
    return describe_matrix(blas, &k->c, k->m, k->n, k->batch, &plan->c);
}

/* ---- the algorithm ------------------------------------------------------------- */

static qn_status prefer(const qn_cublaslt *blas, cublasLtMatmulPreference_t preference,
                        cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                        size_t size) {
    QN_BLAS_TRY(blas->MatmulPreferenceSetAttribute(preference, attribute, value, size),
                "choosing how to compute a matrix product");
    return QN_OK;
}

static qn_status prefer_alignment(const qn_cublaslt *blas, cublasLtMatmulPreference_t preference,
                                  cublasLtMatmulPreferenceAttributes_t attribute,
                                  const qn_plan_matrix *x) {
    const uint32_t bytes = (uint32_t)x->alignment;
    return prefer(blas, preference, attribute, &bytes, sizeof bytes);
}

/* Parts of a sum over k may meet in fp32 only: in the dtype of C they would be rounded to bf16
 * before they are added. */
static qn_status state_preferences(const qn_cublaslt *blas, const qn_plan_key *key,
                                   size_t workspace, cublasLtMatmulPreference_t preference) {
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    QN_TRY(prefer(blas, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                  sizeof workspace));
    QN_TRY(prefer(blas, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
                  sizeof reductions));
    QN_TRY(prefer_alignment(blas, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &key->b));
    QN_TRY(prefer_alignment(blas, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &key->a));
    QN_TRY(prefer_alignment(blas, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &key->c));
    return prefer_alignment(blas, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &key->c);
}

/* The heuristic's first choice. That it has none, it says by a status or by a count of 0. */
static qn_status choose_algorithm(const qn_cublaslt *blas, cublasLtMatmulPreference_t preference,
                                  qn_plan *plan) {
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    const cublasStatus_t error =
        blas->MatmulAlgoGetHeuristic(blas->handle, plan->product, plan->b, plan->a, plan->c,
                                     plan->c, preference, 1, &best, &found);
    if (error && error != CUBLAS_STATUS_NOT_SUPPORTED)
        return qn_cublaslt_error(blas, error, "choosing how to compute a matrix product");
    plan->has_algorithm = !error && found > 0;
    if (plan->has_algorithm) plan->algorithm = best.algo;
    return QN_OK;
}

static qn_status find_algorithm(const qn_cublaslt *blas, size_t workspace, qn_plan *plan) {
    cublasLtMatmulPreference_t preference = NULL;
    QN_BLAS_TRY(blas->MatmulPreferenceCreate(&preference),
                "choosing how to compute a matrix product");
    qn_status status = state_preferences(blas, &plan->key, workspace, preference);
    if (!status) status = choose_algorithm(blas, preference, plan);
    blas->MatmulPreferenceDestroy(preference);
    return status;
}

/* ---- the whole -------------------------------------------------------------------- */

qn_status qn_plan_make(const qn_cublaslt *blas, const qn_plan_key *key, qn_plan_extras extras,
                       size_t workspace, qn_plan *out) {
    *out = (qn_plan){.key = *key};
    qn_status status = describe_product(blas, extras, out);
    if (!status) status = describe_matrices(blas, out);
    if (!status) status = find_algorithm(blas, workspace, out);
    if (status) qn_plan_close(blas, out);
    return status;
}

void qn_plan_close(const qn_cublaslt *blas, qn_plan *plan) {
    if (plan->product) blas->MatmulDescDestroy(plan->product);
    if (plan->a) blas->MatrixLayoutDestroy(plan->a);
    if (plan->b) blas->MatrixLayoutDestroy(plan->b);
    if (plan->c) blas->MatrixLayoutDestroy(plan->c);
    *plan = (qn_plan){0};
}
