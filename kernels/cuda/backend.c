/* backend.c: the table of the CUDA backend. */
#include "backend.h"
#include "missing.h"
#include "open.h"

static const qn_ops cuda_ops = {
    .device_info = qn_cuda_device_info,
    .close = qn_cuda_close_device,
    .alloc = qn_cuda_alloc,
    .free = qn_cuda_free,
    .stream_create = qn_cuda_stream_create,
    .stream_destroy = qn_cuda_stream_destroy,
    .stream_sync = qn_cuda_stream_sync,
    .event_create = qn_cuda_event_create,
    .event_destroy = qn_cuda_event_destroy,
    .event_record = qn_cuda_event_record,
    .stream_wait = qn_cuda_stream_wait,
    .event_elapsed = qn_cuda_event_elapsed,
    .copy = qn_cuda_copy,
    .zero = qn_cuda_zero,
    .cast = qn_cuda_cast,
    .add = missing_add,
    .sum = missing_sum,
    .sum_squares = missing_sum_squares,
    .gemm_workspace = missing_gemm_workspace,
    .gemm = missing_gemm,
    .embedding_forward = qn_cuda_embedding_forward,
    .embedding_backward_workspace = qn_cuda_embedding_backward_workspace,
    .embedding_backward = qn_cuda_embedding_backward,
    .norm_backward_workspace = missing_norm_backward_workspace,
    .rmsnorm_forward = missing_rmsnorm_forward,
    .rmsnorm_backward = missing_rmsnorm_backward,
    .layernorm_forward = missing_layernorm_forward,
    .layernorm_backward = missing_layernorm_backward,
    .rope_table = missing_rope_table,
    .rope = missing_rope,
    .attention_forward_workspace = qn_cuda_attention_forward_workspace,
    .attention_forward = qn_cuda_attention_forward,
    .attention_backward_workspace = qn_cuda_attention_backward_workspace,
    .attention_backward = qn_cuda_attention_backward,
    .swiglu_forward = missing_swiglu_forward,
    .swiglu_backward = missing_swiglu_backward,
    .gelu = missing_gelu,
    .classifier_workspace = missing_classifier_workspace,
    .classifier = missing_classifier,
    .adamw = missing_adamw,
};

qn_status qn_cuda_open(qn_backend **out) { return qn_cuda_open_device(&cuda_ops, out); }
