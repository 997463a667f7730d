/* partial_sums.h: the sum of partial sums of columns, as C sees it. Enqueues, returns 0 or a
 * cudaError_t. */
#ifndef QUERN_CUDA_PARTIAL_SUMS_H
#define QUERN_CUDA_PARTIAL_SUMS_H

#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* sums (cols) += Σ over n_parts rows of partials (n_parts,cols), which begin part_stride elements
 * apart. All fp32, none empty. The order of additions depends on n_parts only. */
int qn_cuda_launch_add_partials(float *sums, const float *partials, int64_t n_parts,
                                int64_t part_stride, int64_t cols, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
