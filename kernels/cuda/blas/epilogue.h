/* epilogue.h: what surrounds a product that cuBLASLt does not finish by itself, as C sees it. Each
 * call enqueues and returns 0 or a cudaError_t. Matrices are not empty; vectors are dense. */
#ifndef QUERN_CUDA_EPILOGUE_H
#define QUERN_CUDA_EPILOGUE_H

#include "quern/tensor.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x (m,n) = beta·x + bias, before a product is added to it. With beta 0 the old content is not
 * read. bias (n) bf16, or without data; then x is fp32 or bf16, else bf16. */
int qn_cuda_launch_begin_rows(qn_tensor x, float beta, const void *bias, const qn_cuda_queue *);

/* c (m,n) = gelu(aux); both bf16. */
int qn_cuda_launch_gelu_rows(qn_tensor c, qn_tensor aux, const qn_cuda_queue *);

/* c (m,n) = product ∘ gelu'(aux); the product fp32, the others bf16. */
int qn_cuda_launch_dgelu_rows(qn_tensor c, qn_tensor product, qn_tensor aux, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
