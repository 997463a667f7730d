/* ops.h: the backend contract. A backend is one table of operations over its
 * own memory; the model, the trainer and the conformance suite see only this.
 *
 * Rules that hold for every operation:
 * - Calls enqueue on a stream and may return before the work is done; calls on
 *   one stream run in order. The CPU backend runs them at once.
 * - Tensor data, and every pointer marked (device), lies in the backend's
 *   memory. Strides are in elements; the last axis has stride 1 unless said
 *   otherwise; other axes may have any stride.
 * - Activation gradients (dx, dq, dgate_up, …) overwrite; parameter gradients
 *   (dweight, dbias, dwte, …) add to what is there.
 * - Inputs and outputs do not overlap unless the operation says so.
 * - Scratch memory comes from the caller: `workspace` of at least the bytes that
 *   the matching *_workspace() returns for the same shapes (only shapes, dtypes
 *   and options need be set when asking), aligned to 64. Its content on entry
 *   and on return means nothing. A view whose data is not aligned to 16 bytes or
 *   whose strides are not multiples of 16 bytes is asked for with its data and
 *   strides: a GPU may need room for an aligned copy of it.
 * - A backend declares its storage dtypes (qn_device_info). All tensors of a call that
 *   are marked (storage) have one of them, the same: activations, their gradients, the
 *   keys and values of a cache, and parameters that operations read. They are widened on
 *   the way in, computed with in fp32, and rounded to nearest even on the way out. What
 *   bears no mark is fp32, whatever the storage: means, scales, lse, losses, statistics,
 *   the rotary table, parameter gradients, master parameters, moments, sums. Indices are
 *   int32.
 * - `compute` is what operands of matrix products, intermediate ones among them, are
 *   rounded to; sums are fp32. With bf16 storage it is QN_BF16.
 * - Unless said otherwise every operation gives the same bits for the same
 *   inputs, backend and thread count.
 * - Shapes, dtypes, options are checked before anything is written: a misfit is
 *   QN_CODE_INVALID and names the argument; what this backend does not have is
 *   QN_CODE_UNSUPPORTED. Axes of length 0 are legal and do nothing.
 *
 * Letters in shapes: N tokens (B·T), B sequences, T positions, C model width,
 * F feed-forward width, V vocabulary, Hq query heads, Hkv key/value heads,
 * D head dimension. */
#ifndef QUERN_OPS_H
#define QUERN_OPS_H

#include "quern/status.h"
#include "quern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_backend qn_backend; /* a device, opened; see backend.h */
typedef struct qn_stream qn_stream;   /* an ordered queue of work */
typedef struct qn_event qn_event;     /* a point in a stream */
typedef struct qn_graph qn_graph;     /* calls on a stream, recorded to be repeated */
typedef struct qn_trace qn_trace;     /* a record of what ran on the device; see trace.h */

enum { QN_MAX_STORAGE = 4 };

typedef struct qn_device_info {
    char name[128];                   /* e.g. "AMD EPYC, 2 threads, AVX2" */
    char arch[32];                    /* instruction set or compute capability */
    int n_threads;                    /* CPU threads in use; 0 on a GPU */
    size_t memory_total;              /* bytes */
    size_t memory_free;               /* bytes, when asked */
    bool bf16_gemm;                   /* the hardware has bf16 matrix instructions */
    qn_dtype storage[QN_MAX_STORAGE]; /* storage dtypes, best first */
    int n_storage;                    /* 1 to QN_MAX_STORAGE */
    bool graphs;                      /* streams can be captured */
} qn_device_info;

typedef enum qn_copy_kind {
    QN_COPY_TO_DEVICE,
    QN_COPY_TO_HOST,
    QN_COPY_ON_DEVICE,
} qn_copy_kind;

/* ---- matrix product ---------------------------------------------------- */

typedef enum qn_epilogue {
    QN_EPILOGUE_NONE,
    QN_EPILOGUE_BIAS,    /* C += bias, broadcast over rows */
    QN_EPILOGUE_GELU,    /* aux = op(A)·op(B) (+ bias when it has data); C = gelu(aux),
                            of aux before or after its rounding to storage */
    QN_EPILOGUE_DGELU,   /* C = (op(A)·op(B)) ∘ gelu'(aux) */
    QN_EPILOGUE_BGRAD_A, /* besides C: bias (M) += Σₖ op(A)[m,k] */
    QN_EPILOGUE_BGRAD_B, /* besides C: bias (N) += Σₖ op(B)[k,n] */
} qn_epilogue;

/* C (M,N) = op(A) (M,K) · op(B) (K,N) + beta·C, then the epilogue. gelu is the
 * tanh approximation, as GPT-2 and cuBLASLt have it. beta other than 0 goes with
 * NONE and the BGRADs only, and with C in fp32. aux (M,N); bias (N), or as the epilogue
 * says. With beta == 0 the old content of C is never read. compute == QN_BF16 rounds the
 * operands to bf16 (to nearest even) and accumulates in fp32; QN_F32 keeps fp32.
 * a, b, aux (storage); c (storage), or fp32 with NONE and BGRAD (logits, gradients of
 * weights); bias (storage), but with the BGRADs, a gradient itself, fp32. */
typedef struct qn_gemm_args {
    qn_tensor a, b, c;
    bool transpose_a, transpose_b;
    float beta;
    qn_epilogue epilogue;
    qn_tensor bias, aux;
    qn_dtype compute;
    void *workspace; /* (device) */
} qn_gemm_args;

/* ---- embedding --------------------------------------------------------- */

/* out[n] = wte[tokens[n]] (+ wpe[positions[n]] when wpe has data).
 * tokens, positions (N) int32; wte (V,C); wpe (P,C); out (N,C).
 * Backward: dwte[tokens[n]] += dout[n], dwpe[positions[n]] += dout[n]; the order
 * of additions into a row is fixed. An index outside its table is
 * QN_CODE_INVALID where the backend can see it (the CPU always; the loader has
 * checked tokens before); elsewhere its row of out is NaN and its dout is dropped.
 * wte, wpe, out, dout (storage); dwte, dwpe fp32. */
typedef struct qn_embedding_args {
    qn_tensor tokens, positions;
    qn_tensor wte, wpe;   /* forward */
    qn_tensor out;        /* forward */
    qn_tensor dout;       /* backward */
    qn_tensor dwte, dwpe; /* backward */
    void *workspace;      /* (device), backward */
} qn_embedding_args;

/* ---- normalisation ------------------------------------------------------ */

/* The norms run over the last axis of x: rank 2 (N,C), or rank 3 (N,H,D) for
 * qk-norm, where weight has D elements and every head shares it. For rank 2, when
 * `residual` has data, sum = x + residual is written and normalised, else x is.
 * sum may be residual or x itself. out may be x itself in the forward pass.
 *   RMSNorm    out = x·rstd ∘ weight,              rstd = (mean(x²) + eps)^-½
 *   LayerNorm  out = (x − mean)·rstd ∘ weight + bias, rstd = (var(x) + eps)^-½
 * mean and rstd: fp32, (N) or (N,H). A sum is rounded to storage before it is normalised,
 * so that normalising what was stored gives the same bits.
 * Backward: x is what was normalised (sum, where there was one);
 * dx = dresidual (when it has data) + the norm's gradient of dout; dx may be
 * dresidual or dout itself. dweight, dbias add.
 * x, residual, sum, weight, bias, out, dout, dresidual, dx (storage); dweight, dbias fp32. */
typedef struct qn_norm_args {
    qn_tensor x, residual, sum; /* forward; x also backward */
    qn_tensor weight, bias;     /* bias: LayerNorm only */
    qn_tensor out;
    qn_tensor mean, rstd; /* written forward, read backward; mean: LayerNorm only */
    float eps;
    qn_tensor dout, dresidual, dx;
    qn_tensor dweight, dbias;
    void *workspace; /* (device), backward */
} qn_norm_args;

/* ---- rotary positions ---------------------------------------------------- */

/* Rotates x (N,H,D) (storage) in place by the angle of positions[n]: the pairs are
 * (i, i + D/2), as Hugging Face's rotate_half has them. `table` (P,D) fp32 holds
 * cos(p·theta^(−2i/D)) in its first D/2 columns and sin in the others, as
 * rope_table makes it. `inverse` rotates back, which is the backward pass. */
typedef struct qn_rope_args {
    qn_tensor x, positions, table;
    bool inverse;
} qn_rope_args;

/* ---- attention ----------------------------------------------------------- */

typedef enum qn_attn_impl { QN_ATTN_AUTO, QN_ATTN_NAIVE, QN_ATTN_FUSED } qn_attn_impl;

/* Statistics over the rows of attention weights, per query head. `sums` (device)
 * is (QN_ATTN_N_SUMS, Hq) fp32, `counts` (QN_ATTN_N_COUNTS, Hq) int64. All add,
 * except QN_ATTN_MAX_LOGIT, which takes the maximum (set it to -inf first).
 * The caller divides. Rows with no visible key count nowhere. n is the number of
 * visible keys of a row, i − j the distance in positions, p the weights. */
enum {
    QN_ATTN_ENTROPY,    /* Σ H/ln n over rows with n > 1; uniform gives 1 each */
    QN_ATTN_MAX_LOGIT,  /* max of the scaled scores */
    QN_ATTN_P_MAX,      /* Σ max_j p */
    QN_ATTN_DISTANCE,   /* Σ Σ_j p·(i−j) */
    QN_ATTN_SINK,       /* Σ p of the first position of the row's document */
    QN_ATTN_LOCAL,      /* Σ p over i−j < local_window */
    QN_ATTN_BASE_P_MAX, /* the same under uniform attention over the visible keys */
    QN_ATTN_BASE_DISTANCE,
    QN_ATTN_BASE_SINK, /* 0 for a row whose window excludes the document's first */
    QN_ATTN_BASE_LOCAL,
    QN_ATTN_N_SUMS,
};
enum {
    QN_ATTN_ROWS,         /* rows with n ≥ 1 */
    QN_ATTN_ROWS_ENTROPY, /* rows with n > 1 */
    QN_ATTN_N_COUNTS,
};
typedef struct qn_attn_stats {
    float *sums;
    int64_t *counts;
    int64_t local_window;
} qn_attn_stats;

/* Forward: S = scale·q·kᵀ; masked; P = softmax(S); o = P·v; lse = log Σ exp S.
 * Backward: recomputes P = exp(S − lse), delta = rowsum(dout ∘ o); dv = Pᵀ·dout,
 * dS = P ∘ (dout·vᵀ − delta), dq = scale·dS·k, dk = scale·dSᵀ·q; dk, dv sum over
 * the query heads of their group (Dao, FlashAttention-2, 2307.08691, alg. 1 and 2).
 * q, o, dout, dq (B,Tq,Hq,D); k, v, dk, dv (B,Tk,Hkv,D), all (storage); lse (B,Hq,Tq)
 * fp32, natural log. The last axis has stride 1, the others any: slices of one qkv buffer are fine.
 * Hq is a multiple of Hkv; query head h reads key head h / (Hq/Hkv). D is a multiple
 * of 8, at most 256. Query row i stands at position i + (Tk − Tq) of the keys
 * (Tq ≤ Tk: a KV cache is a longer k and v).
 * Masks, in any combination; i, j are positions:
 *   causal      j ≤ i
 *   window W    0 ≤ i − j < W if causal, |i − j| < W if not; 0 is off
 *   doc_start   (B,Tk) int32: where the document of each position begins; a query
 *               sees only keys j with doc_start[j] == doc_start[i].
 * Masked scores are −1e30; a row that sees nothing gives o = 0, lse = −inf and
 * gradients 0. Tk = 0 or Tq = 0 is legal.
 * impl: NAIVE materialises S and P (B·Hq·Tq·Tk in the workspace), FUSED needs
 * O(B·Hq·T); AUTO is FUSED, or NAIVE where the backend's fused pass does not take D. deterministic
 * asks a backward pass that gives the same bits each time (the CPU's always does). stats: forward
 * only; nullable; never changes the bits of o or lse. */
typedef struct qn_attention_args {
    qn_tensor q, k, v;
    qn_tensor o, lse; /* forward: written; backward: read */
    qn_tensor doc_start;
    float scale;
    bool causal;
    int64_t window;
    qn_attn_impl impl;
    qn_dtype compute; /* NAIVE's products, P and dS among them; FUSED on the CPU is fp32 */
    qn_attn_stats *stats;
    qn_tensor dout, dq, dk, dv; /* backward */
    bool deterministic;
    void *workspace; /* (device) */
} qn_attention_args;

/* ---- feed-forward gates --------------------------------------------------- */

/* gate_up (N,2F): gate in the first F columns, up in the others.
 * out (N,F) = silu(gate) ∘ up. dgate_up may be gate_up itself. All (storage). */
typedef struct qn_swiglu_args {
    qn_tensor gate_up, out;
    qn_tensor dout, dgate_up;
} qn_swiglu_args;

/* ---- classifier ------------------------------------------------------------ */

/* Cross-entropy of logits = x·weightᵀ against targets, by chunks of tokens, so
 * that logits never exist whole. x (N,C), weight (R,C), targets (N) int32, where a
 * negative target is ignored (loss 0, no gradient). losses (N) fp32 in nats.
 * The words are the first vocab_size rows of weight, at least one. Rows behind them are the
 * caller's promise to be zeros: no part of the softmax, and their gradient is 0. They let products
 * have R, which can be a multiple of what a backend's matrix units take at a time, for the length
 * of a row of logits.
 * When dx has data: dx = grad_scale·∂Σlosses/∂x, and dweight (R,C), if it has
 * data, adds grad_scale·∂Σlosses/∂weight. dx may be x itself. x, weight, dx (storage);
 * dweight fp32. */
typedef struct qn_classifier_args {
    qn_tensor x, weight, targets, losses;
    int64_t vocab_size;
    qn_tensor dx, dweight;
    float grad_scale;
    qn_dtype compute;
    void *workspace; /* (device) */
} qn_classifier_args;

/* ---- optimizer -------------------------------------------------------------- */

/* A run of elements of the flat parameter arrays with one decay. */
typedef struct qn_adamw_segment {
    int64_t offset, count;
    float weight_decay;
} qn_adamw_segment;

/* What changes from one update to the next, as qn_adamw_rate_of of adamw.h gives it. */
typedef struct qn_adamw_rate {
    int64_t step; /* from 1 */
    float lr;
    float corrected;  /* lr / (1 − beta1^step) */
    float root_scale; /* 1 / √(1 − beta2^step) */
} qn_adamw_rate;

/* AdamW (Loshchilov & Hutter 1711.05101) over flat fp32 arrays of `count` elements.
 * g = grad·grad_scale·min(1, clip/(|grad_scale|·√grad_sumsq)); m, v, the bias
 * corrections of the step, then
 * param −= lr·(m̂/(√v̂ + eps) + weight_decay·param). clip == 0 is off.
 * grad_sumsq (device): one fp32, the sum of squares of grad. When it is not finite
 * nothing is updated. `rate` and `segments` lie in the backend's memory and are read when the
 * update runs, so that a recorded one takes the rate that is there when it is launched; they are
 * not checked. Segments ascend, do not overlap and end within `count`; elements outside any
 * segment stay as they are (frozen).
 * weights: nullable; the working copy of the parameters that operations read, `count`
 * elements of weights_dtype, a storage dtype other than fp32. Each new parameter is
 * written there too, rounded to nearest even, or, with stochastic_rounding, as
 * cast_stochastic rounds element i of the arrays with this seed and rate->step; the masters
 * are the same bits either way. stochastic_rounding without weights is refused. */
typedef struct qn_adamw_args {
    float *param;      /* (device) */
    const float *grad; /* (device) */
    float *m, *v;      /* (device) */
    void *weights;     /* (device) */
    qn_dtype weights_dtype;
    int64_t count;
    const qn_adamw_segment *segments; /* (device) */
    int n_segments;
    const float *grad_sumsq;   /* (device) */
    const qn_adamw_rate *rate; /* (device) */
    float grad_scale, clip;
    float beta1, beta2, eps;
    bool stochastic_rounding;
    uint64_t seed; /* of stochastic_rounding */
} qn_adamw_args;

/* ---- the table --------------------------------------------------------------- */

typedef struct qn_ops {
    /* the device */
    qn_status (*device_info)(qn_backend *, qn_device_info *info);
    void (*close)(qn_backend *);
    /* Memory of the device, aligned to 64 bytes at least; *out is NULL for 0 bytes. */
    qn_status (*alloc)(qn_backend *, size_t bytes, void **out);
    void (*free)(qn_backend *, void *memory);
    /* Memory of the host that copies reach at full speed and without waiting (page-locked on a
     * GPU); *out is NULL for 0 bytes. */
    qn_status (*host_alloc)(qn_backend *, size_t bytes, void **out);
    void (*host_free)(qn_backend *, void *memory);
    qn_status (*stream_create)(qn_backend *, qn_stream **out);
    void (*stream_destroy)(qn_stream *);
    /* Waits until all work of the stream is done; returns its first error. */
    qn_status (*stream_sync)(qn_stream *);
    qn_status (*event_create)(qn_backend *, qn_event **out);
    void (*event_destroy)(qn_event *);
    qn_status (*event_record)(qn_event *, qn_stream *);
    qn_status (*stream_wait)(qn_stream *, qn_event *);
    /* Waits until the work before the recorded point is done; at once when nothing is recorded. */
    qn_status (*event_sync)(qn_event *);
    /* Seconds between two recorded events; waits for the later one. */
    qn_status (*event_elapsed)(qn_event *start, qn_event *end, double *seconds);

    /* Between the two, calls on the stream are recorded and do not run; device memory and
     * arguments are those of the recorded calls whenever the graph runs, and host memory must
     * stay. Only where device_info says `graphs`, else QN_CODE_UNSUPPORTED; waiting for the
     * stream meanwhile is an error. capture_end gives no graph when the
     * capture was lost; after a call that was refused it has what came before that call. */
    qn_status (*capture_begin)(qn_stream *);
    qn_status (*capture_end)(qn_stream *, qn_graph **out);
    qn_status (*graph_launch)(qn_stream *, qn_graph *);
    void (*graph_destroy)(qn_graph *);

    /* Named ranges of host time, nested, for a profiler's timeline (NVTX on a GPU, else nothing)
     * and for the open trace. The name outlives that. */
    void (*range_begin)(qn_backend *, const char *name);
    void (*range_end)(qn_backend *);

    /* A trace of the device's work, one at a time in a process; released before the backend by
     * (*out)->ops->close(*out). A graph that was recorded before the trace was opened may be
     * missing from it. QN_CODE_UNSUPPORTED, with the remedy, where nothing can be traced. */
    qn_status (*trace_open)(qn_backend *, qn_trace **out);

    /* Moving bytes. Memory of the host stays the call's until the stream has been waited for. */
    qn_status (*copy)(qn_stream *, void *dst, const void *src, size_t bytes, qn_copy_kind kind);
    qn_status (*zero)(qn_stream *, void *dst, size_t bytes);
    /* dst = src converted, elementwise; the same shape, any strides. fp32 and bf16. */
    qn_status (*cast)(qn_stream *, qn_tensor dst, qn_tensor src);
    /* dst (bf16) = src (fp32), both dense and of one shape, rounded stochastically: element i,
     * in memory order, is qn_bf16_stochastic_at(src[i], seed, step, i) of rounding.h, the same
     * bits on every backend. step from 1. */
    qn_status (*cast_stochastic)(qn_stream *, qn_tensor dst, qn_tensor src, uint64_t seed,
                                 int64_t step);
    /* dst = a + b, elementwise, (N,C) (storage); dst may be a or b. */
    qn_status (*add)(qn_stream *, qn_tensor dst, qn_tensor a, qn_tensor b);

    /* reductions over dense fp32 tensors; *out (device) fp32, accumulated in higher precision */
    qn_status (*sum)(qn_stream *, qn_tensor x, float *out);
    qn_status (*sum_squares)(qn_stream *, qn_tensor x, float *out);

    size_t (*gemm_workspace)(qn_backend *, const qn_gemm_args *);
    qn_status (*gemm)(qn_stream *, const qn_gemm_args *);

    qn_status (*embedding_forward)(qn_stream *, const qn_embedding_args *);
    size_t (*embedding_backward_workspace)(qn_backend *, const qn_embedding_args *);
    qn_status (*embedding_backward)(qn_stream *, const qn_embedding_args *);

    size_t (*norm_backward_workspace)(qn_backend *, const qn_norm_args *);
    qn_status (*rmsnorm_forward)(qn_stream *, const qn_norm_args *);
    qn_status (*rmsnorm_backward)(qn_stream *, const qn_norm_args *);
    qn_status (*layernorm_forward)(qn_stream *, const qn_norm_args *);
    qn_status (*layernorm_backward)(qn_stream *, const qn_norm_args *);

    /* Fills table (P,D), D even. */
    qn_status (*rope_table)(qn_stream *, qn_tensor table, double theta);
    qn_status (*rope)(qn_stream *, const qn_rope_args *);

    size_t (*attention_forward_workspace)(qn_backend *, const qn_attention_args *);
    qn_status (*attention_forward)(qn_stream *, const qn_attention_args *);
    size_t (*attention_backward_workspace)(qn_backend *, const qn_attention_args *);
    qn_status (*attention_backward)(qn_stream *, const qn_attention_args *);

    qn_status (*swiglu_forward)(qn_stream *, const qn_swiglu_args *);
    qn_status (*swiglu_backward)(qn_stream *, const qn_swiglu_args *);
    /* out = gelu(x), (N,F) (storage); recomputation of what QN_EPILOGUE_GELU made. */
    qn_status (*gelu)(qn_stream *, qn_tensor out, qn_tensor x);

    size_t (*classifier_workspace)(qn_backend *, const qn_classifier_args *);
    qn_status (*classifier)(qn_stream *, const qn_classifier_args *);

    qn_status (*adamw)(qn_stream *, const qn_adamw_args *);
} qn_ops;

struct qn_backend {
    const qn_ops *ops;
};
struct qn_stream {
    qn_backend *backend;
};

#ifdef __cplusplus
}
#endif
#endif
