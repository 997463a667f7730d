/* fused.h: attention in tiles, without its scores in memory (fused_sm80_*.cu). */
#ifndef QUERN_CUDA_ATTENTION_FUSED_H
#define QUERN_CUDA_ATTENTION_FUSED_H

#include "backend.h"
#include "params.h"
#include "workspace.h"

enum { QN_CUDA_FUSED_BACKWARD_HEAD_DIM = 128 }; /* the largest that the backward pass takes */

/* Once for a device, before any call of the others. */
qn_status qn_cuda_fused_open(const qn_cuda *cuda);

/* Sets what of the parameters lies in the workspace. */
void qn_cuda_fused_lay_out(qn_attn_params *, bool backward, bool deterministic, qn_workspace *);
qn_status qn_cuda_fused_forward(qn_stream *, const qn_attn_params *);
qn_status qn_cuda_fused_backward(qn_stream *, const qn_attn_params *);

#endif
