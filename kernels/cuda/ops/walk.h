/* walk.h: how the threads of a grid go through a matrix: neighbours take neighbouring chunks of
 * VECTOR elements, rows end in a shorter chunk, and a thread comes back a grid's width further on,
 * with no division on the way. Device code. */
#ifndef QUERN_CUDA_WALK_H
#define QUERN_CUDA_WALK_H

#include "quern/tensor.h"
#include "queue.h"
#include "vector.h"

struct row_walk {
    int64_t row, chunk;         /* where the thread is */
    int64_t rows_on, chunks_on; /* a grid's width */
    int64_t chunks;             /* of a row */
};

QN_DEVICE row_walk begin_walk(int64_t cols) {
    const int64_t chunks = (cols + VECTOR - 1) / VECTOR, width = (int64_t)gridDim.x * blockDim.x;
    const int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    return {first / chunks, first % chunks, width / chunks, width % chunks, chunks};
}

QN_DEVICE void walk_on(row_walk &walk) {
    walk.row += walk.rows_on;
    walk.chunk += walk.chunks_on;
    if (walk.chunk < walk.chunks) return;
    walk.chunk -= walk.chunks;
    walk.row++;
}

/* Row `row` of a matrix in bf16. */
QN_DEVICE bf16 *row_of(const qn_tensor &t, int64_t row) {
    return (bf16 *)t.data + row * t.stride[0];
}

/* A grid for a matrix of this shape, at most `resident` blocks a multiprocessor. */
static inline dim3 walk_grid(const qn_cuda_queue *queue, int64_t rows, int64_t cols, int threads,
                             int resident) {
    const int64_t chunks = (cols + VECTOR - 1) / VECTOR;
    return dim3(qn_cuda_blocks(queue, rows * chunks, threads, resident));
}

#endif
