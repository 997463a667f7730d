/* attention.c: checks a call of attention and hands it to an implementation. */
#include "attention.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "attention_problem.h"
#include "check.h"

enum { MAX_HEAD_DIM = 256 };

static qn_status invalid(const char *name, const char *what) {
    return qn_error(QN_CODE_INVALID, "attention: %s %s", name, what);
}

/* ---- shapes and options ---------------------------------------------------- */

static qn_status check_layout(const char *name, const qn_tensor *x, qn_dtype dtype, int rank) {
    if (x->dtype != dtype)
        return qn_error(QN_CODE_INVALID, "attention: %s has dtype %s, expected %s on the CPU", name,
                        qn_show_dtype(x->dtype), qn_show_dtype(dtype));
    if (x->rank != rank)
        return qn_error(QN_CODE_INVALID, "attention: %s has rank %d, expected %d", name, x->rank,
                        rank);
    size_t bytes = qn_dtype_size(dtype);
    for (int i = 0; i < rank; i++) {
        if (x->shape[i] < 0 || x->shape[i] >= INT32_MAX)
            return qn_error(QN_CODE_INVALID,
                            "attention: %s has length %" PRId64 " on axis %d, expected 0 to 2^31-2",
                            name, x->shape[i], i);
        bytes = qn_size_mul(bytes, (size_t)x->shape[i]);
    }
    if (bytes > INT64_MAX) return invalid(name, "has more elements than memory can have");
    if (x->shape[rank - 1] > 1 && x->stride[rank - 1] != 1)
        return qn_error(QN_CODE_INVALID,
                        "attention: %s has stride %" PRId64 " on its last axis, expected 1", name,
                        x->stride[rank - 1]);
    return QN_OK;
}

static qn_status check_shape(const char *name, const qn_tensor *x, qn_dtype dtype, int rank,
                             const int64_t shape[]) {
    QN_TRY(check_layout(name, x, dtype, rank));
    for (int i = 0; i < rank; i++)
        if (x->shape[i] != shape[i])
            return qn_error(QN_CODE_INVALID,
                            "attention: %s has length %" PRId64 " on axis %d, expected %" PRId64,
                            name, x->shape[i], i, shape[i]);
    return QN_OK;
}

static qn_status check_options(const qn_attention_args *a) {
    if (!isfinite(a->scale))
        return qn_error(QN_CODE_INVALID, "attention: scale is %g, expected a finite number",
                        (double)a->scale);
    if (a->window < 0)
        return qn_error(QN_CODE_INVALID,
                        "attention: window is %" PRId64 ", expected a length, or 0 for none",
                        a->window);
    if (a->impl != QN_ATTN_AUTO && a->impl != QN_ATTN_NAIVE && a->impl != QN_ATTN_FUSED)
        return qn_error(QN_CODE_INVALID, "attention: impl is %d, expected auto, naive or fused",
                        (int)a->impl);
    if (a->compute != QN_F32 && a->compute != QN_BF16)
        return invalid("compute", "is neither fp32 nor bf16");
    return QN_OK;
}

static qn_status check_shapes(const qn_attention_args *a) {
    QN_TRY(check_layout("q", &a->q, QN_F32, 4));
    QN_TRY(check_layout("k", &a->k, QN_F32, 4));
    int64_t batch = a->q.shape[0], n_queries = a->q.shape[1], n_heads = a->q.shape[2];
    int64_t n_keys = a->k.shape[1], n_kv_heads = a->k.shape[2], head_dim = a->q.shape[3];
    if (head_dim == 0 || head_dim % 8 || head_dim > MAX_HEAD_DIM)
        return qn_error(QN_CODE_INVALID,
                        "attention: q has head dimension %" PRId64
                        ", expected a multiple of 8 from 8 to %d",
                        head_dim, MAX_HEAD_DIM);
    if (n_kv_heads == 0 ? n_heads != 0 : n_heads % n_kv_heads != 0)
        return qn_error(QN_CODE_INVALID,
                        "attention: q has %" PRId64 " heads, expected a multiple of k's %" PRId64,
                        n_heads, n_kv_heads);
    if (n_queries > n_keys)
        return qn_error(QN_CODE_INVALID,
                        "attention: q has %" PRId64 " positions, expected at most k's %" PRId64,
                        n_queries, n_keys);
    const int64_t kv_shape[] = {batch, n_keys, n_kv_heads, head_dim};
    QN_TRY(check_shape("k", &a->k, QN_F32, 4, kv_shape));
    QN_TRY(check_shape("v", &a->v, QN_F32, 4, kv_shape));
    if (a->doc_start.data) {
        const int64_t doc_shape[] = {batch, n_keys};
        QN_TRY(check_shape("doc_start", &a->doc_start, QN_I32, 2, doc_shape));
    }
    return check_options(a);
}

/* A thread wants work for some 20 microseconds. */
static int useful_threads(const qn_attention_args *a, int n_threads) {
    const double per_thread = 1 << 19;
    double work = 1; /* multiply-adds of a product */
    for (int axis = 0; axis < 4; axis++) work *= (double)a->q.shape[axis];
    work *= (double)a->k.shape[1];
    return work < per_thread * n_threads ? 1 + (int)(work / per_thread) : n_threads;
}

static void make_problem(const qn_attention_args *a, int n_threads, qn_attn_problem *p) {
    *p = (qn_attn_problem){
        .args = a,
        .batch = a->q.shape[0],
        .n_heads = a->q.shape[2],
        .n_kv_heads = a->k.shape[2],
        .group = a->k.shape[2] ? a->q.shape[2] / a->k.shape[2] : 0,
        .head_dim = a->q.shape[3],
        .mask = {.n_queries = a->q.shape[1],
                 .n_keys = a->k.shape[1],
                 .causal = a->causal,
                 .window = a->window,
                 .doc_start = a->doc_start.data,
                 .doc_stride = a->doc_start.stride[0]},
        .n_threads = useful_threads(a, n_threads),
    };
}

static bool has_heads(const qn_attn_problem *p) { return p->batch > 0 && p->n_heads > 0; }

static bool has_queries(const qn_attn_problem *p) { return has_heads(p) && p->mask.n_queries > 0; }

/* ---- memory ------------------------------------------------------------------ */

/* A tensor of the shape that the contract asks for, with data unless it is empty. */
static qn_status check_tensor(const char *name, const qn_tensor *x, int rank,
                              const int64_t shape[]) {
    QN_TRY(check_shape(name, x, QN_F32, rank, shape));
    bool empty = false;
    for (int i = 0; i < rank; i++) empty = empty || shape[i] == 0;
    return x->data || empty ? QN_OK : invalid(name, "has no data");
}

static qn_status check_inputs(const qn_attention_args *a) {
    const int64_t lse_shape[] = {a->q.shape[0], a->q.shape[2], a->q.shape[1]};
    QN_TRY(check_tensor("q", &a->q, 4, a->q.shape));
    QN_TRY(check_tensor("k", &a->k, 4, a->k.shape));
    QN_TRY(check_tensor("v", &a->v, 4, a->k.shape));
    QN_TRY(check_tensor("o", &a->o, 4, a->q.shape));
    return check_tensor("lse", &a->lse, 3, lse_shape);
}

static qn_status check_gradients(const qn_attention_args *a) {
    QN_TRY(check_tensor("dout", &a->dout, 4, a->q.shape));
    QN_TRY(check_tensor("dq", &a->dq, 4, a->q.shape));
    QN_TRY(check_tensor("dk", &a->dk, 4, a->k.shape));
    return check_tensor("dv", &a->dv, 4, a->k.shape);
}

/* Each position begins a document or goes on with the one before it. */
static qn_status check_documents(const qn_tensor *doc_start) {
    for (int64_t b = 0; b < doc_start->shape[0]; b++) {
        const int32_t *starts = (const int32_t *)doc_start->data + b * doc_start->stride[0];
        for (int64_t i = 0; i < doc_start->shape[1]; i++)
            if (starts[i] != i && (i == 0 || starts[i] != starts[i - 1]))
                return qn_error(QN_CODE_INVALID,
                                "attention: doc_start[%" PRId64 "][%" PRId64 "] is %" PRId32
                                ", expected %" PRId64 " or the value before it",
                                b, i, starts[i], i);
    }
    return QN_OK;
}

static qn_status check_stats(const qn_attn_stats *stats) {
    if (!stats->sums) return invalid("stats", "has no sums");
    if (!stats->counts) return invalid("stats", "has no counts");
    if (stats->local_window < 0)
        return qn_error(QN_CODE_INVALID,
                        "attention: stats has a local_window of %" PRId64 ", expected 0 or more",
                        stats->local_window);
    return QN_OK;
}

static qn_status check_workspace(const void *workspace, size_t bytes) {
    if (bytes == SIZE_MAX) return invalid("workspace", "would need more memory than can exist");
    if (bytes > 0 && !workspace)
        return qn_error(QN_CODE_INVALID, "attention: workspace is missing, expected %zu bytes",
                        bytes);
    if ((uintptr_t)workspace % QN_CPU_ALIGN)
        return qn_error(QN_CODE_INVALID, "attention: workspace is not aligned to %d bytes",
                        QN_CPU_ALIGN);
    return QN_OK;
}

/* ---- the entries --------------------------------------------------------------- */

static size_t forward_bytes(const qn_attn_problem *p) {
    if (!has_queries(p)) return 0;
    return p->args->impl == QN_ATTN_NAIVE ? qn_attn_naive_forward_workspace(p)
                                          : qn_attn_fused_forward_workspace(p);
}

static size_t backward_bytes(const qn_attn_problem *p) {
    if (!has_queries(p)) return 0;
    return p->args->impl == QN_ATTN_NAIVE ? qn_attn_naive_backward_workspace(p)
                                          : qn_attn_fused_backward_workspace(p);
}

/* What a call would be refused for, the call itself reports. */
static bool shapes_fit(const qn_attention_args *a) {
    qn_status status = check_shapes(a);
    qn_status_free(status);
    return status == QN_OK;
}

size_t qn_cpu_attention_forward_workspace(qn_backend *backend, const qn_attention_args *args) {
    qn_attn_problem p;
    if (!shapes_fit(args)) return 0;
    make_problem(args, ((const qn_cpu *)backend)->n_threads, &p);
    return forward_bytes(&p);
}

size_t qn_cpu_attention_backward_workspace(qn_backend *backend, const qn_attention_args *args) {
    qn_attn_problem p;
    if (!shapes_fit(args)) return 0;
    make_problem(args, ((const qn_cpu *)backend)->n_threads, &p);
    return backward_bytes(&p);
}

qn_status qn_cpu_attention_forward(qn_stream *stream, const qn_attention_args *args) {
    qn_attn_problem p;
    QN_TRY(check_shapes(args));
    QN_TRY(check_inputs(args));
    if (args->stats) QN_TRY(check_stats(args->stats));
    if (args->doc_start.data) QN_TRY(check_documents(&args->doc_start));
    make_problem(args, qn_cpu_threads(stream), &p);
    QN_TRY(check_workspace(args->workspace, forward_bytes(&p)));
    if (!has_queries(&p)) return QN_OK;
    if (args->impl == QN_ATTN_NAIVE)
        qn_attn_naive_forward(&p);
    else
        qn_attn_fused_forward(&p);
    return QN_OK;
}

/* Without queries the gradients of k and v are zeros. */
static void zero_key_gradients(const qn_attention_args *a) {
    size_t bytes = (size_t)a->dk.shape[3] * sizeof(float);
    for (int64_t b = 0; b < a->dk.shape[0]; b++)
        for (int64_t t = 0; t < a->dk.shape[1]; t++)
            for (int64_t h = 0; h < a->dk.shape[2]; h++) {
                memset(qn_attn_row(&a->dk, b, t, h), 0, bytes);
                memset(qn_attn_row(&a->dv, b, t, h), 0, bytes);
            }
}

qn_status qn_cpu_attention_backward(qn_stream *stream, const qn_attention_args *args) {
    qn_attn_problem p;
    QN_TRY(check_shapes(args));
    QN_TRY(check_inputs(args));
    QN_TRY(check_gradients(args));
    if (args->doc_start.data) QN_TRY(check_documents(&args->doc_start));
    make_problem(args, qn_cpu_threads(stream), &p);
    QN_TRY(check_workspace(args->workspace, backward_bytes(&p)));
    if (!has_queries(&p))
        zero_key_gradients(args);
    else if (args->impl == QN_ATTN_NAIVE)
        qn_attn_naive_backward(&p);
    else
        qn_attn_fused_backward(&p);
    return QN_OK;
}
