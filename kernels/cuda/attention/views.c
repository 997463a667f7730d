#include "views.h"

#include "launch.h"

enum { ALIGN_BYTES = 16, ALIGN_ELEMENTS = 8 };

/* Strides of axes that have one element are never used. Rows that overlap are for no product. */
static bool is_readable(const qn_tensor *x) {
    if ((uintptr_t)x->data % ALIGN_BYTES) return false;
    for (int axis = 0; axis < 3; axis++)
        if (x->shape[axis] > 1 && x->stride[axis] % ALIGN_ELEMENTS) return false;
    return x->shape[1] <= 1 || x->stride[1] >= x->shape[3];
}

/* 0 along axes that have one element. */
static qn_attn_view view_of(const qn_tensor *x) {
    return (qn_attn_view){.data = x->data,
                          .batch = x->shape[0] > 1 ? x->stride[0] : 0,
                          .row = x->shape[1] > 1 ? x->stride[1] : 0,
                          .head = x->shape[2] > 1 ? x->stride[2] : 0};
}

qn_attn_view qn_attn_view_of(qn_attn_views *views, qn_workspace *workspace, const qn_tensor *x,
                             qn_attn_use use) {
    if (is_readable(x)) return view_of(x);
    const int64_t rows = x->shape[1], heads = x->shape[2], head_dim = x->shape[3];
    const size_t bytes = (size_t)qn_tensor_numel(x) * sizeof(uint16_t);
    const qn_attn_view dense = {.data = qn_workspace_cut(workspace, bytes),
                                .batch = rows * heads * head_dim,
                                .row = heads * head_dim,
                                .head = head_dim};
    views->copied[views->n_copied++] = (qn_attn_copied){
        .given = view_of(x), .dense = dense, .n_rows = rows, .n_heads = heads, .use = use};
    return dense;
}

qn_status qn_attn_copy_in(qn_stream *stream, const qn_attn_views *views) {
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    for (int i = 0; i < views->n_copied; i++) {
        const qn_attn_copied *x = &views->copied[i];
        if (x->use != QN_ATTN_READ) continue;
        QN_CUDA_LAUNCH(qn_attn_copy_rows(x->dense, x->given, views->batch, x->n_rows, x->n_heads,
                                         views->head_dim, &queue),
                       "attention: launching the copy of an unaligned view");
    }
    return QN_OK;
}

qn_status qn_attn_copy_out(qn_stream *stream, const qn_attn_views *views) {
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    for (int i = 0; i < views->n_copied; i++) {
        const qn_attn_copied *x = &views->copied[i];
        if (x->use != QN_ATTN_WRITTEN) continue;
        QN_CUDA_LAUNCH(qn_attn_copy_rows(x->given, x->dense, views->batch, x->n_rows, x->n_heads,
                                         views->head_dim, &queue),
                       "attention: launching the copy to an unaligned view");
    }
    return QN_OK;
}
