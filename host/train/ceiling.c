/* ceiling.c: what the backend's matrix product and its memory reach on this machine. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quern/bf16.h"
#include "quern/clock.h"
#include "quern/philox.h"
#include "quern/train.h"

enum { DISTINCT = 1 << 16 };

/* Numbers in (-½, ½): a product of zeros can run faster than real data. They repeat after DISTINCT:
 * to make them all would take longer than the product of a GPU. */
static void make_numbers(qn_dtype dtype, char *values, int64_t count) {
    const size_t size = qn_dtype_size(dtype);
    for (int64_t i = 0; i < count && i < DISTINCT; i++) {
        qn_philox r = qn_philox_at(0, QN_RANDOM_INIT, 0, (uint64_t)i);
        const float x = (float)(qn_uniform(r.x[0]) - 0.5);
        const uint16_t word = qn_bf16_of_float(x);
        memcpy(values + (size_t)i * size, dtype == QN_F32 ? (const void *)&x : &word, size);
    }
    for (int64_t i = DISTINCT; i < count; i += DISTINCT) {
        const int64_t n = count - i < DISTINCT ? count - i : DISTINCT;
        memcpy(values + (size_t)i * size, values, (size_t)n * size);
    }
}

static qn_status fill_random(const qn_ops *ops, qn_stream *stream, qn_dtype dtype, void *to,
                             int64_t count) {
    const size_t size = qn_dtype_size(dtype);
    char *values = malloc((size_t)count * size);
    if (!values) return qn_error(QN_CODE_MEMORY, "no host memory to measure the matrix product");
    make_numbers(dtype, values, count);
    qn_status status = ops->copy(stream, to, values, (size_t)count * size, QN_COPY_TO_DEVICE);
    if (!status) status = ops->stream_sync(stream);
    free(values);
    return status;
}

/* The best of a few runs, each between `start` and `end`, and behind another product: while a GPU
 * is at that one, the host enqueues all that follows, and no launch is part of the time. */
static qn_status best_product(const qn_ops *ops, qn_stream *stream, const qn_gemm_args *args,
                              qn_event *start, qn_event *end, double seconds, double *best) {
    *best = INFINITY;
    const double begun = qn_clock();
    for (int run = 0; run < 3 || qn_clock() - begun < seconds; run++) {
        double time;
        QN_TRY(ops->gemm(stream, args));
        QN_TRY(ops->event_record(start, stream));
        QN_TRY(ops->gemm(stream, args));
        QN_TRY(ops->event_record(end, stream));
        QN_TRY(ops->event_elapsed(start, end, &time));
        if (time < *best) *best = time;
    }
    return QN_OK;
}

/* A product and the memory that it needs. */
typedef struct product {
    qn_gemm_args args; /* without data */
    size_t size;       /* of a number */
    size_t operands, bytes;
} product;

static qn_status describe_product(qn_backend *backend, qn_precision precision, int64_t m, int64_t n,
                                  int64_t k, product *out) {
    qn_plan_options dtypes;
    QN_TRY(qn_plan_set_precision(backend, precision, &dtypes));
    out->args = (qn_gemm_args){.a = qn_tensor_2d(NULL, dtypes.storage, m, k),
                               .b = qn_tensor_2d(NULL, dtypes.storage, k, n),
                               .c = qn_tensor_2d(NULL, dtypes.storage, m, n),
                               .compute = dtypes.compute};
    out->size = qn_dtype_size(dtypes.storage);
    out->operands = (size_t)(m * k + k * n + m * n) * out->size;
    out->bytes = out->operands + backend->ops->gemm_workspace(backend, &out->args) + 256;
    return QN_OK;
}

static void place_product(product *p, char *memory) {
    qn_gemm_args *args = &p->args;
    const int64_t m = args->c.shape[0], n = args->c.shape[1], k = args->a.shape[1];
    args->a.data = memory;
    args->b.data = memory + (size_t)(m * k) * p->size;
    args->c.data = memory + (size_t)(m * k + k * n) * p->size;
    args->workspace = (void *)(((uintptr_t)memory + p->operands + 63) / 64 * 64);
}

qn_status qn_measure_gemm(qn_backend *backend, qn_precision precision, int64_t m, int64_t n,
                          int64_t k, double seconds, double *flops_per_s) {
    const qn_ops *ops = backend->ops;
    product p;
    QN_TRY(describe_product(backend, precision, m, n, k, &p));
    qn_stream *stream = NULL;
    qn_event *start = NULL, *end = NULL;
    char *memory = NULL;
    double best;
    qn_status status;
    QN_TRY_GOTO(status, done, ops->stream_create(backend, &stream));
    QN_TRY_GOTO(status, done, ops->event_create(backend, &start));
    QN_TRY_GOTO(status, done, ops->event_create(backend, &end));
    QN_TRY_GOTO(status, done, ops->alloc(backend, p.bytes, (void **)&memory));
    place_product(&p, memory);
    QN_TRY_GOTO(status, done, fill_random(ops, stream, p.args.a.dtype, memory, m * k + k * n));
    QN_TRY_GOTO(status, done, best_product(ops, stream, &p.args, start, end, seconds, &best));
    *flops_per_s = 2.0 * (double)m * (double)n * (double)k / best;
done:
    if (memory) ops->free(backend, memory);
    if (end) ops->event_destroy(end);
    if (start) ops->event_destroy(start);
    if (stream) ops->stream_destroy(stream);
    return status;
}

enum { LEAST_ROWS = 64 }; /* of a product whose speed says something */

static qn_status try_product(qn_backend *backend, qn_precision precision, int64_t m, int64_t n,
                             int64_t k) {
    product p;
    void *memory;
    QN_TRY(describe_product(backend, precision, m, n, k, &p));
    QN_TRY(backend->ops->alloc(backend, p.bytes, &memory));
    backend->ops->free(backend, memory);
    return QN_OK;
}

qn_status qn_fit_gemm(qn_backend *backend, qn_precision precision, int64_t *m, int64_t n,
                      int64_t k) {
    for (;;) {
        qn_status status = try_product(backend, precision, *m, n, k);
        if (!status) return QN_OK;
        if (qn_status_code(status) != QN_CODE_MEMORY || *m / 2 < LEAST_ROWS)
            return qn_context(status, "a matrix product of %lld×%lld×%lld, to measure its speed",
                              (long long)*m, (long long)n, (long long)k);
        qn_status_free(status);
        *m /= 2;
    }
}

qn_status qn_measure_ceiling(qn_backend *backend, qn_precision precision, double seconds,
                             double *flops_per_s) {
    qn_device_info device;
    QN_TRY(backend->ops->device_info(backend, &device));
    const int64_t scale = device.n_threads == 0 ? 8 : 1; /* a GPU does 8192×8192×4096 in 1 ms */
    return qn_measure_gemm(backend, precision, scale * 1024, scale * 1024, scale * 512, seconds,
                           flops_per_s);
}

/* ---- copies ------------------------------------------------------------------------ */

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

qn_status qn_measure_copy(qn_backend *backend, double *bytes_per_s) {
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
