/* partial_sums.cu: the sum of partial sums of columns. */
#include "partial_sums.h"

#include "prim/prim.h"

enum { WARPS = 16, THREADS = 32 * WARPS, RESIDENT = 4 };

/* sums += Σ partials. One block: 32 columns, and columns a grid further on when these are done; a
 * lane has a column, a warp every sixteenth of the parts, in their order; the warps' sums meet in
 * shared memory. Bytes, of a part of a column: 4 in. */
__global__ void __launch_bounds__(THREADS)
    add_partials(float *sums, const float *partials, int64_t n_parts, int64_t part_stride,
                 int64_t cols) {
    QN_SHARED(float, warps, [WARPS][32]);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int64_t first = (int64_t)blockIdx.x * 32; first < cols; first += (int64_t)gridDim.x * 32) {
        const int64_t j = first + lane;
        float sum = 0;
#pragma unroll 8
        for (int64_t part = warp; part < n_parts; part += WARPS)
            if (j < cols) sum += partials[part * part_stride + j];
        warps[warp][lane] = sum;
        __syncthreads(); /* every warp's sums are there */
        if (warp == 0 && j < cols) {
            for (int w = 1; w < WARPS; w++) sum += warps[w][lane];
            sums[j] += sum;
        }
        __syncthreads(); /* every warp's sums have been read */
    }
}

int qn_cuda_launch_add_partials(float *sums, const float *partials, int64_t n_parts,
                                int64_t part_stride, int64_t cols, const qn_cuda_queue *queue) {
    QN_LAUNCH(add_partials, dim3(qn_cuda_blocks(queue, cols, 32, RESIDENT)), dim3(THREADS), 0,
              queue->stream, sums, partials, n_parts, part_stride, cols);
    return QN_LAUNCH_ERROR();
}
