/* attention_problem.h: a problem of the attention benchmark: its tensors on the device, in the
 * dtype that the backend stores, and the same values in host memory. */
#ifndef QUERN_CLI_ATTENTION_PROBLEM_H
#define QUERN_CLI_ATTENTION_PROBLEM_H

#include "cli/attention_check.h"
#include "quern/backend.h"

typedef struct qn_attention_shape {
    int64_t batch, seq_len, n_heads, n_kv_heads, head_dim, window;
    bool causal, deterministic;
} qn_attention_shape;

enum {
    QN_PROBLEM_Q,
    QN_PROBLEM_K,
    QN_PROBLEM_V,
    QN_PROBLEM_DOUT,
    QN_PROBLEM_O,
    QN_PROBLEM_LSE,
    QN_PROBLEM_DQ,
    QN_PROBLEM_DK,
    QN_PROBLEM_DV,
    QN_PROBLEM_TENSORS,
    QN_PROBLEM_INPUTS = QN_PROBLEM_O, /* the first so many are drawn at random */
};

typedef struct qn_attention_problem {
    qn_backend *backend;
    qn_stream *stream;
    qn_dtype storage;
    qn_attention_shape shape;
    qn_attention_args args; /* without workspace and implementation */
    qn_attn_stats stats;    /* on the device */
    float *host[QN_PROBLEM_TENSORS];
    double flops; /* of the forward pass, as everyone counts: T²/2 pairs when causal */
} qn_attention_problem;

/* Whatever comes back is released by qn_attention_problem_close, failure included. */
qn_status qn_attention_problem_open(qn_backend *backend, const qn_attention_shape *shape,
                                    qn_attention_problem *out);
void qn_attention_problem_close(qn_attention_problem *problem);

/* Copies outputs from the device to host memory: o and lse, with `backward` also gradients. */
qn_status qn_attention_problem_fetch(qn_attention_problem *problem, bool backward);

/* The problem as attention_check.h sees it. */
qn_attention_check qn_attention_problem_check(const qn_attention_problem *problem);

#endif
