/* adamw.h: the optimizer's update, as C sees it. */
#ifndef QUERN_CUDA_ADAMW_H
#define QUERN_CUDA_ADAMW_H

#include <stdbool.h>
#include <stdint.h>

#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A tile is what a block updates at a time: tiles begin and end at multiples of this many elements
 * of the flat arrays, except where a segment does. */
enum { QN_CUDA_ADAMW_TILE = 2048 };

enum { QN_CUDA_ADAMW_BATCH = 128 }; /* segments of a launch */

/* Segments that one launch updates, in its parameters, which hold 4 KB: nothing of the host is
 * read later, so a stream and a graph may keep the launch for as long as they like. */
typedef struct qn_cuda_adamw_batch {
    int64_t begin[QN_CUDA_ADAMW_BATCH], end[QN_CUDA_ADAMW_BATCH]; /* elements */
    int64_t end_tile[QN_CUDA_ADAMW_BATCH]; /* tiles of this segment and of those before it */
    float shrink[QN_CUDA_ADAMW_BATCH];     /* lr·weight_decay */
    int n;
} qn_cuda_adamw_batch;

/* What holds for all segments of a step; names as in qn_adamw_args. */
typedef struct qn_cuda_adamw_step {
    float *param;
    const float *grad;
    float *m, *v;
    void *weights; /* bf16, or NULL */
    const float *grad_sumsq;
    float grad_scale, clip;
    float beta1, beta2;
    float rate;       /* lr / (1 − beta1^step) */
    float root_scale; /* 1 / √(1 − beta2^step) */
    float eps;
    bool aligned; /* all arrays, to 16 bytes */
    bool stochastic;
    uint64_t seed;
    int64_t number; /* of the step */
} qn_cuda_adamw_step;

/* Enqueues the update of a batch that is not empty; returns 0 or a cudaError_t. */
int qn_cuda_launch_adamw(const qn_cuda_adamw_step *, const qn_cuda_adamw_batch *,
                         const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
