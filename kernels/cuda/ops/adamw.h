/* adamw.h: the optimizer's update, as C sees it. */
#ifndef QUERN_CUDA_ADAMW_H
#define QUERN_CUDA_ADAMW_H

#include <stdbool.h>
#include <stdint.h>

#include "quern/ops.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A launch's parameters; names as in qn_adamw_args. */
typedef struct qn_cuda_adamw_update {
    float *param;
    const float *grad;
    float *m, *v;
    void *weights; /* bf16, or NULL */
    int64_t count;
    const qn_adamw_segment *segments;
    int n_segments;
    const float *grad_sumsq;
    const qn_adamw_rate *rate;
    float grad_scale, clip;
    float beta1, beta2, eps;
    bool aligned; /* all arrays, to 16 bytes */
    bool stochastic;
    uint64_t seed;
} qn_cuda_adamw_update;

/* Enqueues an update of one element or more; returns 0 or a cudaError_t. */
int qn_cuda_launch_adamw(const qn_cuda_adamw_update *, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
