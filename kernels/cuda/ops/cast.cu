/* cast.cu: conversions and zeros. Of dense tensors each thread takes 8 elements at a time,
 * of others single ones, a grid apart: reads and writes of neighbours coalesce where the last axis
 * is dense. Bytes: each element once in, once out; no shared memory. */
#include "cast.h"

#include "align.h"
#include "stochastic.h"
#include "vector.h"

enum { THREADS = 256, RESIDENT = 8 };

static dim3 blocks_for(const qn_cuda_queue *queue, int64_t n) {
    return dim3(qn_cuda_blocks(queue, n, THREADS, RESIDENT));
}

/* A thread's first element of an array, and how far on its next one is. */
QN_DEVICE int64_t first_chunk() { return ((int64_t)blockIdx.x * THREADS + threadIdx.x) * VECTOR; }
QN_DEVICE int64_t chunks_of_grid() { return (int64_t)gridDim.x * THREADS * VECTOR; }

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

/* Of n elements next to each other. `aligned`: both arrays, to 16 bytes. */
template <typename To, typename From>
__global__ void __launch_bounds__(THREADS)
    cast_dense(To *dst, const From *src, int64_t n, bool aligned) {
    for (int64_t at = first_chunk(); at < n; at += chunks_of_grid()) {
        const bool wide = aligned && n - at >= VECTOR;
        store_part(dst, at, n, wide, load_part(src, at, n, wide));
    }
}

/* The same; a chunk is a group of rounding.h. */
__global__ void __launch_bounds__(THREADS)
    cast_dense_stochastic(bf16 *dst, const float *src, int64_t n, bool aligned, uint64_t seed,
                          int64_t step) {
    for (int64_t at = first_chunk(); at < n; at += chunks_of_grid()) {
        const bool wide = aligned && n - at >= VECTOR;
        const vector8 v = load_part(src, at, n, wide);
        store_stochastic(dst + at, v, qn_rounding_group(seed, step, at / VECTOR), 0,
                         n - at < VECTOR ? (int)(n - at) : VECTOR, wide);
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS) clear_kernel(qn_tensor dst, int64_t n) {
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * THREADS)
        ((T *)dst.data)[places_of(dst, dst, i).dst] = T();
}

static dim3 blocks_for_chunks(const qn_cuda_queue *queue, int64_t n) {
    return dim3(qn_cuda_blocks(queue, n, THREADS * VECTOR, RESIDENT));
}

static bool both_aligned(const qn_tensor &a, const qn_tensor &b) {
    return qn_cuda_aligned(a.data) && qn_cuda_aligned(b.data);
}

template <typename To, typename From>
static void launch_cast(qn_tensor dst, qn_tensor src, const qn_cuda_queue *queue) {
    const int64_t n = qn_tensor_numel(&dst);
    if (qn_tensor_is_dense(&dst) && qn_tensor_is_dense(&src))
        QN_LAUNCH((cast_dense<To, From>), blocks_for_chunks(queue, n), dim3(THREADS), 0,
                  queue->stream, (To *)dst.data, (const From *)src.data, n, both_aligned(dst, src));
    else
        QN_LAUNCH((cast_kernel<To, From>), blocks_for(queue, n), dim3(THREADS), 0, queue->stream,
                  dst, src, n);
}

int qn_cuda_launch_cast_stochastic(qn_tensor dst, qn_tensor src, uint64_t seed, int64_t step,
                                   const qn_cuda_queue *queue) {
    const int64_t n = qn_tensor_numel(&dst);
    QN_LAUNCH(cast_dense_stochastic, blocks_for_chunks(queue, n), dim3(THREADS), 0, queue->stream,
              (bf16 *)dst.data, (const float *)src.data, n, both_aligned(dst, src), seed, step);
    return QN_LAUNCH_ERROR();
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
