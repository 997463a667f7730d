/* sum.h: sums over arrays, as C sees them. Enqueues, returns 0 or a cudaError_t. */
#ifndef QUERN_CUDA_SUM_H
#define QUERN_CUDA_SUM_H

#include <stdbool.h>

#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { QN_CUDA_SUM_BLOCKS = 8 }; /* a multiprocessor; each leaves one partial sum */

/* *out = Σ x, or Σ x² for `squares`, over n elements, 0 or more. `parts` (device) has room for
 * QN_CUDA_SUM_BLOCKS doubles a multiprocessor. */
int qn_cuda_launch_sum(float *out, const float *x, int64_t n, bool squares, double *parts,
                       const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
