/* backend.h: what the C files of the CUDA backend share. */
#ifndef QUERN_CUDA_BACKEND_H
#define QUERN_CUDA_BACKEND_H

#include <cuda_runtime_api.h>

#include "blas/cublaslt.h"
#include "blas/plan_cache.h"
#include "quern/backend.h"
#include "queue.h"

typedef struct qn_cuda {
    qn_backend base;
    char name[128];   /* of the device, e.g. "NVIDIA H100 80GB HBM3" */
    int major, minor; /* its compute capability */
    int multiprocessors;
    size_t l2_bytes;     /* of its L2 cache */
    size_t shared_bytes; /* of shared memory that a block may ask for */
    qn_cublaslt blas;
    qn_matmul_plan_cache plans;
    qn_trace *trace; /* open, or NULL: it is told of ranges */
} qn_cuda;

enum { QN_CUDA_SCRATCH = 64 }; /* bytes of a stream's scratch memory, a multiprocessor */

typedef struct qn_cuda_stream {
    qn_stream base;
    cudaStream_t handle;
    void *scratch; /* (device) for operations without a workspace: whatever one of them writes
                      there it reads before it ends. The stream's order keeps calls apart; a graph
                      that was captured from the stream has to run in that order, too. */
} qn_cuda_stream;

static inline qn_cuda *qn_cuda_of(const qn_stream *stream) { return (qn_cuda *)stream->backend; }

static inline cudaStream_t qn_cuda_handle(const qn_stream *stream) {
    return ((const qn_cuda_stream *)stream)->handle;
}

/* Without a stream: for what follows from the device alone, as sizes of workspaces do. */
static inline qn_cuda_queue qn_cuda_queue_on(const qn_cuda *cuda) {
    return (qn_cuda_queue){.multiprocessors = cuda->multiprocessors,
                           .l2_bytes = cuda->l2_bytes,
                           .shared_bytes = cuda->shared_bytes};
}

static inline qn_cuda_queue qn_cuda_queue_of(const qn_stream *stream) {
    qn_cuda_queue queue = qn_cuda_queue_on(qn_cuda_of(stream));
    queue.stream = qn_cuda_handle(stream);
    return queue;
}

/* ---- errors ---------------------------------------------------------------- */

/* "<what was attempted>: cudaErrorX (description); what to do". Forgets the error where CUDA
 * lets it be forgotten, so that the next launch does not report it again. */
qn_status qn_cuda_error(cudaError_t error, const char *what, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull));

/* Returns from the calling function when a call of the runtime fails; then comes what was
 * attempted, a printf format with its values. */
#define QN_CUDA_TRY(call, ...)                                                                     \
    do {                                                                                           \
        const cudaError_t error_ = (call);                                                         \
        if (error_ != cudaSuccess) return qn_cuda_error(error_, __VA_ARGS__);                      \
    } while (0)

/* The same for launchers of kernels, which return a cudaError_t as an int. */
#define QN_CUDA_LAUNCH(call, ...) QN_CUDA_TRY((cudaError_t)(call), __VA_ARGS__)

/* ---- the operations of the table; see ops.h ---------------------------------- */

qn_status qn_cuda_device_info(qn_backend *, qn_device_info *info);
qn_status qn_cuda_alloc(qn_backend *, size_t bytes, void **out);
void qn_cuda_free(qn_backend *, void *memory);

qn_status qn_cuda_host_alloc(qn_backend *, size_t bytes, void **out);
void qn_cuda_host_free(qn_backend *, void *memory);

qn_status qn_cuda_stream_create(qn_backend *, qn_stream **out);
void qn_cuda_stream_destroy(qn_stream *);
qn_status qn_cuda_stream_sync(qn_stream *);
qn_status qn_cuda_event_create(qn_backend *, qn_event **out);
void qn_cuda_event_destroy(qn_event *);
qn_status qn_cuda_event_record(qn_event *, qn_stream *);
qn_status qn_cuda_stream_wait(qn_stream *, qn_event *);
qn_status qn_cuda_event_sync(qn_event *);
qn_status qn_cuda_event_elapsed(qn_event *start, qn_event *end, double *seconds);

qn_status qn_cuda_capture_begin(qn_stream *);
qn_status qn_cuda_capture_end(qn_stream *, qn_graph **out);
qn_status qn_cuda_graph_launch(qn_stream *, qn_graph *);
void qn_cuda_graph_destroy(qn_graph *);

void qn_cuda_range_begin(qn_backend *, const char *name);
void qn_cuda_range_end(qn_backend *);

qn_status qn_cuda_trace_open(qn_backend *, qn_trace **out);

qn_status qn_cuda_copy(qn_stream *, void *dst, const void *src, size_t bytes, qn_copy_kind kind);
qn_status qn_cuda_zero(qn_stream *, void *dst, size_t bytes);
qn_status qn_cuda_cast(qn_stream *, qn_tensor dst, qn_tensor src);
qn_status qn_cuda_cast_stochastic(qn_stream *, qn_tensor dst, qn_tensor src, uint64_t seed,
                                  int64_t step);
qn_status qn_cuda_add(qn_stream *, qn_tensor dst, qn_tensor a, qn_tensor b);
qn_status qn_cuda_sum(qn_stream *, qn_tensor x, float *out);
qn_status qn_cuda_sum_squares(qn_stream *, qn_tensor x, float *out);

size_t qn_cuda_norm_backward_workspace(qn_backend *, const qn_norm_args *);
qn_status qn_cuda_rmsnorm_forward(qn_stream *, const qn_norm_args *);
qn_status qn_cuda_rmsnorm_backward(qn_stream *, const qn_norm_args *);
qn_status qn_cuda_layernorm_forward(qn_stream *, const qn_norm_args *);
qn_status qn_cuda_layernorm_backward(qn_stream *, const qn_norm_args *);

qn_status qn_cuda_rope_table(qn_stream *, qn_tensor table, double theta);
qn_status qn_cuda_rope(qn_stream *, const qn_rope_args *);

size_t qn_cuda_gemm_workspace(qn_backend *, const qn_gemm_args *);
qn_status qn_cuda_gemm(qn_stream *, const qn_gemm_args *);

qn_status qn_cuda_embedding_forward(qn_stream *, const qn_embedding_args *);
size_t qn_cuda_embedding_backward_workspace(qn_backend *, const qn_embedding_args *);
qn_status qn_cuda_embedding_backward(qn_stream *, const qn_embedding_args *);

size_t qn_cuda_attention_forward_workspace(qn_backend *, const qn_attention_args *);
qn_status qn_cuda_attention_forward(qn_stream *, const qn_attention_args *);
size_t qn_cuda_attention_backward_workspace(qn_backend *, const qn_attention_args *);
qn_status qn_cuda_attention_backward(qn_stream *, const qn_attention_args *);

qn_status qn_cuda_swiglu_forward(qn_stream *, const qn_swiglu_args *);
qn_status qn_cuda_swiglu_backward(qn_stream *, const qn_swiglu_args *);
qn_status qn_cuda_gelu(qn_stream *, qn_tensor out, qn_tensor x);

size_t qn_cuda_classifier_workspace(qn_backend *, const qn_classifier_args *);
qn_status qn_cuda_classifier(qn_stream *, const qn_classifier_args *);

qn_status qn_cuda_adamw(qn_stream *, const qn_adamw_args *);

#endif
