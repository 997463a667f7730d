/* epilogue.h: what follows a product that cuBLASLt does not finish by itself, as C sees it. Each
 * call enqueues and returns 0 or a cudaError_t. Matrices are not empty. */
#ifndef QUERN_CUDA_EPILOGUE_H
#define QUERN_CUDA_EPILOGUE_H

#include "quern/ops.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x (m,n) = beta·x, fp32 or bf16. With beta 0 the old content is not read. */
int qn_cuda_launch_scale_rows(qn_tensor x, float beta, const qn_cuda_queue *);

/* c (m,n), and aux where the epilogue writes it, from the product (m,n) in fp32: BIAS, GELU or
 * DGELU of the arguments, whose c, aux and bias are bf16. */
int qn_cuda_launch_finish_rows(const qn_gemm_args *, qn_tensor product, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
