/* add.h: the sum of two matrices, as C sees it. Enqueues, returns 0 or a cudaError_t. */
#ifndef QUERN_CUDA_ADD_H
#define QUERN_CUDA_ADD_H

#include "quern/tensor.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* dst = a + b, all (N,C) bf16, not empty; dst may be a or b. `wide`: as qn_cuda_wide says of all
 * three. */
int qn_cuda_launch_add(qn_tensor dst, qn_tensor a, qn_tensor b, bool wide, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
