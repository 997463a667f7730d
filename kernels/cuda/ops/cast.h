/* cast.h: conversions and zeros of strided tensors, as C sees them. Each call enqueues and
 * returns 0 or a cudaError_t. */
#ifndef QUERN_CUDA_CAST_H
#define QUERN_CUDA_CAST_H

#include "quern/tensor.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* dst = src converted; both fp32 or bf16, of one shape, any strides, not empty. */
int qn_cuda_launch_cast(qn_tensor dst, qn_tensor src, const qn_cuda_queue *);

/* The same for dense tensors, rounded stochastically to bf16; see rounding.h. */
int qn_cuda_launch_cast_stochastic(qn_tensor dst, qn_tensor src, uint64_t seed, int64_t step,
                                   const qn_cuda_queue *);

/* dst = 0; fp32 or bf16, any strides, not empty. */
int qn_cuda_launch_clear(qn_tensor dst, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
