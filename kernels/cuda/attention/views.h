/* views.h: the tensors of a call as its kernels can read them. A view that is not aligned to 16
 * bytes, or whose strides are not multiples of 8 elements, is copied into the workspace before
 * the kernels run, or out of it after. */
#ifndef QUERN_CUDA_ATTENTION_VIEWS_H
#define QUERN_CUDA_ATTENTION_VIEWS_H

#include "backend.h"
#include "params.h"
#include "workspace.h"

typedef enum qn_attn_use { QN_ATTN_READ, QN_ATTN_WRITTEN } qn_attn_use;

typedef struct qn_attn_copied {
    qn_attn_view given, dense;
    int32_t n_rows, n_heads;
    qn_attn_use use;
} qn_attn_copied;

typedef struct qn_attn_views {
    qn_attn_copied copied[8];
    int n_copied;
    int32_t batch, head_dim;
} qn_attn_views;

/* The view for the kernels of x (B,T,H,D): its own, or one in the workspace. */
qn_attn_view qn_attn_view_of(qn_attn_views *views, qn_workspace *workspace, const qn_tensor *x,
                             qn_attn_use use);

/* Brings what is read into the workspace; what was written, out of it. */
qn_status qn_attn_copy_in(qn_stream *stream, const qn_attn_views *views);
qn_status qn_attn_copy_out(qn_stream *stream, const qn_attn_views *views);

#endif
