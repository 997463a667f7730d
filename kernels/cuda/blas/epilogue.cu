/* epilogue.cu: passes over a matrix before and after a product, for views that cuBLASLt's
 * epilogues do not take. In each a block of 256 threads takes a row at a time, a thread 8 elements
 * of it and a step; nothing lies in shared memory. Bytes: what is named below, once. */
#include "epilogue.h"
#include "gelu.h"
#include "ops/rows.h"
#include "vector.h"

enum { THREADS = 256, RESIDENT = 8 };

template <typename T> QN_DEVICE T *row_at(const qn_tensor &x, int64_t row) {
    return (T *)x.data + row * x.stride[0];
}

/* x = beta·x + bias. x written, and read where beta is not 0; bias read once a row, from the
 * cache. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    begin_rows(qn_tensor x, float beta, const bf16 *bias, bool wide) {
    const int64_t n = x.shape[1];
    for (int64_t i = blockIdx.x; i < x.shape[0]; i += gridDim.x) {
        T *const row = row_at<T>(x, i);
        for (int64_t j = threadIdx.x * VECTOR; j < n; j += THREADS * VECTOR) {
            vector8 v = {};
            if (bias) v = load_part(bias, j, n, wide);
            if (beta != 0) {
                const vector8 old = load_part(row, j, n, wide);
#pragma unroll
                for (int e = 0; e < VECTOR; e++) v.x[e] = fmaf(beta, old.x[e], v.x[e]);
            }
            store_part(row, j, n, wide, v);
        }
    }
}

/* c = gelu(aux). aux read, c written. */
__global__ void __launch_bounds__(THREADS) gelu_rows(qn_tensor c, qn_tensor aux, bool wide) {
    const int64_t n = c.shape[1];
    for (int64_t i = blockIdx.x; i < c.shape[0]; i += gridDim.x)
        for (int64_t j = threadIdx.x * VECTOR; j < n; j += THREADS * VECTOR) {
            vector8 x = load_part(row_at<bf16>(aux, i), j, n, wide);
#pragma unroll
            for (int e = 0; e < VECTOR; e++) x.x[e] = gelu(x.x[e]);
            store_part(row_at<bf16>(c, i), j, n, wide, x);
        }
}

/* c = product ∘ gelu'(aux). product and aux read, c written. */
__global__ void __launch_bounds__(THREADS)
    dgelu_rows(qn_tensor c, qn_tensor product, qn_tensor aux, bool wide) {
    const int64_t n = c.shape[1];
    for (int64_t i = blockIdx.x; i < c.shape[0]; i += gridDim.x)
        for (int64_t j = threadIdx.x * VECTOR; j < n; j += THREADS * VECTOR) {
            const vector8 x = load_part(row_at<bf16>(aux, i), j, n, wide);
            vector8 y = load_part(row_at<float>(product, i), j, n, wide);
#pragma unroll
            for (int e = 0; e < VECTOR; e++) y.x[e] *= gelu_derivative(x.x[e]);
            store_part(row_at<bf16>(c, i), j, n, wide, y);
        }
}

/* ---- launching --------------------------------------------------------------- */

static dim3 blocks_of(const qn_cuda_queue *queue, const qn_tensor &x) {
    return dim3(qn_cuda_blocks(queue, x.shape[0], 1, RESIDENT));
}

int qn_cuda_launch_begin_rows(qn_tensor x, float beta, const void *bias,
                              const qn_cuda_queue *queue) {
    const bool wide = qn_cuda_wide(&x) && (uintptr_t)bias % 16 == 0;
    if (x.dtype == QN_BF16)
        QN_LAUNCH(begin_rows<bf16>, blocks_of(queue, x), dim3(THREADS), 0, queue->stream, x, beta,
                  (const bf16 *)bias, wide);
    else
        QN_LAUNCH(begin_rows<float>, blocks_of(queue, x), dim3(THREADS), 0, queue->stream, x, beta,
                  (const bf16 *)bias, wide);
    return QN_LAUNCH_ERROR();
}

int qn_cuda_launch_gelu_rows(qn_tensor c, qn_tensor aux, const qn_cuda_queue *queue) {
    QN_LAUNCH(gelu_rows, blocks_of(queue, c), dim3(THREADS), 0, queue->stream, c, aux,
              qn_cuda_wide(&c) && qn_cuda_wide(&aux));
    return QN_LAUNCH_ERROR();
}

int qn_cuda_launch_dgelu_rows(qn_tensor c, qn_tensor product, qn_tensor aux,
                              const qn_cuda_queue *queue) {
    QN_LAUNCH(dgelu_rows, blocks_of(queue, c), dim3(THREADS), 0, queue->stream, c, product, aux,
              qn_cuda_wide(&c) && qn_cuda_wide(&product) && qn_cuda_wide(&aux));
    return QN_LAUNCH_ERROR();
}
