/* attention.c: checks a call of attention and hands it to an implementation. */
#include "attention.h"

#include <string.h>

#include "attention_problem.h"
#include "check/attention.h"

static const qn_attention_terms terms = {QN_F32, "on the CPU"};

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
    qn_status status = qn_check_attention_shapes(a, &terms);
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
    QN_TRY(qn_check_attention_forward(args, &terms));
    if (args->doc_start.data) QN_TRY(qn_check_attention_documents(&args->doc_start));
    make_problem(args, qn_cpu_threads(stream), &p);
    QN_TRY(qn_check_attention_workspace(args->workspace, forward_bytes(&p)));
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
    QN_TRY(qn_check_attention_backward(args, &terms));
    if (args->doc_start.data) QN_TRY(qn_check_attention_documents(&args->doc_start));
    make_problem(args, qn_cpu_threads(stream), &p);
    QN_TRY(qn_check_attention_workspace(args->workspace, backward_bytes(&p)));
    if (!has_queries(&p))
        zero_key_gradients(args);
    else if (args->impl == QN_ATTN_NAIVE)
        qn_attn_naive_backward(&p);
    else
        qn_attn_fused_backward(&p);
    return QN_OK;
}
