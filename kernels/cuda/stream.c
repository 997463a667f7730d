/* stream.c: streams, events, and the bytes that move on them. */
#include <stdlib.h>

#include "backend.h"

/* ---- streams --------------------------------------------------------------- */

/* The scratch memory belongs to the stream: made with it, freed after its last work. */
static qn_status open_stream(const qn_cuda *cuda, qn_cuda_stream *stream) {
    const size_t bytes = (size_t)cuda->multiprocessors * QN_CUDA_SCRATCH;
    QN_CUDA_TRY(cudaMalloc(&stream->scratch, bytes),
                "allocating %zu bytes of scratch memory of a stream", bytes);
    const cudaError_t error = cudaStreamCreateWithFlags(&stream->handle, cudaStreamNonBlocking);
    if (!error) return QN_OK;
    cudaFree(stream->scratch);
    return qn_cuda_error(error, "creating a stream");
}

qn_status qn_cuda_stream_create(qn_backend *backend, qn_stream **out) {
    *out = NULL;
    qn_cuda_stream *stream = malloc(sizeof *stream);
    if (!stream) return qn_error(QN_CODE_MEMORY, "cannot allocate a stream");
    stream->base.backend = backend;
    qn_status status = open_stream((const qn_cuda *)backend, stream);
    if (status) {
        free(stream);
        return status;
    }
    *out = &stream->base;
    return QN_OK;
}

void qn_cuda_stream_destroy(qn_stream *stream) {
    if (!stream) return;
    cudaStreamDestroy(qn_cuda_handle(stream));
    cudaFree(((qn_cuda_stream *)stream)->scratch);
    free(stream);
}

qn_status qn_cuda_stream_sync(qn_stream *stream) {
    QN_CUDA_TRY(cudaStreamSynchronize(qn_cuda_handle(stream)), "waiting for the work of a stream");
    return QN_OK;
}

/* ---- events ------------------------------------------------------------------ */

typedef struct cuda_event {
    cudaEvent_t handle;
    bool recorded;
} cuda_event;

qn_status qn_cuda_event_create(qn_backend *backend, qn_event **out) {
    (void)backend;
    *out = NULL;
    cuda_event *event = calloc(1, sizeof *event);
    if (!event) return qn_error(QN_CODE_MEMORY, "cannot allocate an event");
    const cudaError_t error = cudaEventCreate(&event->handle);
    if (error) {
        free(event);
        return qn_cuda_error(error, "creating an event");
    }
    *out = (qn_event *)event;
    return QN_OK;
}

void qn_cuda_event_destroy(qn_event *event) {
    if (!event) return;
    cudaEventDestroy(((cuda_event *)event)->handle);
    free(event);
}

qn_status qn_cuda_event_record(qn_event *event, qn_stream *stream) {
    cuda_event *e = (cuda_event *)event;
    QN_CUDA_TRY(cudaEventRecord(e->handle, qn_cuda_handle(stream)), "recording an event");
    e->recorded = true;
    return QN_OK;
}

qn_status qn_cuda_stream_wait(qn_stream *stream, qn_event *event) {
    QN_CUDA_TRY(cudaStreamWaitEvent(qn_cuda_handle(stream), ((cuda_event *)event)->handle, 0),
                "making a stream wait for an event");
    return QN_OK;
}

qn_status qn_cuda_event_sync(qn_event *event) {
    QN_CUDA_TRY(cudaEventSynchronize(((cuda_event *)event)->handle), "waiting for an event");
    return QN_OK;
}

qn_status qn_cuda_event_elapsed(qn_event *start, qn_event *end, double *seconds) {
    const cuda_event *a = (const cuda_event *)start, *b = (const cuda_event *)end;
    if (!a->recorded || !b->recorded)
        return qn_error(QN_CODE_INVALID, "event_elapsed: the %s event was never recorded",
                        a->recorded ? "end" : "start");
    float milliseconds;
    QN_CUDA_TRY(cudaEventSynchronize(a->handle), "waiting for an event");
    QN_CUDA_TRY(cudaEventSynchronize(b->handle), "waiting for an event");
    QN_CUDA_TRY(cudaEventElapsedTime(&milliseconds, a->handle, b->handle),
                "reading the time between two events");
    *seconds = 1e-3 * (double)milliseconds;
    return QN_OK;
}

/* ---- bytes ----------------------------------------------------------------------- */

qn_status qn_cuda_copy(qn_stream *stream, void *dst, const void *src, size_t bytes,
                       qn_copy_kind kind) {
    static const enum cudaMemcpyKind kinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost,
                                                cudaMemcpyDeviceToDevice};
    static const char *const directions[] = {"to the device", "to the host", "on the device"};
    if ((unsigned)kind > QN_COPY_ON_DEVICE)
        return qn_error(QN_CODE_INVALID, "copy: kind %d is none of the three", (int)kind);
    if (bytes == 0) return QN_OK;
    if (!dst || !src)
        return qn_error(QN_CODE_INVALID, "copy: %s is NULL, expected %zu bytes",
                        dst ? "src" : "dst", bytes);
    QN_CUDA_TRY(cudaMemcpyAsync(dst, src, bytes, kinds[kind], qn_cuda_handle(stream)),
                "copying %zu bytes %s", bytes, directions[kind]);
    return QN_OK;
}

qn_status qn_cuda_zero(qn_stream *stream, void *dst, size_t bytes) {
    if (bytes == 0) return QN_OK;
    if (!dst) return qn_error(QN_CODE_INVALID, "zero: dst is NULL, expected %zu bytes", bytes);
    QN_CUDA_TRY(cudaMemsetAsync(dst, 0, bytes, qn_cuda_handle(stream)), "clearing %zu bytes",
                bytes);
    return QN_OK;
}
