/* gemm.c: the matrix product of the table. BIAS, GELU and DGELU are epilogues of cuBLASLt where
 * every operand lies as these need it; else, and where cuBLASLt has no such algorithm, a pass of
 * ours follows the product, which stays in fp32 until then. The sums of BGRAD are always a pass of
 * ours (bias_gradient.cu). */
#include "check/gemm.h"
#include "backend.h"
#include "bias_gradient.h"
#include "epilogue.h"
#include "product.h"
#include "workspace.h"

/* C is finished element by element. */
static bool is_elementwise(qn_epilogue epilogue) {
    return epilogue == QN_EPILOGUE_BIAS || epilogue == QN_EPILOGUE_GELU ||
           epilogue == QN_EPILOGUE_DGELU;
}

/* ---- memory ------------------------------------------------------------------ */

typedef struct gemm_memory {
    void *product;
    float *parts; /* of the sums down columns of an operand */
    float *rows;  /* of a product in fp32, for a pass that finishes them */
} gemm_memory;

/* Rows of a product that are in fp32 at a time: within 16 MiB, and one at least. */
enum { ROWS_BYTES = 16 << 20 };

static int64_t padded(int64_t n) { return (n + 7) / 8 * 8; }

static int64_t rows_at_a_time(const qn_gemm_args *args) {
    const int64_t m = args->c.shape[0], fit = ROWS_BYTES / 4 / padded(args->c.shape[1]);
    return fit < 1 ? 1 : fit < m ? fit : m;
}

/* Whether the views fit the fused epilogue is not known when the workspace is asked for. */
static size_t rows_bytes(const qn_gemm_args *args) {
    if (!is_elementwise(args->epilogue) || args->c.shape[0] <= 0 || args->c.shape[1] <= 0) return 0;
    return (size_t)rows_at_a_time(args) * (size_t)padded(args->c.shape[1]) * sizeof(float);
}

/* The operand whose sums over k are wanted, NULL without; then whether k is its first axis. */
static const qn_tensor *summed_operand(const qn_gemm_args *args, bool *k_is_first) {
    *k_is_first = args->epilogue == QN_EPILOGUE_BGRAD_A ? args->transpose_a : !args->transpose_b;
    return args->epilogue == QN_EPILOGUE_BGRAD_A   ? &args->a
           : args->epilogue == QN_EPILOGUE_BGRAD_B ? &args->b
                                                   : NULL;
}

static void lay_out(const qn_cuda *cuda, const qn_gemm_args *args, qn_workspace *w,
                    gemm_memory *memory) {
    const qn_cuda_queue queue = qn_cuda_queue_on(cuda);
    bool k_is_first;
    const qn_tensor *x = summed_operand(args, &k_is_first);
    memory->product = qn_workspace_cut(w, qn_product_workspace(cuda));
    memory->rows = qn_workspace_cut(w, rows_bytes(args));
    memory->parts = NULL;
    if (!x || !k_is_first || x->shape[0] <= 0 || x->shape[1] <= 0) return;
    const int64_t parts = qn_cuda_column_parts(x->shape[0], x->shape[1], &queue);
    const size_t row = qn_size_mul((size_t)x->shape[1], sizeof(float));
    memory->parts = qn_workspace_cut(w, qn_size_mul((size_t)parts, row));
}

size_t qn_cuda_gemm_workspace(qn_backend *backend, const qn_gemm_args *args) {
    qn_workspace w = {0};
    gemm_memory memory;
    lay_out((const qn_cuda *)backend, args, &w, &memory);
    return w.used;
}

/* ---- the product ---------------------------------------------------------------- */

static qn_factor factor_of(const qn_tensor *x, bool transpose) {
    return (qn_factor){
        .data = x->data, .dtype = x->dtype, .row = x->stride[0], .transpose = transpose};
}

/* out (M,N) = op(A)·op(B) + beta·out, without an epilogue. */
static qn_product product_of(const qn_gemm_args *args, const qn_tensor *out, float beta) {
    return (qn_product){.m = args->c.shape[0],
                        .n = args->c.shape[1],
                        .k = args->a.shape[args->transpose_a ? 0 : 1],
                        .batch = 1,
                        .a = factor_of(&args->a, args->transpose_a),
                        .b = factor_of(&args->b, args->transpose_b),
                        .c = factor_of(out, false),
                        .alpha = 1,
                        .beta = beta};
}

/* ---- epilogues of cuBLASLt --------------------------------------------------------- */

/* Aligned to 16 bytes, with rows that are; or absent. */
static bool is_aligned(const qn_tensor *x) {
    if (!x->data) return true;
    if ((uintptr_t)x->data % 16) return false;
    return x->rank < 2 || x->shape[0] <= 1 ||
           x->stride[0] * (int64_t)qn_dtype_size(x->dtype) % 16 == 0;
}

/* cuBLASLt wants rows of aux that are multiples of 8 elements; for the others it may want
 * as much, since accesses of 16 bytes are what its kernels with epilogues are made for. */
static bool fits_cublaslt(const qn_gemm_args *args) {
    return is_aligned(&args->a) && is_aligned(&args->b) && is_aligned(&args->c) &&
           is_aligned(&args->bias) && is_aligned(&args->aux);
}

static qn_status try_fused(qn_stream *stream, const qn_gemm_args *args, void *workspace,
                           bool *done) {
    qn_product p = product_of(args, &args->c, 0);
    *done = false;
    if (p.k == 0 || !fits_cublaslt(args)) return QN_OK;
    if (args->epilogue != QN_EPILOGUE_DGELU) p.bias = args->bias.data;
    if (args->epilogue != QN_EPILOGUE_BIAS) {
        p.aux = args->aux.data;
        p.aux_row = args->aux.stride[0];
    }
    p.epilogue = args->epilogue == QN_EPILOGUE_BIAS    ? CUBLASLT_EPILOGUE_BIAS
                 : args->epilogue == QN_EPILOGUE_DGELU ? CUBLASLT_EPILOGUE_DGELU
                 : p.bias                              ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS
                                                       : CUBLASLT_EPILOGUE_GELU_AUX;
    return qn_try_multiply(stream, &p, workspace, done);
}

/* ---- a pass of ours --------------------------------------------------------------------- */

/* out = op(A)·op(B) + beta·out. A product over no k at all is 0. */
static qn_status multiply(qn_stream *stream, const qn_gemm_args *args, const qn_tensor *out,
                          void *workspace) {
    const qn_product p = product_of(args, out, args->beta);
    if (p.k > 0) return qn_multiply(stream, &p, workspace);
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_scale_rows(*out, args->beta, &queue),
                   "gemm: launching what an empty product leaves");
    return QN_OK;
}

static qn_tensor rows_of(const qn_tensor *x, int64_t first, int64_t n) {
    qn_tensor view = *x;
    view.data = (char *)x->data + first * x->stride[0] * (int64_t)qn_dtype_size(x->dtype);
    view.shape[0] = n;
    return view;
}

/* The part of a product that makes rows [first, first + n) of c. */
static qn_gemm_args part_of(const qn_gemm_args *args, int64_t first, int64_t n) {
    qn_gemm_args part = *args;
    part.c = rows_of(&args->c, first, n);
    if (args->epilogue != QN_EPILOGUE_BIAS) part.aux = rows_of(&args->aux, first, n);
    if (!args->transpose_a) {
        part.a = rows_of(&args->a, first, n);
    } else {
        part.a.data = (char *)args->a.data + first * (int64_t)qn_dtype_size(args->a.dtype);
        part.a.shape[1] = n;
    }
    return part;
}

static qn_status run_in_passes(qn_stream *stream, const qn_gemm_args *args,
                               const gemm_memory *memory) {
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    const int64_t m = args->c.shape[0], n = args->c.shape[1], step = rows_at_a_time(args);
    for (int64_t first = 0; first < m; first += step) {
        const qn_gemm_args part = part_of(args, first, first + step < m ? step : m - first);
        qn_tensor product = qn_tensor_2d(memory->rows, QN_F32, part.c.shape[0], n);
        product.stride[0] = padded(n);
        QN_TRY(multiply(stream, &part, &product, memory->product));
        QN_CUDA_LAUNCH(qn_cuda_launch_finish_rows(&part, product, &queue),
                       "gemm: launching its epilogue");
    }
    return QN_OK;
}

/* ---- the operation ---------------------------------------------------------------------- */

static qn_status add_operand_sums(qn_stream *stream, const qn_gemm_args *args, float *parts) {
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    bool k_is_first;
    const qn_tensor *x = summed_operand(args, &k_is_first);
    if (!x || qn_tensor_numel(x) == 0) return QN_OK;
    QN_CUDA_LAUNCH(k_is_first ? qn_cuda_launch_add_column_sums(*x, parts, args->bias.data, &queue)
                              : qn_cuda_launch_add_row_sums(*x, args->bias.data, &queue),
                   "gemm: launching the sums of an operand");
    return QN_OK;
}

qn_status qn_cuda_gemm(qn_stream *stream, const qn_gemm_args *args) {
    QN_TRY(qn_check_gemm(args, QN_BF16));
    qn_workspace w = {.memory = args->workspace};
    gemm_memory memory;
    lay_out(qn_cuda_of(stream), args, &w, &memory);
    QN_TRY(qn_check_workspace("gemm", args->workspace, w.used));
    QN_TRY(add_operand_sums(stream, args, memory.parts));
    if (qn_tensor_numel(&args->c) == 0) return QN_OK;
    if (!is_elementwise(args->epilogue)) return multiply(stream, args, &args->c, memory.product);
    bool done = false;
    QN_TRY(try_fused(stream, args, memory.product, &done));
    return done ? QN_OK : run_in_passes(stream, args, &memory);
}
