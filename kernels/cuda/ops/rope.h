/* rope.h: the kernels of rotary positions, as C sees them. Each call enqueues and returns 0 or a
 * cudaError_t. */
#ifndef QUERN_CUDA_ROPE_H
#define QUERN_CUDA_ROPE_H

#include "quern/ops.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Checked arguments, x and its table not empty. A token whose position lies outside the table
 * stays as it is. `wide`: x and table are (qn_cuda_wide), and so are halves of heads. */
int qn_cuda_launch_rope(const qn_rope_args *, bool wide, const qn_cuda_queue *);

/* table (P,D), not empty. */
int qn_cuda_launch_rope_table(const qn_tensor *table, double theta, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
