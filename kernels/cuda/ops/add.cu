/* add.cu: the sum of two matrices. */
#include "add.h"
#include "walk.h"

enum { THREADS = 256, RESIDENT = 8 };

/* dst = a + b; dst may be a or b. 256 threads, a chunk of 8 elements each and step; nothing in
 * shared memory. Bytes: 4 an element read, 2 written; 1 operation. */
__global__ void __launch_bounds__(THREADS)
    add_kernel(const __grid_constant__ qn_tensor dst, const __grid_constant__ qn_tensor a,
               const __grid_constant__ qn_tensor b, bool wide) {
    const int64_t rows = dst.shape[0], cols = dst.shape[1];
    for (row_walk at = begin_walk(cols); at.row < rows; walk_on(at)) {
        const int64_t first = at.chunk * VECTOR;
        const vector8 x = load_part(row_of(a, at.row), first, cols, wide);
        const vector8 y = load_part(row_of(b, at.row), first, cols, wide);
        store_part(row_of(dst, at.row), first, cols, wide, add8(x, y));
    }
}

int qn_cuda_launch_add(qn_tensor dst, qn_tensor a, qn_tensor b, bool wide,
                       const qn_cuda_queue *queue) {
    QN_LAUNCH(add_kernel, walk_grid(queue, dst.shape[0], dst.shape[1], THREADS, RESIDENT),
              dim3(THREADS), 0, queue->stream, dst, a, b, wide);
    return QN_LAUNCH_ERROR();
}
