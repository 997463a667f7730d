/* plan.h: the memory of a model, laid out before anything is allocated. */
#ifndef QUERN_PLAN_H
#define QUERN_PLAN_H

#include "quern/config.h"
#include "quern/ops.h"
#include "quern/params.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the forward pass keeps for the backward pass; the rest is computed again.
 *   NONE   everything kept
 *   NORMS  outputs of norms and of the feed-forward activation computed again
 *   BLOCK  only each block's input kept, the block computed again */
typedef enum qn_recompute {
    QN_RECOMPUTE_NONE,
    QN_RECOMPUTE_NORMS,
    QN_RECOMPUTE_BLOCK,
} qn_recompute;

/* "none", "norms", "block"; ended by NULL. */
extern const char *const qn_recompute_names[];

typedef enum qn_plan_mode {
    QN_PLAN_TRAIN,    /* forward, backward, optimizer */
    QN_PLAN_EVAL,     /* forward and losses */
    QN_PLAN_INSPECT,  /* the same, what activations.h reads kept */
    QN_PLAN_GENERATE, /* forward with a KV cache of seq_len positions, logits */
} qn_plan_mode;

typedef struct qn_plan_options {
    qn_plan_mode mode;
    int64_t batch_size; /* sequences of one micro-step */
    int64_t seq_len;
    int64_t grad_accum; /* micro-steps of a step */
    qn_recompute recompute;
    qn_attn_impl attention;
    qn_dtype compute; /* of matrix operands: QN_F32 or QN_BF16 */
    qn_dtype storage; /* of activations and of the parameters in use; see qn_plan_set_precision */
    bool documents;   /* attention stays inside documents */
    bool deterministic;
} qn_plan_options;

typedef enum qn_precision {
    QN_PRECISION_AUTO, /* fp32 where the backend stores it, else bf16: a CPU's, a GPU's */
    QN_PRECISION_FP32,
    QN_PRECISION_BF16,
    QN_N_PRECISIONS,
} qn_precision;

/* "auto", "fp32", "bf16"; ended by NULL. */
extern const char *const qn_precision_names[];

/* Sets `compute` and `storage` for a precision on a backend: everything in the precision's dtype
 * where the backend stores it; otherwise fp32 storage, if the backend has that, with products in
 * the precision; otherwise QN_CODE_USAGE. */
qn_status qn_plan_set_precision(qn_backend *backend, qn_precision precision,
                                qn_plan_options *options);

/* One buffer of the arena, by what it holds: in the storage dtype if it is an activation, a
 * gradient of one, the cache or the working copy; else fp32, or int32 if indices. Where `per layer`
 * is said, there is one copy a layer if the backward pass needs it, and one in all otherwise. */
typedef enum qn_buffer_id {
    QN_BUF_PARAMS,  /* fp32 masters: with fp32 storage or in training */
    QN_BUF_WEIGHTS, /* working copy that operations read, unless storage is fp32 */
    QN_BUF_GRADS,
    QN_BUF_ADAM_M,
    QN_BUF_ADAM_V,
    QN_BUF_ADAM_SEGMENTS, /* qn_adamw_segment of each parameter */
    QN_BUF_ADAM_RATE,     /* qn_adamw_rate of the update under way */
    QN_BUF_TOKENS,        /* (N) */
    QN_BUF_TARGETS,       /* (N) */
    QN_BUF_POSITIONS,     /* (N) */
    QN_BUF_DOC_START,     /* (B,T) */
    QN_BUF_ROPE,          /* (T,D) cos and sin */
    QN_BUF_RESID_IN,      /* (N,C) per layer: input of the block */
    QN_BUF_NORM1_MEAN,    /* (N) per layer */
    QN_BUF_NORM1_RSTD,    /* (N) per layer */
    QN_BUF_NORM1,         /* (N,C) per layer */
    QN_BUF_QKV,           /* (N,(Hq+2Hkv)·D) per layer */
    QN_BUF_QK_RSTD,       /* (N,Hq+Hkv) per layer, qk-norm */
    QN_BUF_QK,            /* (N,(Hq+Hkv)·D) per layer, qk-norm: normed and rotated */
    QN_BUF_ATT,           /* (N,Hq·D) per layer */
    QN_BUF_LSE,           /* (B,Hq,T) per layer */
    QN_BUF_RESID_MID,     /* (N,C) per layer: after attention */
    QN_BUF_NORM2_MEAN,    /* (N) per layer */
    QN_BUF_NORM2_RSTD,    /* (N) per layer */
    QN_BUF_NORM2,         /* (N,C) per layer */
    QN_BUF_FFN_IN,        /* (N,2F) gate and up, or (N,F) before GELU, per layer */
    QN_BUF_FFN_ACT,       /* (N,F) per layer */
    QN_BUF_BRANCH,        /* (N,C) what a block adds to the residual */
    QN_BUF_RESID_OUT,     /* (N,C) after the last block */
    QN_BUF_FINAL_MEAN,    /* (N) */
    QN_BUF_FINAL_RSTD,    /* (N) */
    QN_BUF_FINAL_NORM,    /* (N,C) */
    QN_BUF_LOSSES,        /* (N) */
    QN_BUF_LOSS_SUMS,     /* (grad_accum), and a spare one */
    QN_BUF_GRAD_SUMSQ,    /* (1) of all that trains */
    QN_BUF_GRAD_PARTS,    /* (parameters) sums of squares of parts of the gradients */
    QN_BUF_ATTN_SUMS,     /* (L,QN_ATTN_N_SUMS,Hq) of the lens */
    QN_BUF_ATTN_COUNTS,   /* (L,QN_ATTN_N_COUNTS,Hq) int64 */
    QN_BUF_D_RESID,       /* (N,C) */
    QN_BUF_D_NORM,        /* (N,C) */
    QN_BUF_D_QKV,         /* (N,(Hq+2Hkv)·D) */
    QN_BUF_D_ATT,         /* (N,Hq·D) */
    QN_BUF_D_FFN,         /* (N,F) */
    QN_BUF_CACHE_K,       /* (B,seq_len,Hkv·D) per layer */
    QN_BUF_CACHE_V,
    QN_BUF_LOGITS,    /* (qn_logit_rows,qn_table_rows(V)) */
    QN_BUF_WORKSPACE, /* the most that any operation asks; GPT-2: (C,C) fp32, too */
    QN_N_BUFFERS,
} qn_buffer_id;

typedef enum qn_buffer_group {
    QN_GROUP_PARAMS,
    QN_GROUP_GRADS,
    QN_GROUP_OPTIMIZER,
    QN_GROUP_ACTIVATIONS, /* kept for the backward pass */
    QN_GROUP_SCRATCH,     /* everything else */
    QN_N_GROUPS,
} qn_buffer_group;

typedef struct qn_buffer {
    const char *name; /* NULL: this model has no such buffer */
    qn_buffer_group group;
    qn_dtype dtype;
    int64_t count;  /* elements of one copy */
    int64_t copies; /* 1 or n_layers */
    size_t stride;  /* bytes from one copy to the next */
    size_t offset;  /* bytes into the arena */
} qn_buffer;

typedef struct qn_plan {
    qn_config config;
    qn_plan_options options;
    qn_buffer buffers[QN_N_BUFFERS];
    size_t group_bytes[QN_N_GROUPS];
    size_t total_bytes;
} qn_plan;

/* Lays out a checked config. The backend says how much workspace operations need. */
qn_status qn_plan_make(qn_backend *backend, const qn_config *config, const qn_params *params,
                       const qn_plan_options *options, qn_plan *out);

const char *qn_buffer_group_name(qn_buffer_group group);

/* Operations of one trained token, forward and backward: 6·N + 6·L·Hq·D·T, where N
 * counts every parameter but an embedding table that is only looked up, and attention
 * is counted as causal, half of the full square (PaLM, 2204.02311, appendix B). */
double qn_plan_flops_per_token(const qn_config *config, const qn_params *params, int64_t seq_len);

#ifdef __cplusplus
}
#endif
#endif
