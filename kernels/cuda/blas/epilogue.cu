/* epilogue.cu: passes over a matrix where cuBLASLt's epilogues do not serve. In each a block of 256
 * threads takes a row at a time, a thread 8 elements of it and a step; nothing lies in shared
 * memory. */
#include "epilogue.h"
#include "gelu.h"
#include "rows.h"
#include "vector.h"

enum { THREADS = 256, RESIDENT = 8 };

template <typename T> QN_DEVICE T *row_at(const qn_tensor &x, int64_t row) {
    return (T *)x.data + row * x.stride[0];
}

/* x = beta·x. Bytes: an element written, and read where beta is not 0. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    scale_rows(const __grid_constant__ qn_tensor x, float beta, bool wide) {
    const int64_t n = x.shape[1];
    for (int64_t i = blockIdx.x; i < x.shape[0]; i += gridDim.x)
        for (int64_t j = threadIdx.x * VECTOR; j < n; j += THREADS * VECTOR) {
            vector8 v = {};
            if (beta != 0) v = load_part(row_at<T>(x, i), j, n, wide);
#pragma unroll
            for (int e = 0; e < VECTOR; e++) v.x[e] *= beta;
            store_part(row_at<T>(x, i), j, n, wide, v);
        }
}

/* c = product + bias; aux = product + bias and c = gelu of that; c = product ∘ gelu'(aux). bias
 * may be absent. Bytes, of each element: 4 of the product read and 2 of c written, and 2 of aux
 * written or read; bias comes from the cache. */
template <qn_epilogue EPILOGUE>
__global__ void __launch_bounds__(THREADS)
    finish_rows(const __grid_constant__ qn_tensor c, const __grid_constant__ qn_tensor product,
                const __grid_constant__ qn_tensor aux, const bf16 *bias, bool wide) {
    const int64_t n = c.shape[1];
    for (int64_t i = blockIdx.x; i < c.shape[0]; i += gridDim.x)
        for (int64_t j = threadIdx.x * VECTOR; j < n; j += THREADS * VECTOR) {
            vector8 x = load_part(row_at<float>(product, i), j, n, wide), y = {};
            if (EPILOGUE == QN_EPILOGUE_DGELU)
                y = load_part(row_at<bf16>(aux, i), j, n, wide);
            else if (bias)
                y = load_part(bias, j, n, wide);
#pragma unroll
            for (int e = 0; e < VECTOR; e++)
                x.x[e] = EPILOGUE == QN_EPILOGUE_DGELU ? x.x[e] * gelu_derivative(y.x[e])
                                                       : x.x[e] + y.x[e];
            if (EPILOGUE == QN_EPILOGUE_GELU) {
                store_part(row_at<bf16>(aux, i), j, n, wide, x);
#pragma unroll
                for (int e = 0; e < VECTOR; e++) x.x[e] = gelu(x.x[e]);
            }
            store_part(row_at<bf16>(c, i), j, n, wide, x);
        }
}

/* ---- launching --------------------------------------------------------------- */

static dim3 blocks_of(const qn_cuda_queue *queue, const qn_tensor &x) {
    return dim3(qn_cuda_blocks(queue, x.shape[0], 1, RESIDENT));
}

int qn_cuda_launch_scale_rows(qn_tensor x, float beta, const qn_cuda_queue *queue) {
    const bool wide = qn_cuda_wide(&x);
    if (x.dtype == QN_BF16)
        QN_LAUNCH(scale_rows<bf16>, blocks_of(queue, x), dim3(THREADS), 0, queue->stream, x, beta,
                  wide);
    else
        QN_LAUNCH(scale_rows<float>, blocks_of(queue, x), dim3(THREADS), 0, queue->stream, x, beta,
                  wide);
    return QN_LAUNCH_ERROR();
}

template <qn_epilogue EPILOGUE>
static int finish(const qn_gemm_args &args, const qn_tensor &product, const qn_cuda_queue *queue) {
    const bool has_aux = EPILOGUE != QN_EPILOGUE_BIAS, has_bias = EPILOGUE != QN_EPILOGUE_DGELU;
    const void *const bias = has_bias ? args.bias.data : nullptr;
    const bool wide = qn_cuda_wide(&args.c) && qn_cuda_wide(&product) &&
                      (!has_aux || qn_cuda_wide(&args.aux)) && (uintptr_t)bias % 16 == 0;
    QN_LAUNCH(finish_rows<EPILOGUE>, blocks_of(queue, args.c), dim3(THREADS), 0, queue->stream,
              args.c, product, args.aux, (const bf16 *)bias, wide);
    return QN_LAUNCH_ERROR();
}

int qn_cuda_launch_finish_rows(const qn_gemm_args *args, qn_tensor product,
                               const qn_cuda_queue *queue) {
    if (args->epilogue == QN_EPILOGUE_BIAS) return finish<QN_EPILOGUE_BIAS>(*args, product, queue);
    if (args->epilogue == QN_EPILOGUE_GELU) return finish<QN_EPILOGUE_GELU>(*args, product, queue);
    return finish<QN_EPILOGUE_DGELU>(*args, product, queue);
}
