/* norm.c: RMSNorm and LayerNorm, forward and backward. */
#include "norm.h"

#include "backend.h"
#include "check/norm.h"
#include "rows.h"
#include "workspace.h"

/* ---- what the kernels are given ------------------------------------------------ */

/* The places of rows of a tensor of rank 2 or 3; its data is NULL where it is absent. */
static qn_norm_rows rows_of(const qn_tensor *t) {
    return (qn_norm_rows){
        .data = t->data, .token = t->stride[0], .head = t->rank == 3 ? t->stride[1] : 0};
}

static qn_norm_stat stat_of(const qn_tensor *t) {
    return (qn_norm_stat){.data = t->data, .token = t->rank == 2 ? t->stride[0] : 1};
}

static int64_t heads_of(const qn_tensor *x) { return x->rank == 3 ? x->shape[1] : 1; }

static qn_norm_params params_of(const qn_norm_args *a, qn_norm_kind kind) {
    return (qn_norm_params){
        .n_rows = a->x.shape[0] * heads_of(&a->x),
        .n_heads = heads_of(&a->x),
        .cols = a->x.shape[a->x.rank - 1],
        .centred = kind == QN_LAYERNORM,
        .wide = qn_cuda_wide(&a->x) && qn_cuda_wide(&a->weight),
        .eps = a->eps,
        .weight = a->weight.data,
        .mean = stat_of(&a->mean),
        .rstd = stat_of(&a->rstd),
        .x = rows_of(&a->x),
    };
}

/* ---- forward ---------------------------------------------------------------------- */

static qn_norm_params forward_params(const qn_norm_args *a, qn_norm_kind kind) {
    qn_norm_params p = params_of(a, kind);
    p.out = rows_of(&a->out);
    p.wide &= qn_cuda_wide(&a->out);
    if (p.centred) {
        p.bias = a->bias.data;
        p.wide &= qn_cuda_wide(&a->bias);
    }
    if (a->residual.data) {
        p.residual = rows_of(&a->residual);
        p.sum = rows_of(&a->sum);
        p.wide &= qn_cuda_wide(&a->residual) && qn_cuda_wide(&a->sum);
    }
    return p;
}

static qn_status forward(qn_stream *stream, const qn_norm_args *args, qn_norm_kind kind) {
    QN_TRY(qn_check_norm_forward(args, kind, QN_BF16));
    if (qn_tensor_numel(&args->x) == 0) return QN_OK;
    const qn_norm_params p = forward_params(args, kind);
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_norm_forward(&p, &queue), "%s: launching its kernel",
                   qn_norm_forward_name(kind));
    return QN_OK;
}

qn_status qn_cuda_rmsnorm_forward(qn_stream *stream, const qn_norm_args *args) {
    return forward(stream, args, QN_RMSNORM);
}

qn_status qn_cuda_layernorm_forward(qn_stream *stream, const qn_norm_args *args) {
    return forward(stream, args, QN_LAYERNORM);
}

/* ---- backward ----------------------------------------------------------------------- */

static qn_norm_params backward_params(const qn_norm_args *a, qn_norm_kind kind) {
    qn_norm_params p = params_of(a, kind);
    p.dout = rows_of(&a->dout);
    p.dx = rows_of(&a->dx);
    p.dweight = a->dweight.data;
    p.wide &= qn_cuda_wide(&a->dout) && qn_cuda_wide(&a->dx);
    if (p.centred) p.dbias = a->dbias.data;
    if (a->dresidual.data) {
        p.dresidual = rows_of(&a->dresidual);
        p.wide &= qn_cuda_wide(&a->dresidual);
    }
    p.partials = a->workspace;
    return p;
}

/* Parts of dweight and of dbias, which RMSNorm leaves alone: asking does not say which norm. */
static size_t partials_bytes(const qn_cuda *cuda, int64_t n_rows, int64_t cols) {
    const qn_cuda_queue queue = qn_cuda_queue_on(cuda);
    const size_t blocks = (size_t)qn_cuda_norm_backward_blocks(n_rows, cols, &queue);
    return qn_size_mul(qn_size_mul(blocks, (size_t)cols), 2 * sizeof(float));
}

/* What a call would be refused for, the call itself reports. */
size_t qn_cuda_norm_backward_workspace(qn_backend *backend, const qn_norm_args *args) {
    const qn_tensor *x = &args->x;
    int64_t n_rows;
    if (x->rank != 2 && x->rank != 3) return 0;
    const int64_t cols = x->shape[x->rank - 1];
    if (__builtin_mul_overflow(x->shape[0], heads_of(x), &n_rows) || n_rows <= 0 || cols <= 0)
        return 0;
    return partials_bytes((const qn_cuda *)backend, n_rows, cols);
}

static qn_status backward(qn_stream *stream, const qn_norm_args *args, qn_norm_kind kind) {
    const char *op = qn_norm_backward_name(kind);
    QN_TRY(qn_check_norm_backward(args, kind, QN_BF16));
    if (qn_tensor_numel(&args->x) == 0) return QN_OK;
    QN_TRY(qn_check_workspace(op, args->workspace,
                              qn_cuda_norm_backward_workspace(stream->backend, args)));
    const qn_norm_params p = backward_params(args, kind);
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_norm_backward(&p, &queue), "%s: launching its kernels", op);
    return QN_OK;
}

qn_status qn_cuda_rmsnorm_backward(qn_stream *stream, const qn_norm_args *args) {
    return backward(stream, args, QN_RMSNORM);
}

qn_status qn_cuda_layernorm_backward(qn_stream *stream, const qn_norm_args *args) {
    return backward(stream, args, QN_LAYERNORM);
}
