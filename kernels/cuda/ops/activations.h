/* activations.h: SwiGLU and GELU, as C sees them. All tensors are bf16 and not empty; `wide`: as
 * qn_cuda_wide says of every one. Each call enqueues and returns 0 or a cudaError_t. */
#ifndef QUERN_CUDA_ACTIVATIONS_H
#define QUERN_CUDA_ACTIVATIONS_H

#include "quern/tensor.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* gate_up (N,2F), out (N,F). */
int qn_cuda_launch_swiglu_forward(qn_tensor out, qn_tensor gate_up, bool wide,
                                  const qn_cuda_queue *);

/* dgate_up, gate_up (N,2F), dout (N,F); dgate_up may be gate_up. */
int qn_cuda_launch_swiglu_backward(qn_tensor dgate_up, qn_tensor gate_up, qn_tensor dout, bool wide,
                                   const qn_cuda_queue *);

/* out, x (N,F). */
int qn_cuda_launch_gelu(qn_tensor out, qn_tensor x, bool wide, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
