/* bias_gradient.cu: cuBLASLt's BGRAD epilogues would write the sums in the dtype of C, in an order
 * and to a precision of their own; here they are added in fp32, and chains of CHAIN additions meet
 * in others, so that a sum over a million tokens keeps its digits. Each kernel reads the
 * matrix once, and is bound by that. */
#include "bias_gradient.h"
#include "ops/partial_sums.h"
#include "reduce.h"
#include "rows.h"
#include "vector.h"

enum { THREADS = 256, WARPS = THREADS / 32, STRIP = 32 * VECTOR, CHAIN = 32, RESIDENT = 6 };

/* ---- down the columns ----------------------------------------------------------- */

/* One block: a strip of 256 columns of one part of the rows. A warp takes every eighth row, a lane
 * 8 columns of it, and the warps' sums meet in 8 KB of shared memory. Bytes: 2 an element read, 4
 * a column of each part written; one operation an element. */
__global__ void __launch_bounds__(THREADS)
    sum_column_parts(qn_tensor x, int64_t part_rows, float *parts, bool wide) {
    QN_SHARED(float, warps, [WARPS][STRIP]);
    const int64_t rows = x.shape[0], cols = x.shape[1];
    const int64_t first = (int64_t)blockIdx.x * STRIP, begin = blockIdx.y * part_rows;
    const int64_t end = begin + part_rows < rows ? begin + part_rows : rows;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int64_t column = first + lane * VECTOR;
    vector8 sum = {};
    for (int64_t i = begin + warp; i < end && column < cols; i += CHAIN * WARPS) {
        vector8 chain = {};
#pragma unroll 4
        for (int64_t row = i; row < i + CHAIN * WARPS; row += WARPS)
            if (row < end)
                chain = add8(
                    chain, load_part((const bf16 *)x.data + row * x.stride[0], column, cols, wide));
        sum = add8(sum, chain);
    }
#pragma unroll
    for (int i = 0; i < VECTOR; i++) warps[warp][lane * VECTOR + i] = sum.x[i];
    __syncthreads(); /* every warp's sums are there */
    float total = 0;
    for (int w = 0; w < WARPS; w++) total += warps[w][threadIdx.x];
    if (first + threadIdx.x < cols) parts[blockIdx.y * cols + first + threadIdx.x] = total;
}

static int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b > 0); }

/* So many that the grid fills the device, with a row or more for each warp, and few enough for
 * the y axis of a grid. */
int64_t qn_cuda_column_parts(int64_t rows, int64_t cols, const qn_cuda_queue *queue) {
    const int64_t strips = ceil_div(cols, STRIP);
    const int64_t fill = ceil_div((int64_t)queue->multiprocessors * RESIDENT, strips);
    const int64_t most = ceil_div(rows, WARPS);
    return fill < most ? fill : most;
}

int qn_cuda_launch_add_column_sums(qn_tensor x, float *parts, float *sums,
                                   const qn_cuda_queue *queue) {
    const int64_t rows = x.shape[0], cols = x.shape[1];
    const int64_t n_parts = qn_cuda_column_parts(rows, cols, queue);
    QN_LAUNCH(sum_column_parts, dim3((unsigned)ceil_div(cols, STRIP), (unsigned)n_parts),
              dim3(THREADS), 0, queue->stream, x, ceil_div(rows, n_parts), parts, qn_cuda_wide(&x));
    const int error = QN_LAUNCH_ERROR();
    return error ? error : qn_cuda_launch_add_partials(sums, parts, n_parts, cols, cols, queue);
}

/* ---- along the rows ---------------------------------------------------------------- */

/* sums += Σ x along each row. A warp takes a row, a lane 8 elements of it and a step; the lanes'
 * sums meet by shuffles. Nothing in shared memory. Bytes: 2 an element read. */
__global__ void __launch_bounds__(THREADS, 4) add_row_sums(qn_tensor x, float *sums, bool wide) {
    const int64_t cols = x.shape[1];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int64_t i = (int64_t)blockIdx.x * WARPS + warp; i < x.shape[0];
         i += (int64_t)gridDim.x * WARPS) {
        const bf16 *const row = (const bf16 *)x.data + i * x.stride[0];
        vector8 sum = {};
        for (int64_t j = lane * VECTOR; j < cols; j += CHAIN * STRIP) {
            vector8 chain = {};
#pragma unroll 4
            for (int64_t at = j; at < j + CHAIN * STRIP; at += STRIP)
                if (at < cols) chain = add8(chain, load_part(row, at, cols, wide));
            sum = add8(sum, chain);
        }
        float total = 0;
#pragma unroll
        for (int e = 0; e < VECTOR; e++) total += sum.x[e];
        total = warp_sum(total);
        if (lane == 0) sums[i] += total;
    }
}

int qn_cuda_launch_add_row_sums(qn_tensor x, float *sums, const qn_cuda_queue *queue) {
    QN_LAUNCH(add_row_sums, dim3(qn_cuda_blocks(queue, x.shape[0], WARPS, RESIDENT)), dim3(THREADS),
              0, queue->stream, x, sums, qn_cuda_wide(&x));
    return QN_LAUNCH_ERROR();
}
