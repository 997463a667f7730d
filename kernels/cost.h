/* cost.h: what a call cannot do without: operations of its matrix products, and bytes, each
 * operand once in and each result once out (twice where a result adds to what is there).
 * Attention's operations depend on its masks: profile.c counts them. */
#ifndef QUERN_COST_H
#define QUERN_COST_H

#include "quern/ops.h"

typedef struct qn_cost {
    double flops, bytes;
} qn_cost;

/* Bytes of a tensor's elements; 0 when it is absent. */
double qn_cost_tensor(const qn_tensor *tensor);

qn_cost qn_cost_gemm(const qn_gemm_args *);
qn_cost qn_cost_embedding_forward(const qn_embedding_args *);
qn_cost qn_cost_embedding_backward(const qn_embedding_args *);
qn_cost qn_cost_norm_forward(const qn_norm_args *);
qn_cost qn_cost_norm_backward(const qn_norm_args *);
qn_cost qn_cost_rope(const qn_rope_args *);
qn_cost qn_cost_attention_forward(const qn_attention_args *);
qn_cost qn_cost_attention_backward(const qn_attention_args *);
qn_cost qn_cost_swiglu_forward(const qn_swiglu_args *);
qn_cost qn_cost_swiglu_backward(const qn_swiglu_args *);
qn_cost qn_cost_classifier(const qn_classifier_args *);
qn_cost qn_cost_adamw(const qn_adamw_args *);

#endif
