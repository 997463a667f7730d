#include "fused.h"

#include "launch.h"

qn_status qn_cuda_fused_open(const qn_cuda *cuda) {
    const qn_cuda_queue queue = qn_cuda_queue_on(cuda);
    QN_CUDA_LAUNCH(qn_attn_fused_sm80_forward_open(),
                   "attention: preparing the fused forward pass");
    QN_CUDA_LAUNCH(qn_attn_fused_sm80_backward_open(&queue),
                   "attention: preparing the fused backward pass");
    return QN_OK;
}

void qn_cuda_fused_lay_out(qn_attn_params *p, bool backward, bool deterministic, qn_workspace *w) {
    if (!backward) return;
    const size_t heads = (size_t)p->batch * (size_t)p->n_heads;
    const size_t floats = (size_t)qn_attn_backward_dq_floats(p->head_dim, p->n_queries);
    p->dq_sum = qn_workspace_cut(w, qn_size_mul(qn_size_mul(heads, floats), sizeof(float)));
    if (!deterministic) return;
    const size_t key_heads = (size_t)p->batch * (size_t)p->n_kv_heads;
    const size_t semaphores = (size_t)qn_attn_backward_semaphores(p->n_keys);
    p->semaphores =
        qn_workspace_cut(w, qn_size_mul(qn_size_mul(key_heads, semaphores), sizeof(int32_t)));
}

qn_status qn_cuda_fused_forward(qn_stream *stream, const qn_attn_params *p) {
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_attn_fused_sm80_forward(p, &queue),
                   "attention: launching the fused forward pass");
    return QN_OK;
}

qn_status qn_cuda_fused_backward(qn_stream *stream, const qn_attn_params *p) {
    if (p->head_dim > QN_CUDA_FUSED_BACKWARD_HEAD_DIM)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "attention: the fused backward pass on CUDA has head dimensions up to %d, "
                        "not %d; use the naive one",
                        QN_CUDA_FUSED_BACKWARD_HEAD_DIM, p->head_dim);
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_attn_fused_sm80_backward(p, &queue),
                   "attention: launching the fused backward pass");
    return QN_OK;
}
