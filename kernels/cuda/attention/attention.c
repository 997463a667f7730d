/* attention.c: checks a call of attention, gives its kernels views that they can read, and
 * chooses the implementation. */
#include "check/attention.h"

#include "backend.h"
#include "fused.h"
#include "launch.h"
#include "naive.h"
#include "ops/cast.h"
#include "views.h"

static const qn_attention_terms terms = {QN_BF16, "on CUDA"};

/* A checked call, laid out in its workspace. */
typedef struct call {
    qn_attn_params params;
    qn_attn_views views;
    qn_cuda_naive naive;
    bool is_naive;
} call;

static bool has_queries(const qn_attention_args *a) {
    return a->q.shape[0] > 0 && a->q.shape[1] > 0 && a->q.shape[2] > 0;
}

/* ---- layout ------------------------------------------------------------------ */

/* A window that hides nothing is none. */
static int32_t window_of(const qn_attention_args *a) {
    return a->window < a->k.shape[1] ? (int32_t)a->window : 0;
}

static qn_attn_params params_of(const qn_attention_args *a) {
    return (qn_attn_params){
        .lse = a->lse.data,
        .lse_batch = a->lse.stride[0],
        .lse_head = a->lse.stride[1],
        .lse_row = a->lse.stride[2],
        .doc_start = a->doc_start.data,
        .doc_batch = a->doc_start.stride[0],
        .batch = (int32_t)a->q.shape[0],
        .n_heads = (int32_t)a->q.shape[2],
        .n_kv_heads = (int32_t)a->k.shape[2],
        .n_queries = (int32_t)a->q.shape[1],
        .n_keys = (int32_t)a->k.shape[1],
        .head_dim = (int32_t)a->q.shape[3],
        .scale = a->scale,
        .causal = a->causal,
        .window = window_of(a),
    };
}

static void add_stats(call *c, const qn_attn_stats *stats, qn_workspace *w) {
    qn_attn_params *p = &c->params;
    const size_t heads = qn_size_mul((size_t)p->batch, (size_t)p->n_heads);
    const size_t tiles = c->is_naive ? (size_t)p->n_queries
                                     : (size_t)qn_attn_forward_tiles(p->head_dim, p->n_queries);
    p->stats_sums = stats->sums;
    p->stats_counts = stats->counts;
    p->stats_local_window =
        stats->local_window < INT32_MAX ? (int32_t)stats->local_window : INT32_MAX;
    p->stats_parts =
        qn_workspace_cut(w, qn_size_mul(qn_size_mul(heads, tiles), sizeof(qn_attn_tile_stats)));
}

static void add_gradients(call *c, const qn_attention_args *a, qn_workspace *w) {
    qn_attn_params *p = &c->params;
    p->dout = qn_attn_view_of(&c->views, w, &a->dout, QN_ATTN_READ);
    p->dq = qn_attn_view_of(&c->views, w, &a->dq, QN_ATTN_WRITTEN);
    p->dk = qn_attn_view_of(&c->views, w, &a->dk, QN_ATTN_WRITTEN);
    p->dv = qn_attn_view_of(&c->views, w, &a->dv, QN_ATTN_WRITTEN);
    const size_t rows = qn_size_mul((size_t)p->batch * (size_t)p->n_heads, (size_t)p->n_queries);
    p->delta = qn_workspace_cut(w, qn_size_mul(rows, sizeof(float)));
}

static bool is_naive(const qn_attention_args *a, bool backward) {
    if (a->impl != QN_ATTN_AUTO) return a->impl == QN_ATTN_NAIVE;
    return backward && a->q.shape[3] > QN_CUDA_FUSED_BACKWARD_HEAD_DIM;
}

/* Lays a call out in `memory`, NULL to learn the bytes alone, which it returns. */
static size_t lay_out(const qn_cuda *cuda, const qn_attention_args *a, bool backward, void *memory,
                      call *c) {
    qn_workspace w = {.memory = memory};
    *c = (call){.params = params_of(a), .is_naive = is_naive(a, backward)};
    if (!has_queries(a)) return 0;
    qn_attn_params *p = &c->params;
    c->views.batch = p->batch;
    c->views.head_dim = p->head_dim;
    p->q = qn_attn_view_of(&c->views, &w, &a->q, QN_ATTN_READ);
    p->k = qn_attn_view_of(&c->views, &w, &a->k, QN_ATTN_READ);
    p->v = qn_attn_view_of(&c->views, &w, &a->v, QN_ATTN_READ);
    p->o = qn_attn_view_of(&c->views, &w, &a->o, backward ? QN_ATTN_READ : QN_ATTN_WRITTEN);
    if (backward) add_gradients(c, a, &w);
    if (!backward && a->stats) add_stats(c, a->stats, &w);
    if (c->is_naive)
        qn_cuda_naive_lay_out(cuda, p, backward, &w, &c->naive);
    else
        qn_cuda_fused_lay_out(p, backward, a->deterministic, &w);
    return w.used;
}

/* What a call would be refused for, the call itself reports. */
static size_t bytes_of(const qn_backend *backend, const qn_attention_args *a, bool backward) {
    call c;
    qn_status status = qn_check_attention_shapes(a, &terms);
    if (!status) return lay_out((const qn_cuda *)backend, a, backward, NULL, &c);
    qn_status_free(status);
    return 0;
}

size_t qn_cuda_attention_forward_workspace(qn_backend *backend, const qn_attention_args *a) {
    return bytes_of(backend, a, false);
}

size_t qn_cuda_attention_backward_workspace(qn_backend *backend, const qn_attention_args *a) {
    return bytes_of(backend, a, true);
}

/* ---- calls ------------------------------------------------------------------------ */

/* What a grid can count: a row of a head, for the kernels that need most. */
static qn_status check_rows(const qn_attention_args *a) {
    const double rows = (double)a->q.shape[0] * (double)a->q.shape[2] * (double)a->k.shape[1];
    if (a->k.shape[1] > QN_ATTN_MAX_LENGTH)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "attention: %lld positions are more than the %d that the CUDA backend "
                        "counts; use shorter sequences",
                        (long long)a->k.shape[1], (int)QN_ATTN_MAX_LENGTH);
    if (rows <= INT32_MAX) return QN_OK;
    return qn_error(QN_CODE_UNSUPPORTED,
                    "attention: %lld sequences of %lld heads and %lld positions are more than 2^31 "
                    "rows, which the CUDA backend does not count; use a smaller batch",
                    (long long)a->q.shape[0], (long long)a->q.shape[2], (long long)a->k.shape[1]);
}

/* Checks the workspace and lays the call out in it. */
static qn_status prepare(qn_stream *stream, const qn_attention_args *a, bool backward, call *c) {
    const size_t bytes = lay_out(qn_cuda_of(stream), a, backward, NULL, c);
    QN_TRY(qn_check_attention_workspace(a->workspace, bytes));
    QN_TRY(check_rows(a));
    lay_out(qn_cuda_of(stream), a, backward, a->workspace, c);
    return QN_OK;
}

qn_status qn_cuda_attention_forward(qn_stream *stream, const qn_attention_args *a) {
    call c;
    QN_TRY(qn_check_attention_forward(a, &terms));
    QN_TRY(prepare(stream, a, false, &c));
    if (!has_queries(a)) return QN_OK;
    QN_TRY(qn_attn_copy_in(stream, &c.views));
    QN_TRY(c.is_naive ? qn_cuda_naive_forward(stream, &c.params, &c.naive)
                      : qn_cuda_fused_forward(stream, &c.params));
    return qn_attn_copy_out(stream, &c.views);
}

/* Without queries the gradients of k and v are zeros. */
static qn_status clear_key_gradients(qn_stream *stream, const qn_attention_args *a) {
    if (qn_tensor_numel(&a->dk) == 0) return QN_OK;
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_clear(a->dk, &queue), "attention: launching the clearing of dk");
    QN_CUDA_LAUNCH(qn_cuda_launch_clear(a->dv, &queue), "attention: launching the clearing of dv");
    return QN_OK;
}

qn_status qn_cuda_attention_backward(qn_stream *stream, const qn_attention_args *a) {
    call c;
    QN_TRY(qn_check_attention_backward(a, &terms));
    QN_TRY(prepare(stream, a, true, &c));
    if (!has_queries(a)) return clear_key_gradients(stream, a);
    QN_TRY(qn_attn_copy_in(stream, &c.views));
    QN_TRY(c.is_naive ? qn_cuda_naive_backward(stream, &c.params, &c.naive)
                      : qn_cuda_fused_backward(stream, &c.params));
    return qn_attn_copy_out(stream, &c.views);
}
