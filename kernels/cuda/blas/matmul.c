/* matmul.c: one axis of a nest becomes cuBLASLt's strided batch, the others are loops. cuBLASLt
 * is column-major: a row-major matrix is to it the transposed one, so Cᵀ = op(B)ᵀ·op(A)ᵀ is
 * what it computes, with B as its first operand. */
#include "matmul.h"

/* NVIDIA recommends 32 MiB from Hopper on, 4 MiB before. */
size_t qn_matmul_workspace(const qn_cuda *cuda) {
    return (size_t)(cuda->major >= 9 ? 32 : 4) << 20;
}

/* What cuBLASLt is given for a nest. */
typedef struct matmul {
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulAlgo_t algorithm;
} matmul;

#define BLAS_TRY(call, attempted)                                                                  \
    do {                                                                                           \
        const cublasStatus_t error_ = (call);                                                      \
        if (error_) return qn_cublaslt_error(blas, error_, attempted);                             \
    } while (0)

/* ---- the nest -------------------------------------------------------------- */

/* The longest axis that C moves along; cuBLASLt orders nothing within a batch. */
static int batch_axis(const qn_products *p) {
    int longest = -1;
    for (int axis = 0; axis < QN_MATMUL_AXES; axis++)
        if ((p->c.step[axis] || p->count[axis] == 1) &&
            (longest < 0 || p->count[axis] > p->count[longest]))
            longest = axis;
    return longest;
}

/* The largest power of 2 up to 256 that divides the address of each matrix. */
static uint32_t alignment_of(const qn_operand *x) {
    uint64_t bits = (uint64_t)(uintptr_t)x->data | 256;
    for (int axis = 0; axis < QN_MATMUL_AXES; axis++)
        bits |= (uint64_t)x->step[axis] * qn_dtype_size(x->dtype);
    return (uint32_t)(bits & -bits);
}

static void *matrix_at(const qn_operand *x, const int64_t index[]) {
    int64_t at = 0;
    for (int axis = 0; axis < QN_MATMUL_AXES; axis++) at += index[axis] * x->step[axis];
    return (char *)x->data + at * (int64_t)qn_dtype_size(x->dtype);
}

/* ---- descriptions for cuBLASLt ------------------------------------------------- */

static qn_status describe_matrix(const qn_cublaslt *blas, const qn_operand *x, int64_t rows,
                                 int64_t cols, int64_t batch, int64_t step,
                                 cublasLtMatrixLayout_t *out) {
    const cudaDataType_t type = x->dtype == QN_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    const int32_t count = (int32_t)batch;
    const int64_t row = rows > 1 ? x->row : cols; /* of one row it is never used, but checked */
    BLAS_TRY(blas->MatrixLayoutCreate(out, type, (uint64_t)cols, (uint64_t)rows, row),
             "describing a matrix");
    BLAS_TRY(blas->MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                            sizeof count),
             "describing a batch of matrices");
    BLAS_TRY(blas->MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                            &step, sizeof step),
             "describing a batch of matrices");
    return QN_OK;
}

static qn_status describe_product(const qn_cublaslt *blas, const qn_products *p, matmul *m) {
    const cublasOperation_t first = p->b.transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t second = p->a.transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int axis = batch_axis(p);
    const int64_t batch = p->count[axis];
    BLAS_TRY(blas->MatmulDescCreate(&m->product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
             "describing a matrix product");
    BLAS_TRY(
        blas->MatmulDescSetAttribute(m->product, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first),
        "describing a matrix product");
    BLAS_TRY(blas->MatmulDescSetAttribute(m->product, CUBLASLT_MATMUL_DESC_TRANSB, &second,
                                          sizeof second),
             "describing a matrix product");
    const bool turn_a = p->a.transpose, turn_b = p->b.transpose;
    QN_TRY(describe_matrix(blas, &p->a, turn_a ? p->k : p->m, turn_a ? p->m : p->k, batch,
                           p->a.step[axis], &m->a));
    QN_TRY(describe_matrix(blas, &p->b, turn_b ? p->n : p->k, turn_b ? p->k : p->n, batch,
                           p->b.step[axis], &m->b));
    return describe_matrix(blas, &p->c, p->m, p->n, batch, p->c.step[axis], &m->c);
}

static qn_status prefer(const qn_cublaslt *blas, matmul *m,
                        cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                        size_t size) {
    BLAS_TRY(blas->MatmulPreferenceSetAttribute(m->preference, attribute, value, size),
             "choosing how to compute a matrix product");
    return QN_OK;
}

static qn_status choose_algorithm(const qn_cublaslt *blas, const qn_products *p, size_t workspace,
                                  matmul *m) {
    const uint32_t a = alignment_of(&p->a), b = alignment_of(&p->b), c = alignment_of(&p->c);
    BLAS_TRY(blas->MatmulPreferenceCreate(&m->preference),
             "choosing how to compute a matrix product");
    QN_TRY(prefer(blas, m, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace));
    QN_TRY(prefer(blas, m, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &b, sizeof b));
    QN_TRY(prefer(blas, m, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &a, sizeof a));
    QN_TRY(prefer(blas, m, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c, sizeof c));
    QN_TRY(prefer(blas, m, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &c, sizeof c));
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    BLAS_TRY(blas->MatmulAlgoGetHeuristic(blas->handle, m->product, m->b, m->a, m->c, m->c,
                                          m->preference, 1, &best, &found),
             "choosing how to compute a matrix product");
    if (found == 0)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "cuBLASLt has no way to multiply (%lld,%lld) by (%lld,%lld)",
                        (long long)p->m, (long long)p->k, (long long)p->k, (long long)p->n);
    m->algorithm = best.algo;
    return QN_OK;
}

static void close_matmul(const qn_cublaslt *blas, matmul *m) {
    if (m->product) blas->MatmulDescDestroy(m->product);
    if (m->a) blas->MatrixLayoutDestroy(m->a);
    if (m->b) blas->MatrixLayoutDestroy(m->b);
    if (m->c) blas->MatrixLayoutDestroy(m->c);
    if (m->preference) blas->MatmulPreferenceDestroy(m->preference);
}

/* ---- running ---------------------------------------------------------------------- */

/* The batch that begins at `index`. */
static qn_status run_batch(qn_stream *stream, const qn_products *p, const matmul *m,
                           const int64_t index[], void *workspace) {
    const qn_cuda *cuda = qn_cuda_of(stream);
    const qn_cublaslt *blas = &cuda->blas;
    bool first = true;
    for (int axis = 0; axis < QN_MATMUL_AXES; axis++)
        if (p->c.step[axis] == 0 && index[axis] > 0) first = false;
    const float beta = first ? 0.0f : 1.0f;
    void *c = matrix_at(&p->c, index);
    BLAS_TRY(blas->Matmul(blas->handle, m->product, &p->alpha, matrix_at(&p->b, index), m->b,
                          matrix_at(&p->a, index), m->a, &beta, c, m->c, c, m->c, &m->algorithm,
                          workspace, qn_matmul_workspace(cuda), qn_cuda_handle(stream)),
             "multiplying matrices");
    return QN_OK;
}

static qn_status run_nest(qn_stream *stream, const qn_products *p, const matmul *m,
                          void *workspace) {
    const int axis = batch_axis(p);
    int64_t end[QN_MATMUL_AXES], i[QN_MATMUL_AXES];
    for (int n = 0; n < QN_MATMUL_AXES; n++) end[n] = n == axis ? 1 : p->count[n];
    for (i[0] = 0; i[0] < end[0]; i[0]++)
        for (i[1] = 0; i[1] < end[1]; i[1]++)
            for (i[2] = 0; i[2] < end[2]; i[2]++) QN_TRY(run_batch(stream, p, m, i, workspace));
    return QN_OK;
}

qn_status qn_matmul(qn_stream *stream, const qn_products *p, void *workspace) {
    const qn_cuda *cuda = qn_cuda_of(stream);
    const qn_cublaslt *blas = &cuda->blas;
    matmul m = {0};
    qn_status status = describe_product(blas, p, &m);
    if (!status) status = choose_algorithm(blas, p, qn_matmul_workspace(cuda), &m);
    if (!status) status = run_nest(stream, p, &m, workspace);
    close_matmul(blas, &m);
    return status;
}
