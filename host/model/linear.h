/* linear.h: y = x·W (+ b) and its gradients, for either orientation of W. */
#ifndef QUERN_LINEAR_H
#define QUERN_LINEAR_H

#include "model/model_impl.h"

typedef struct qn_linear {
    qn_tensor weight, bias;   /* bias absent when there is none */
    qn_tensor dweight, dbias; /* absent without gradients */
    bool rows_are_outputs;    /* W is (out,in), y = x·Wᵀ, as Llama has it; else (in,out) */
} qn_linear;

/* The projections of block `layer`. */
qn_linear qn_linear_qkv(const qn_model *m, int64_t layer);    /* C → (Hq+2Hkv)·D */
qn_linear qn_linear_out(const qn_model *m, int64_t layer);    /* Hq·D → C */
qn_linear qn_linear_ffn_in(const qn_model *m, int64_t layer); /* C → 2F (Llama) or F */
qn_linear qn_linear_down(const qn_model *m, int64_t layer);   /* F → C */

qn_status qn_linear_forward(const qn_model *m, const qn_linear *w, qn_tensor x, qn_tensor y);
/* pre = x·W + b, y = gelu(pre) */
qn_status qn_linear_forward_gelu(const qn_model *m, const qn_linear *w, qn_tensor x, qn_tensor pre,
                                 qn_tensor y);
/* dx = dy·Wᵀ */
qn_status qn_linear_backward_input(const qn_model *m, const qn_linear *w, qn_tensor dy,
                                   qn_tensor dx);
/* dpre = (dy·Wᵀ) ∘ gelu'(pre) */
qn_status qn_linear_backward_input_gelu(const qn_model *m, const qn_linear *w, qn_tensor dy,
                                        qn_tensor pre, qn_tensor dpre);
/* dW += xᵀ·dy, db += column sums of dy */
qn_status qn_linear_backward_weight(const qn_model *m, const qn_linear *w, qn_tensor x,
                                    qn_tensor dy);

#endif
