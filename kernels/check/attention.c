#include "check/attention.h"

#include <inttypes.h>
#include <math.h>

#include "check/check.h"
#include "check/size.h"

enum { MAX_HEAD_DIM = 256 };

static qn_status invalid(const char *name, const char *what) {
    return qn_error(QN_CODE_INVALID, "attention: %s %s", name, what);
}

/* ---- shapes and options ---------------------------------------------------- */

static qn_status check_layout(const qn_attention_terms *t, const char *name, const qn_tensor *x,
                              qn_dtype dtype, int rank) {
    if (x->dtype != dtype)
        return qn_error(QN_CODE_INVALID, "attention: %s has dtype %s, expected %s %s", name,
                        qn_show_dtype(x->dtype), qn_show_dtype(dtype), t->where);
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

static qn_status check_shape(const qn_attention_terms *t, const char *name, const qn_tensor *x,
                             qn_dtype dtype, int rank, const int64_t shape[]) {
    QN_TRY(check_layout(t, name, x, dtype, rank));
    for (int i = 0; i < rank; i++)
        if (x->shape[i] != shape[i])
            return qn_error(QN_CODE_INVALID,
                            "attention: %s has length %" PRId64 " on axis %d, expected %" PRId64,
                            name, x->shape[i], i, shape[i]);
    return QN_OK;
}

static qn_status check_options(const qn_attention_args *a, qn_dtype storage) {
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
    if (storage == QN_BF16 && a->compute != QN_BF16)
        return invalid("compute", "is fp32, expected bf16, as q, k and v are");
    return QN_OK;
}

qn_status qn_check_attention_shapes(const qn_attention_args *a, const qn_attention_terms *t) {
    QN_TRY(check_layout(t, "q", &a->q, t->storage, 4));
    QN_TRY(check_layout(t, "k", &a->k, t->storage, 4));
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
    QN_TRY(check_shape(t, "k", &a->k, t->storage, 4, kv_shape));
    QN_TRY(check_shape(t, "v", &a->v, t->storage, 4, kv_shape));
    if (a->doc_start.data) {
        const int64_t doc_shape[] = {batch, n_keys};
        QN_TRY(check_shape(t, "doc_start", &a->doc_start, QN_I32, 2, doc_shape));
    }
    return check_options(a, t->storage);
}

/* ---- memory -------------------------------------------------------------------- */

/* A tensor of the shape that the contract asks for, with data unless it is empty. */
static qn_status check_tensor(const qn_attention_terms *t, const char *name, const qn_tensor *x,
                              qn_dtype dtype, int rank, const int64_t shape[]) {
    QN_TRY(check_shape(t, name, x, dtype, rank, shape));
    bool empty = false;
    for (int i = 0; i < rank; i++) empty = empty || shape[i] == 0;
    return x->data || empty ? QN_OK : invalid(name, "has no data");
}

static qn_status check_inputs(const qn_attention_args *a, const qn_attention_terms *t) {
    const int64_t lse_shape[] = {a->q.shape[0], a->q.shape[2], a->q.shape[1]};
    QN_TRY(check_tensor(t, "q", &a->q, t->storage, 4, a->q.shape));
    QN_TRY(check_tensor(t, "k", &a->k, t->storage, 4, a->k.shape));
    QN_TRY(check_tensor(t, "v", &a->v, t->storage, 4, a->k.shape));
    QN_TRY(check_tensor(t, "o", &a->o, t->storage, 4, a->q.shape));
    return check_tensor(t, "lse", &a->lse, QN_F32, 3, lse_shape);
}

static qn_status check_gradients(const qn_attention_args *a, const qn_attention_terms *t) {
    QN_TRY(check_tensor(t, "dout", &a->dout, t->storage, 4, a->q.shape));
    QN_TRY(check_tensor(t, "dq", &a->dq, t->storage, 4, a->q.shape));
    QN_TRY(check_tensor(t, "dk", &a->dk, t->storage, 4, a->k.shape));
    return check_tensor(t, "dv", &a->dv, t->storage, 4, a->k.shape);
}

/* Each position begins a document or goes on with the one before it. */
qn_status qn_check_attention_documents(const qn_tensor *doc_start) {
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

qn_status qn_check_attention_workspace(const void *workspace, size_t bytes) {
    if (bytes == SIZE_MAX) return invalid("workspace", "would need more memory than can exist");
    if (bytes > 0 && !workspace)
        return qn_error(QN_CODE_INVALID, "attention: workspace is missing, expected %zu bytes",
                        bytes);
    if ((uintptr_t)workspace % QN_WORKSPACE_ALIGN)
        return qn_error(QN_CODE_INVALID, "attention: workspace is not aligned to %d bytes",
                        QN_WORKSPACE_ALIGN);
    return QN_OK;
}

/* ---- whole calls -------------------------------------------------------------- */

qn_status qn_check_attention_forward(const qn_attention_args *a, const qn_attention_terms *t) {
    QN_TRY(qn_check_attention_shapes(a, t));
    QN_TRY(check_inputs(a, t));
    return a->stats ? check_stats(a->stats) : QN_OK;
}

qn_status qn_check_attention_backward(const qn_attention_args *a, const qn_attention_terms *t) {
    QN_TRY(qn_check_attention_shapes(a, t));
    QN_TRY(check_inputs(a, t));
    return check_gradients(a, t);
}
