/* copy_rows.cu: bf16 rows from any strides to any strides. */
#include "launch.h"
#include "tile.h"

enum { COPY_THREADS = 256, RESIDENT = 8 };

/* One thread an element, neighbours along the head. 4 bytes moved an element. */
__global__ void __launch_bounds__(COPY_THREADS)
    copy_rows(const __grid_constant__ qn_attn_view dst, const __grid_constant__ qn_attn_view src,
              int64_t n_elements, int32_t n_rows, int32_t n_heads, int32_t head_dim) {
    const int64_t step = (int64_t)gridDim.x * COPY_THREADS;
    for (int64_t i = (int64_t)blockIdx.x * COPY_THREADS + threadIdx.x; i < n_elements; i += step) {
        const int64_t d = i % head_dim, bth = i / head_dim, h = bth % n_heads, bt = bth / n_heads;
        const int64_t t = bt % n_rows, b = bt / n_rows;
        dst.data[b * dst.batch + t * dst.row + h * dst.head + d] =
            src.data[b * src.batch + t * src.row + h * src.head + d];
    }
}

int qn_attn_copy_rows(qn_attn_view dst, qn_attn_view src, int32_t batch, int32_t n_rows,
                      int32_t n_heads, int32_t head_dim, const qn_cuda_queue *queue) {
    const int64_t n_elements = (int64_t)batch * n_rows * n_heads * head_dim;
    QN_LAUNCH(copy_rows, dim3(qn_cuda_blocks(queue, n_elements, COPY_THREADS, RESIDENT)),
              dim3(COPY_THREADS), 0, queue->stream, dst, src, n_elements, n_rows, n_heads,
              head_dim);
    return QN_LAUNCH_ERROR();
}
