#include "cli/attention_floor.h"

#include <math.h>

#include "cli/gpu_peak.h"
#include "quern/train.h"

/* ---- ceilings -------------------------------------------------------------------- */

enum { COPY_BYTES = 256 << 20, COPIES = 5 };

static qn_status time_copies(const qn_ops *ops, qn_stream *stream, char *memory, qn_event *start,
                             qn_event *end, double *best) {
    *best = INFINITY;
    for (int i = 0; i < COPIES; i++) {
        double seconds;
        QN_TRY(ops->event_record(start, stream));
        QN_TRY(ops->copy(stream, memory, memory + COPY_BYTES, COPY_BYTES, QN_COPY_ON_DEVICE));
        QN_TRY(ops->event_record(end, stream));
        QN_TRY(ops->event_elapsed(start, end, &seconds));
        if (seconds < *best) *best = seconds;
    }
    return QN_OK;
}

/* Bytes read and written a second by a copy. */
static qn_status measure_copy(qn_backend *backend, double *bytes_per_s) {
    const qn_ops *ops = backend->ops;
    qn_stream *stream = NULL;
    qn_event *start = NULL, *end = NULL;
    void *memory = NULL;
    double best;
    qn_status status;
    QN_TRY_GOTO(status, done, ops->stream_create(backend, &stream));
    QN_TRY_GOTO(status, done, ops->event_create(backend, &start));
    QN_TRY_GOTO(status, done, ops->event_create(backend, &end));
    QN_TRY_GOTO(status, done, ops->alloc(backend, 2 * (size_t)COPY_BYTES, &memory));
    QN_TRY_GOTO(status, done, ops->zero(stream, memory, 2 * (size_t)COPY_BYTES));
    QN_TRY_GOTO(status, done, time_copies(ops, stream, memory, start, end, &best));
    *bytes_per_s = 2.0 * COPY_BYTES / best;
done:
    ops->free(backend, memory);
    if (end) ops->event_destroy(end);
    if (start) ops->event_destroy(start);
    if (stream) ops->stream_destroy(stream);
    return status;
}

qn_status qn_ceilings_find(qn_backend *backend, const qn_device_info *device, qn_ceilings *out) {
    *out = (qn_ceilings){.flops_how = "measured", .bytes_how = "measured"};
    QN_TRY(measure_copy(backend, &out->bytes_per_s));
    qn_status status =
        qn_measure_gemm(backend, QN_PRECISION_AUTO, 2048, 2048, 1024, 0.2, &out->flops_per_s);
    if (!status || qn_status_code(status) != QN_CODE_UNSUPPORTED) return status;
    qn_status_free(status);
    out->flops_per_s = qn_gpu_peak(device->name);
    out->flops_how = out->flops_per_s > 0 ? "of the data sheet" : "unknown";
    return QN_OK;
}

/* ---- floors ------------------------------------------------------------------------ */

static double bytes_of_tensors(const qn_attention_problem *p, bool backward) {
    const double rows = (double)(p->shape.batch * p->shape.seq_len);
    const double width = (double)(p->shape.head_dim * (int64_t)qn_dtype_size(p->storage));
    const double q = rows * (double)p->shape.n_heads * width;
    const double k = rows * (double)p->shape.n_kv_heads * width;
    const double lse = rows * (double)p->shape.n_heads * (double)sizeof(float);
    return backward ? 4 * q + 4 * k + lse : 2 * q + 2 * k + lse;
}

/* Operations and bytes of the scores that the naive path keeps in memory, as attention_floor.h says
 * it. */
static void add_scores(const qn_attention_problem *p, bool backward, qn_floor *floor) {
    const qn_attention_check check = qn_attention_problem_check(p);
    const double heads = (double)(p->shape.batch * p->shape.n_heads);
    const double all = heads * (double)p->shape.seq_len * (double)p->shape.seq_len;
    const double seen = heads * qn_attention_pairs(&check);
    const double wide = sizeof(float), narrow = (double)qn_dtype_size(p->storage);
    const int made = backward ? 2 : 1, read = backward ? 3 : 1; /* of matrices; by products */
    floor->flops = (backward ? 10 : 4) * all * (double)p->shape.head_dim;
    floor->bytes += made * (all * wide + seen * wide + all * narrow) + read * all * narrow;
}

qn_floor qn_attention_floor(const qn_attention_problem *p, bool backward, bool naive,
                            const qn_ceilings *c) {
    qn_floor floor = {.flops = (backward ? 2.5 : 1) * p->flops,
                      .bytes = bytes_of_tensors(p, backward)};
    if (naive) add_scores(p, backward, &floor);
    if (c->flops_per_s > 0 && c->bytes_per_s > 0)
        floor.seconds = fmax(floor.flops / c->flops_per_s, floor.bytes / c->bytes_per_s);
    return floor;
}
