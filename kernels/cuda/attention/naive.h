/* naive.h: attention that materialises its scores: matrix products by cuBLASLt, and one kernel
 * between them. */
#ifndef QUERN_CUDA_ATTENTION_NAIVE_H
#define QUERN_CUDA_ATTENTION_NAIVE_H

#include "backend.h"
#include "params.h"
#include "workspace.h"

/* What lies in the workspace, dense; (B,Hq,Tq,Tk) unless said otherwise.
 *
 * Scores and the gradients of weights are fp32, as the sums of a product are by contract: 6 bytes
 * a score forward and 12 backward, where bf16 scores would take 4 and 8 but put an error of up to
 * 2⁻⁹ of a score into its exponent. */
typedef struct qn_cuda_naive {
    float *scores, *dweights;
    uint16_t *weights, *dscores; /* bf16 */
    float *dk_sum, *dv_sum;      /* (B,Tk,Hkv,D), where several query heads share a key head */
    void *matmul;                /* cuBLASLt's own scratch */
} qn_cuda_naive;

void qn_cuda_naive_lay_out(const qn_cuda *, const qn_attn_params *, bool backward, qn_workspace *,
                           qn_cuda_naive *);
qn_status qn_cuda_naive_forward(qn_stream *, const qn_attn_params *, const qn_cuda_naive *);
qn_status qn_cuda_naive_backward(qn_stream *, const qn_attn_params *, const qn_cuda_naive *);

#endif
