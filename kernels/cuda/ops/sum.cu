/* sum.cu: sums in fp64, whose order depends on the length and the device alone: a partial sum a
 * block, then the sum of those. */
#include "sum.h"

#include "align.h"
#include "reduce.h"
#include "vector.h"

enum { THREADS = 256, WARPS = THREADS / 32 };

/* parts[block] = Σ x or Σ x² over every gridDim.x-th stretch of 2048 elements. 256 threads, 8
 * elements each and step, one sum in a register; the warps' sums meet in shared memory. Bytes: 4 an
 * element; 1 operation in fp64, and 1 conversion. `aligned`: x is, to 16 bytes. */
template <bool SQUARES>
__global__ void __launch_bounds__(THREADS)
    sum_parts(const float *x, int64_t n, bool aligned, double *parts) {
    QN_SHARED(double, warps, [WARPS]);
    const int64_t width = (int64_t)gridDim.x * THREADS * VECTOR;
    double sum = 0;
    for (int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * VECTOR; at < n; at += width) {
        const vector8 v = load_part(x, at, n, aligned && n - at >= VECTOR);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) sum += (double)v.x[i] * (SQUARES ? (double)v.x[i] : 1.0);
    }
    sum = block_sum<WARPS>(sum, warps);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

/* *out = Σ parts, by one block. */
__global__ void __launch_bounds__(THREADS) add_parts(const double *parts, int n, float *out) {
    QN_SHARED(double, warps, [WARPS]);
    double sum = 0;
    for (int i = (int)threadIdx.x; i < n; i += THREADS) sum += parts[i];
    sum = block_sum<WARPS>(sum, warps);
    if (threadIdx.x == 0) *out = (float)sum;
}

int qn_cuda_launch_sum(float *out, const float *x, int64_t n, bool squares, double *parts,
                       const qn_cuda_queue *queue) {
    const unsigned blocks = qn_cuda_blocks(queue, n, THREADS * VECTOR, QN_CUDA_SUM_BLOCKS);
    const bool aligned = qn_cuda_aligned(x);
    if (squares)
        QN_LAUNCH((sum_parts<true>), dim3(blocks), dim3(THREADS), 0, queue->stream, x, n, aligned,
                  parts);
    else
        QN_LAUNCH((sum_parts<false>), dim3(blocks), dim3(THREADS), 0, queue->stream, x, n, aligned,
                  parts);
    const int error = QN_LAUNCH_ERROR();
    if (error) return error;
    QN_LAUNCH(add_parts, dim3(1), dim3(THREADS), 0, queue->stream, parts, (int)blocks, out);
    return QN_LAUNCH_ERROR();
}
