/* activations.h: what a pass left inside a model, and its parameters, in host memory: for whoever
 * looks at a model from outside. Each call waits for the device. */
#ifndef QUERN_ACTIVATIONS_H
#define QUERN_ACTIVATIONS_H

#include "quern/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum qn_head_part { QN_HEAD_Q, QN_HEAD_K, QN_HEAD_V } qn_head_part;

/* Below, the model is a QN_PLAN_INSPECT one, and the activations are those of its last
 * qn_model_evaluate; N = B·T tokens of the plan. Anything else, and a layer or a range that the
 * model has not, is QN_CODE_INVALID. */

/* q, k or v of a layer as attention read them (normed and rotated, where the model does so), in
 * fp32: (N,H,D), H = n_heads for q, n_kv_heads for k and v. */
qn_status qn_model_read_heads(qn_model *model, int64_t layer, qn_head_part part, float *out);

/* The residual stream in fp32, (N,C): at depth l, 0 … n_layers − 1, what block l reads, so that 0
 * is the embeddings; at depth n_layers what the final norm reads. */
qn_status qn_model_read_residual(qn_model *model, int64_t depth, float *out);

/* Logits (count,V) that the final norm and the classifier's table make of the residual stream at
 * a depth, of tokens [first, first + count): at depth n_layers the model's own. */
qn_status qn_model_read_logits(qn_model *model, int64_t depth, int64_t first, int64_t count,
                               float *out);

/* ---- parameters, of a model of any plan ------------------------------------------------- */

/* A parameter's `count` values, as fp32, from the most precise copy that the plan keeps. */
qn_status qn_model_read_param(qn_model *model, const qn_param *param, float *out);
/* Gives it other ones, in every copy that the plan keeps. */
qn_status qn_model_write_param(qn_model *model, const qn_param *param, const float *values);

#ifdef __cplusplus
}
#endif
#endif
