/* elementwise.cu: conversions and zeros. Each thread takes elements a grid apart: reads and
 * writes of neighbours coalesce where the last axis is dense. Bytes: each element once in, once
 * out; no shared memory. */
#include "elementwise.h"
#include "vector.h"

enum { THREADS = 256, RESIDENT = 8 };

static dim3 blocks_for(const qn_cuda_queue *queue, int64_t n) {
    return dim3(qn_cuda_blocks(queue, n, THREADS, RESIDENT));
}

/* The places of element n, counted along the last axis first, in two tensors of one shape. */
struct places {
    int64_t dst, src;
};

QN_DEVICE places places_of(const qn_tensor &dst, const qn_tensor &src, int64_t n) {
    places at = {0, 0};
#pragma unroll
    for (int axis = QN_MAX_RANK - 1; axis >= 0; axis--) {
        const int64_t length = dst.shape[axis], i = n % length;
        at.dst += i * dst.stride[axis];
        at.src += i * src.stride[axis];
        n /= length;
    }
    return at;
}

template <typename To, typename From>
__global__ void __launch_bounds__(THREADS) cast_kernel(qn_tensor dst, qn_tensor src, int64_t n) {
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * THREADS) {
        const places at = places_of(dst, src, i);
        round_to((To *)dst.data + at.dst, widen(((const From *)src.data)[at.src]));
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS) clear_kernel(qn_tensor dst, int64_t n) {
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * THREADS)
        ((T *)dst.data)[places_of(dst, dst, i).dst] = T();
}

template <typename To, typename From>
static void launch_cast(qn_tensor dst, qn_tensor src, const qn_cuda_queue *queue) {
    const int64_t n = qn_tensor_numel(&dst);
    QN_LAUNCH((cast_kernel<To, From>), blocks_for(queue, n), dim3(THREADS), 0, queue->stream, dst,
              src, n);
}

int qn_cuda_launch_cast(qn_tensor dst, qn_tensor src, const qn_cuda_queue *queue) {
    const bool to_bf16 = dst.dtype == QN_BF16, of_bf16 = src.dtype == QN_BF16;
    if (to_bf16 && of_bf16)
        launch_cast<bf16, bf16>(dst, src, queue);
    else if (to_bf16)
        launch_cast<bf16, float>(dst, src, queue);
    else if (of_bf16)
        launch_cast<float, bf16>(dst, src, queue);
    else
        launch_cast<float, float>(dst, src, queue);
    return QN_LAUNCH_ERROR();
}

int qn_cuda_launch_clear(qn_tensor dst, const qn_cuda_queue *queue) {
    const int64_t n = qn_tensor_numel(&dst);
    if (dst.dtype == QN_BF16)
        QN_LAUNCH((clear_kernel<bf16>), blocks_for(queue, n), dim3(THREADS), 0, queue->stream, dst,
                  n);
    else
        QN_LAUNCH((clear_kernel<float>), blocks_for(queue, n), dim3(THREADS), 0, queue->stream, dst,
                  n);
    return QN_LAUNCH_ERROR();
}

int qn_cuda_code_is_here(void) { return QN_ALLOW_SHARED((clear_kernel<float>), 0); }
