#include "cli/attention_problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quern/bf16.h"
#include "quern/philox.h"

static void list_tensors(qn_attention_args *args, qn_tensor *tensors[QN_PROBLEM_TENSORS]) {
    qn_tensor *const all[] = {&args->q,   &args->k,  &args->v,  &args->dout, &args->o,
                              &args->lse, &args->dq, &args->dk, &args->dv};
    memcpy(tensors, all, sizeof all);
}

/* ---- between host and device --------------------------------------------------- */

static void round_to_bf16(uint16_t *dst, const float *src, int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = qn_bf16_of_float(src[i]);
}

static void widen(float *dst, const uint16_t *src, int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = qn_float_of_bf16(src[i]);
}

static qn_status copy(qn_attention_problem *p, void *dst, const void *src, size_t bytes,
                      qn_copy_kind kind) {
    QN_TRY(p->backend->ops->copy(p->stream, dst, src, bytes, kind));
    return p->backend->ops->stream_sync(p->stream);
}

static qn_status allocate_host(size_t bytes, void **out) {
    *out = malloc(bytes);
    return *out ? QN_OK : qn_error(QN_CODE_MEMORY, "no host memory for %zu bytes", bytes);
}

/* The host's values become those that the device stores. */
static qn_status upload(qn_attention_problem *p, const qn_tensor *t, float *host) {
    const int64_t n = qn_tensor_numel(t);
    const size_t bytes = (size_t)n * qn_dtype_size(t->dtype);
    if (t->dtype == QN_F32) return copy(p, t->data, host, bytes, QN_COPY_TO_DEVICE);
    void *rounded;
    QN_TRY(allocate_host(bytes, &rounded));
    round_to_bf16(rounded, host, n);
    widen(host, rounded, n);
    qn_status status = copy(p, t->data, rounded, bytes, QN_COPY_TO_DEVICE);
    free(rounded);
    return status;
}

static qn_status download(qn_attention_problem *p, const qn_tensor *t, float *host) {
    const int64_t n = qn_tensor_numel(t);
    const size_t bytes = (size_t)n * qn_dtype_size(t->dtype);
    if (t->dtype == QN_F32) return copy(p, host, t->data, bytes, QN_COPY_TO_HOST);
    void *rounded;
    QN_TRY(allocate_host(bytes, &rounded));
    qn_status status = copy(p, rounded, t->data, bytes, QN_COPY_TO_HOST);
    if (!status) widen(host, rounded, n);
    free(rounded);
    return status;
}

qn_status qn_attention_problem_fetch(qn_attention_problem *p, bool backward) {
    qn_tensor *tensors[QN_PROBLEM_TENSORS];
    list_tensors(&p->args, tensors);
    const int end = backward ? QN_PROBLEM_TENSORS : QN_PROBLEM_LSE + 1;
    for (int t = QN_PROBLEM_O; t < end; t++) QN_TRY(download(p, tensors[t], p->host[t]));
    return QN_OK;
}

/* ---- opening ---------------------------------------------------------------------- */

static void fill_normal(float *x, int64_t n, uint32_t stream) {
    for (int64_t i = 0; i < n; i += 2) {
        const qn_philox r = qn_philox_at(1, QN_RANDOM_INIT, stream, (uint64_t)i);
        float pair[2];
        qn_normal_pair(r.x[0], r.x[1], pair);
        x[i] = pair[0];
        if (i + 1 < n) x[i + 1] = pair[1];
    }
}

static void describe(qn_attention_problem *p) {
    const qn_attention_shape *s = &p->shape;
    qn_attention_args *args = &p->args;
    args->q = qn_tensor_4d(NULL, p->storage, s->batch, s->seq_len, s->n_heads, s->head_dim);
    args->k = qn_tensor_4d(NULL, p->storage, s->batch, s->seq_len, s->n_kv_heads, s->head_dim);
    args->o = args->dout = args->dq = args->q;
    args->v = args->dk = args->dv = args->k;
    args->lse = qn_tensor_3d(NULL, QN_F32, s->batch, s->n_heads, s->seq_len);
    args->scale = 1 / sqrtf((float)s->head_dim);
    args->causal = s->causal;
    args->window = s->window;
    args->compute = p->storage;
    args->deterministic = s->deterministic;
}

static qn_status open_tensors(qn_attention_problem *p) {
    qn_tensor *tensors[QN_PROBLEM_TENSORS];
    list_tensors(&p->args, tensors);
    for (int i = 0; i < QN_PROBLEM_TENSORS; i++) {
        qn_tensor *t = tensors[i];
        const int64_t n = qn_tensor_numel(t);
        QN_TRY(allocate_host((size_t)n * sizeof(float), (void **)&p->host[i]));
        QN_TRY(p->backend->ops->alloc(p->backend, (size_t)n * qn_dtype_size(t->dtype), &t->data));
        if (i >= QN_PROBLEM_INPUTS) continue;
        fill_normal(p->host[i], n, (uint32_t)i);
        QN_TRY(upload(p, t, p->host[i]));
    }
    return QN_OK;
}

static qn_status open_stats(qn_attention_problem *p) {
    const qn_ops *ops = p->backend->ops;
    const size_t heads = (size_t)p->shape.n_heads;
    const size_t sums = heads * QN_ATTN_N_SUMS * sizeof(float);
    const size_t counts = heads * QN_ATTN_N_COUNTS * sizeof(int64_t);
    p->stats.local_window = 64;
    QN_TRY(ops->alloc(p->backend, sums, (void **)&p->stats.sums));
    QN_TRY(ops->alloc(p->backend, counts, (void **)&p->stats.counts));
    QN_TRY(ops->zero(p->stream, p->stats.sums, sums));
    return ops->zero(p->stream, p->stats.counts, counts);
}

/* T²/2 by convention where only causality hides, without the diagonal's half. */
static double count_flops(const qn_attention_problem *p) {
    const qn_attention_shape *s = &p->shape;
    const double per_pair = 4.0 * (double)(s->batch * s->n_heads * s->head_dim);
    if (s->causal && !s->window) return 0.5 * per_pair * (double)s->seq_len * (double)s->seq_len;
    const qn_attention_check check = qn_attention_problem_check(p);
    return per_pair * qn_attention_pairs(&check);
}

qn_status qn_attention_problem_open(qn_backend *backend, const qn_attention_shape *shape,
                                    qn_attention_problem *p) {
    qn_device_info device;
    *p = (qn_attention_problem){.backend = backend, .shape = *shape};
    QN_TRY(backend->ops->device_info(backend, &device));
    QN_TRY(backend->ops->stream_create(backend, &p->stream));
    p->storage = device.storage[0];
    describe(p);
    p->flops = count_flops(p);
    QN_TRY(open_tensors(p));
    return open_stats(p);
}

void qn_attention_problem_close(qn_attention_problem *p) {
    const qn_ops *ops = p->backend->ops;
    qn_tensor *tensors[QN_PROBLEM_TENSORS];
    list_tensors(&p->args, tensors);
    for (int t = 0; t < QN_PROBLEM_TENSORS; t++) {
        free(p->host[t]);
        ops->free(p->backend, tensors[t]->data);
    }
    ops->free(p->backend, p->stats.sums);
    ops->free(p->backend, p->stats.counts);
    if (p->stream) ops->stream_destroy(p->stream);
}

qn_attention_check qn_attention_problem_check(const qn_attention_problem *p) {
    return (qn_attention_check){
        .batch = p->shape.batch,
        .seq_len = p->shape.seq_len,
        .n_heads = p->shape.n_heads,
        .n_kv_heads = p->shape.n_kv_heads,
        .head_dim = p->shape.head_dim,
        .causal = p->shape.causal,
        .window = p->shape.window,
        .scale = p->args.scale,
        .bf16 = p->storage == QN_BF16,
        .q = p->host[QN_PROBLEM_Q],
        .k = p->host[QN_PROBLEM_K],
        .v = p->host[QN_PROBLEM_V],
        .o = p->host[QN_PROBLEM_O],
        .lse = p->host[QN_PROBLEM_LSE],
        .dout = p->host[QN_PROBLEM_DOUT],
        .dq = p->host[QN_PROBLEM_DQ],
        .dk = p->host[QN_PROBLEM_DK],
        .dv = p->host[QN_PROBLEM_DV],
    };
}
