/* attention_problem.h: a checked call of attention, as its implementations see it. */
#ifndef QUERN_CPU_ATTENTION_PROBLEM_H
#define QUERN_CPU_ATTENTION_PROBLEM_H

#include "attention_mask.h"
#include "check/size.h"

typedef struct qn_attn_problem {
    const qn_attention_args *args;
    int64_t batch, n_heads, n_kv_heads, group; /* group: query heads of one key head */
    int64_t head_dim;
    qn_attn_mask mask;
    int n_threads;
} qn_attn_problem;

/* Row (b, t, h) of a (B,T,H,D) tensor. */
static inline float *qn_attn_row(const qn_tensor *x, int64_t b, int64_t t, int64_t h) {
    return (float *)x->data + b * x->stride[0] + t * x->stride[1] + h * x->stride[2];
}

/* Element (b, h, t) of lse. */
static inline float *qn_attn_lse(const qn_tensor *lse, int64_t b, int64_t h, int64_t t) {
    return (float *)lse->data + b * lse->stride[0] + h * lse->stride[1] + t * lse->stride[2];
}

/* The implementations. Workspaces are in bytes. */
size_t qn_attn_naive_forward_workspace(const qn_attn_problem *);
void qn_attn_naive_forward(const qn_attn_problem *);
size_t qn_attn_naive_backward_workspace(const qn_attn_problem *);
void qn_attn_naive_backward(const qn_attn_problem *);
size_t qn_attn_fused_forward_workspace(const qn_attn_problem *);
void qn_attn_fused_forward(const qn_attn_problem *);
size_t qn_attn_fused_backward_workspace(const qn_attn_problem *);
void qn_attn_fused_backward(const qn_attn_problem *);

#endif
