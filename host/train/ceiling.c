/* ceiling.c: what the backend's matrix product reaches on this machine. */
#include <stdlib.h>
#include <string.h>

#include "quern/bf16.h"
#include "quern/clock.h"
#include "quern/philox.h"
#include "quern/train.h"

/* Numbers in (-½, ½): a product of zeros can run faster than real data. */
static qn_status fill_random(const qn_ops *ops, qn_stream *stream, qn_dtype dtype, void *to,
                             int64_t count) {
    const size_t size = qn_dtype_size(dtype);
    char *values = malloc((size_t)count * size);
    if (!values) return qn_error(QN_CODE_MEMORY, "no host memory to measure the matrix product");
    for (int64_t i = 0; i < count; i++) {
        qn_philox r = qn_philox_at(0, QN_RANDOM_INIT, 0, (uint64_t)i);
        const float x = (float)(qn_uniform(r.x[0]) - 0.5);
        const uint16_t word = qn_bf16_of_float(x);
        memcpy(values + (size_t)i * size, dtype == QN_F32 ? (const void *)&x : &word, size);
    }
    qn_status status = ops->copy(stream, to, values, (size_t)count * size, QN_COPY_TO_DEVICE);
    if (!status) status = ops->stream_sync(stream);
    free(values);
    return status;
}

static qn_status best_time(const qn_ops *ops, qn_stream *stream, const qn_gemm_args *args,
                           double seconds, double *best) {
    *best = 1e300;
    const double begun = qn_clock();
    for (int run = 0; run < 3 || qn_clock() - begun < seconds; run++) {
        const double start = qn_clock();
        QN_TRY(ops->gemm(stream, args));
        QN_TRY(ops->stream_sync(stream));
        const double time = qn_clock() - start;
        if (time < *best) *best = time;
    }
    return QN_OK;
}

qn_status qn_measure_gemm(qn_backend *backend, qn_precision precision, int64_t m, int64_t n,
                          int64_t k, double seconds, double *flops_per_s) {
    const qn_ops *ops = backend->ops;
    qn_plan_options dtypes;
    QN_TRY(qn_plan_set_precision(backend, precision, &dtypes));
    qn_gemm_args args = {.a = qn_tensor_2d(NULL, dtypes.storage, m, k),
                         .b = qn_tensor_2d(NULL, dtypes.storage, k, n),
                         .c = qn_tensor_2d(NULL, dtypes.storage, m, n),
                         .compute = dtypes.compute};
    const size_t workspace = ops->gemm_workspace(backend, &args);
    const size_t size = qn_dtype_size(dtypes.storage);
    const size_t operands = (size_t)(m * k + k * n + m * n) * size;
    qn_stream *stream = NULL;
    char *memory = NULL;
    double best;
    qn_status status;
    QN_TRY_GOTO(status, done, ops->stream_create(backend, &stream));
    QN_TRY_GOTO(status, done, ops->alloc(backend, operands + workspace + 256, (void **)&memory));
    args.a.data = memory;
    args.b.data = memory + (size_t)(m * k) * size;
    args.c.data = memory + (size_t)(m * k + k * n) * size;
    args.workspace = (void *)(((uintptr_t)memory + operands + 63) / 64 * 64);
    QN_TRY_GOTO(status, done, fill_random(ops, stream, dtypes.storage, memory, m * k + k * n));
    QN_TRY_GOTO(status, done, best_time(ops, stream, &args, seconds, &best));
    *flops_per_s = 2.0 * (double)m * (double)n * (double)k / best;
done:
    if (memory) ops->free(backend, memory);
    if (stream) ops->stream_destroy(stream);
    return status;
}
