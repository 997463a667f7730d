/* activations.c: SwiGLU and GELU. */
#include "activations.h"

#include "backend.h"
#include "check/activations.h"
#include "rows.h"

qn_status qn_cuda_swiglu_forward(qn_stream *stream, const qn_swiglu_args *args) {
    QN_TRY(qn_check_swiglu_forward(args, QN_BF16));
    if (qn_tensor_numel(&args->out) == 0) return QN_OK;
    const bool wide = qn_cuda_wide(&args->gate_up) && qn_cuda_wide(&args->out);
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_swiglu_forward(args->out, args->gate_up, wide, &queue),
                   "swiglu_forward: launching its kernel");
    return QN_OK;
}

qn_status qn_cuda_swiglu_backward(qn_stream *stream, const qn_swiglu_args *args) {
    QN_TRY(qn_check_swiglu_backward(args, QN_BF16));
    if (qn_tensor_numel(&args->dout) == 0) return QN_OK;
    const bool wide =
        qn_cuda_wide(&args->gate_up) && qn_cuda_wide(&args->dout) && qn_cuda_wide(&args->dgate_up);
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(
        qn_cuda_launch_swiglu_backward(args->dgate_up, args->gate_up, args->dout, wide, &queue),
        "swiglu_backward: launching its kernel");
    return QN_OK;
}

qn_status qn_cuda_gelu(qn_stream *stream, qn_tensor out, qn_tensor x) {
    QN_TRY(qn_check_gelu(&out, &x, QN_BF16));
    if (qn_tensor_numel(&x) == 0) return QN_OK;
    const bool wide = qn_cuda_wide(&out) && qn_cuda_wide(&x);
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_gelu(out, x, wide, &queue), "gelu: launching its kernel");
    return QN_OK;
}
