/* norm.h: the kernels of RMSNorm and LayerNorm, as C sees them. Each call enqueues and returns 0
 * or a cudaError_t. */
#ifndef QUERN_CUDA_NORM_H
#define QUERN_CUDA_NORM_H

#include <stdbool.h>
#include <stdint.h>

#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of bf16: that of (n, h) begins n·token + h·head elements after data. data NULL: absent. */
typedef struct qn_norm_rows {
    uint16_t *data;
    int64_t token, head;
} qn_norm_rows;

/* One fp32 a row: that of (n, h) lies n·token + h after data. */
typedef struct qn_norm_stat {
    float *data;
    int64_t token;
} qn_norm_stat;

/* A call of either norm, checked and not empty. Row r is that of (r / n_heads, r % n_heads). */
typedef struct qn_norm_params {
    int64_t n_rows, n_heads, cols;
    bool centred; /* LayerNorm */
    bool wide;    /* all rows are (qn_cuda_wide) */
    float eps;
    const uint16_t *weight, *bias;
    qn_norm_stat mean, rstd;
    qn_norm_rows x;
    qn_norm_rows residual, sum, out;  /* forward */
    qn_norm_rows dout, dresidual, dx; /* backward */
    float *dweight, *dbias;
    float *partials; /* (blocks, 2, cols): a block's part of dweight, then of dbias */
} qn_norm_params;

int qn_cuda_launch_norm_forward(const qn_norm_params *, const qn_cuda_queue *);

/* Blocks of a backward pass, at most. */
int64_t qn_cuda_norm_backward_blocks(int64_t n_rows, int64_t cols, const qn_cuda_queue *);
int qn_cuda_launch_norm_backward(const qn_norm_params *, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
