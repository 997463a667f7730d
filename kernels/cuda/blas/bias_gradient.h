/* bias_gradient.h: sums of a bf16 matrix down its columns or along its rows, added to an fp32
 * vector, as C sees them. Each call enqueues and returns 0 or a cudaError_t. x is not empty.
 * The order of additions depends on the shape and the device only. */
#ifndef QUERN_CUDA_BIAS_GRADIENT_H
#define QUERN_CUDA_BIAS_GRADIENT_H

#include "quern/tensor.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parts into which the rows of x (rows,cols) are cut, each summed by itself. */
int64_t qn_cuda_column_parts(int64_t rows, int64_t cols, const qn_cuda_queue *);

/* sums (cols) += Σ x down each column; parts (qn_cuda_column_parts,cols) is scratch. */
int qn_cuda_launch_add_column_sums(qn_tensor x, float *parts, float *sums, const qn_cuda_queue *);

/* sums (rows) += Σ x along each row. */
int qn_cuda_launch_add_row_sums(qn_tensor x, float *sums, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
