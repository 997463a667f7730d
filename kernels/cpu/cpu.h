/* cpu.h: what the files of the CPU backend share. The operations run at once, in the
 * calling thread and n_threads − 1 others of OpenMP's pool. Loops are cut by static
 * schedules or fixed blocks, so that results depend on n_threads and on nothing else. */
#ifndef QUERN_CPU_CPU_H
#define QUERN_CPU_CPU_H

#include "quern/backend.h"

enum { QN_CPU_ALIGN = 64 };

/* Below this many elements a loop is not worth a second thread. */
enum { QN_CPU_PARALLEL_MIN = 16384 };

struct qn_bf16_gemm; /* gemm_bf16.h */

typedef struct qn_cpu {
    qn_backend base;
    int n_threads;
    struct qn_bf16_gemm *bf16; /* NULL where bf16 products are emulated */
} qn_cpu;

static inline const qn_cpu *qn_cpu_of(const qn_stream *stream) {
    return (const qn_cpu *)stream->backend;
}

static inline int qn_cpu_threads(const qn_stream *stream) { return qn_cpu_of(stream)->n_threads; }

static inline int64_t qn_min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t qn_max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* bytes rounded up so that what follows in a workspace stays aligned. */
static inline size_t qn_cpu_align(size_t bytes) {
    return (bytes + QN_CPU_ALIGN - 1) & ~(size_t)(QN_CPU_ALIGN - 1);
}

/* The operations of the table; see ops.h. */
qn_status qn_cpu_copy(qn_stream *, void *dst, const void *src, size_t bytes, qn_copy_kind kind);
qn_status qn_cpu_zero(qn_stream *, void *dst, size_t bytes);
qn_status qn_cpu_cast(qn_stream *, qn_tensor dst, qn_tensor src);
qn_status qn_cpu_cast_stochastic(qn_stream *, qn_tensor dst, qn_tensor src, uint64_t seed,
                                 int64_t step);
qn_status qn_cpu_add(qn_stream *, qn_tensor dst, qn_tensor a, qn_tensor b);
qn_status qn_cpu_sum(qn_stream *, qn_tensor x, float *out);
qn_status qn_cpu_sum_squares(qn_stream *, qn_tensor x, float *out);
size_t qn_cpu_gemm_workspace(qn_backend *, const qn_gemm_args *);
qn_status qn_cpu_gemm(qn_stream *, const qn_gemm_args *);
qn_status qn_cpu_embedding_forward(qn_stream *, const qn_embedding_args *);
size_t qn_cpu_embedding_backward_workspace(qn_backend *, const qn_embedding_args *);
qn_status qn_cpu_embedding_backward(qn_stream *, const qn_embedding_args *);
size_t qn_cpu_norm_backward_workspace(qn_backend *, const qn_norm_args *);
qn_status qn_cpu_rmsnorm_forward(qn_stream *, const qn_norm_args *);
qn_status qn_cpu_rmsnorm_backward(qn_stream *, const qn_norm_args *);
qn_status qn_cpu_layernorm_forward(qn_stream *, const qn_norm_args *);
qn_status qn_cpu_layernorm_backward(qn_stream *, const qn_norm_args *);
qn_status qn_cpu_rope_table(qn_stream *, qn_tensor table, double theta);
qn_status qn_cpu_rope(qn_stream *, const qn_rope_args *);
qn_status qn_cpu_swiglu_forward(qn_stream *, const qn_swiglu_args *);
qn_status qn_cpu_swiglu_backward(qn_stream *, const qn_swiglu_args *);
qn_status qn_cpu_gelu(qn_stream *, qn_tensor out, qn_tensor x);
size_t qn_cpu_classifier_workspace(qn_backend *, const qn_classifier_args *);
qn_status qn_cpu_classifier(qn_stream *, const qn_classifier_args *);
qn_status qn_cpu_adamw(qn_stream *, const qn_adamw_args *);

#endif
