/* product.c: finds the plan of a product and runs it. After the first call of a kind nothing is
 * searched, created or allocated, and nothing ever waits for the device, so that a stream that is
 * being captured into a graph takes it. */
#include "product.h"

#include "check/check.h"

enum { ALIGN_BYTES = 256, ALIGN_BF16 = 8 };

/* ---- scratch memory --------------------------------------------------------- */

/* Where a product has fewer tiles than the device multiprocessors, the sum over k is split, and its
 * parts meet here in fp32: room for a tile of 256×256 each fills the device. NVIDIA recommends
 * 32 MiB from Hopper on. */
static size_t scratch_bytes(const qn_cuda *cuda) {
    const size_t tiles = (size_t)cuda->multiprocessors * 256 * 256 * sizeof(float);
    const size_t least = cuda->major >= 9 ? (size_t)32 << 20 : 0;
    return tiles > least ? tiles : least;
}

/* cuBLASLt 12.9 and later may fail where it does not begin at a multiple of 256 bytes, to which a
 * workspace need not be aligned. */
size_t qn_product_workspace(const qn_cuda *cuda) {
    return scratch_bytes(cuda) + ALIGN_BYTES - QN_WORKSPACE_ALIGN;
}

static void *scratch_in(void *workspace) {
    const uintptr_t past = (uintptr_t)workspace % ALIGN_BYTES;
    return (char *)workspace + (past ? ALIGN_BYTES - past : 0);
}

/* ---- the key ---------------------------------------------------------------- */

/* The largest power of 2 that divides every address of a matrix, up to that of which cuBLASLt
 * makes a difference: some of its algorithms are for matrices aligned to more than 16 bytes. */
static int64_t alignment_of(const qn_factor *x, int64_t batch) {
    uint64_t bits = (uint64_t)(uintptr_t)x->data | ALIGN_BYTES;
    if (batch > 1) bits |= (uint64_t)x->step * qn_dtype_size(x->dtype);
    return (int64_t)(bits & -bits);
}

/* From row to row; of one row it is never used, but described. */
static int64_t row_of(int64_t row, int64_t rows, int64_t cols) {
    return rows > 1 ? row : (cols + ALIGN_BF16 - 1) / ALIGN_BF16 * ALIGN_BF16;
}

static qn_matmul_plan_matrix matrix_of(const qn_factor *x, int64_t rows, int64_t cols,
                                       int64_t batch) {
    return (qn_matmul_plan_matrix){.dtype = x->dtype,
                                   .row = x->transpose ? row_of(x->row, cols, rows)
                                                       : row_of(x->row, rows, cols),
                                   .step = batch > 1 ? x->step : 0,
                                   .alignment = alignment_of(x, batch)};
}

static qn_matmul_plan_key key_of(const qn_product *p) {
    return (qn_matmul_plan_key){.m = p->m,
                                .n = p->n,
                                .k = p->k,
                                .batch = p->batch,
                                .a = matrix_of(&p->a, p->m, p->k, p->batch),
                                .b = matrix_of(&p->b, p->k, p->n, p->batch),
                                .c = matrix_of(&p->c, p->m, p->n, p->batch),
                                .transpose_a = p->a.transpose,
                                .transpose_b = p->b.transpose,
                                .epilogue = p->epilogue ? p->epilogue : CUBLASLT_EPILOGUE_DEFAULT,
                                .aux_row = p->aux ? row_of(p->aux_row, p->m, p->n) : 0};
}

/* ---- errors -------------------------------------------------------------------- */

static const char *epilogue_name(cublasLtEpilogue_t epilogue) {
    switch (epilogue) {
    case CUBLASLT_EPILOGUE_BIAS:
        return "BIAS";
    case CUBLASLT_EPILOGUE_GELU_AUX:
        return "GELU_AUX";
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
        return "GELU_AUX_BIAS";
    case CUBLASLT_EPILOGUE_DGELU:
        return "DGELU";
    default:
        return "none";
    }
}

/* An error says of which product it is. */
static qn_status of_product(qn_status status, const qn_cuda *cuda, const qn_product *p) {
    return qn_context(status,
                      "cuBLASLt, product of m %lld, n %lld, k %lld, batch %lld, A %s%s, B %s%s, "
                      "C %s, epilogue %s, workspace %zu bytes",
                      (long long)p->m, (long long)p->n, (long long)p->k, (long long)p->batch,
                      qn_dtype_name(p->a.dtype), p->a.transpose ? " transposed" : "",
                      qn_dtype_name(p->b.dtype), p->b.transpose ? " transposed" : "",
                      qn_dtype_name(p->c.dtype), epilogue_name(p->epilogue), scratch_bytes(cuda));
}

/* ---- running ------------------------------------------------------------------- */

static qn_status run_plan(qn_stream *stream, const qn_product *p, const qn_matmul_plan *plan,
                          void *workspace) {
    const qn_cuda *cuda = qn_cuda_of(stream);
    const qn_cublaslt *blas = &cuda->blas;
    QN_BLAS_TRY(blas->Matmul(blas->handle, plan->product, &p->alpha, p->b.data, plan->b, p->a.data,
                             plan->a, &p->beta, p->c.data, plan->c, p->c.data, plan->c,
                             &plan->algorithm, scratch_in(workspace), scratch_bytes(cuda),
                             qn_cuda_handle(stream)),
                "multiplying matrices");
    return QN_OK;
}

qn_status qn_try_multiply(qn_stream *stream, const qn_product *p, void *workspace, bool *done) {
    qn_cuda *cuda = qn_cuda_of(stream);
    const qn_matmul_plan_key key = key_of(p);
    const qn_matmul_plan_extras extras = {p->bias, p->aux};
    qn_matmul_plan *plan = NULL;
    *done = false;
    pthread_mutex_lock(&cuda->plans.lock);
    qn_status status = qn_matmul_plan_cache_find(&cuda->plans, &cuda->blas, &key, extras,
                                                 scratch_bytes(cuda), &plan);
    if (!status && plan->has_algorithm) {
        status = run_plan(stream, p, plan, workspace);
        *done = !status;
    }
    pthread_mutex_unlock(&cuda->plans.lock);
    return of_product(status, cuda, p);
}

qn_status qn_multiply(qn_stream *stream, const qn_product *p, void *workspace) {
    bool done = false;
    QN_TRY(qn_try_multiply(stream, p, workspace, &done));
    if (done) return QN_OK;
    return of_product(qn_error(QN_CODE_UNSUPPORTED, "it has no algorithm for this; update cuBLAS"),
                      qn_cuda_of(stream), p);
}
