/* optimizer.h: AdamW over the parameters of a model. */
#ifndef QUERN_OPTIMIZER_H
#define QUERN_OPTIMIZER_H

#include "quern/model.h"
#include "quern/options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_optimizer {
    qn_adamw_segment *segments; /* one a parameter: matrices decay, vectors do not */
    int n_segments;
} qn_optimizer;

/* The table of a model's parameters, in the caller's hands until qn_optimizer_free. The moments
 * lie in the model's plan. */
qn_status qn_optimizer_make(const qn_params *params, double weight_decay, qn_optimizer *out);
void qn_optimizer_free(qn_optimizer *optimizer);

/* Enqueues the update of step `step` (from 1) at rate `lr`, by AdamW (Loshchilov & Hutter
 * 1711.05101) with options->beta1, beta2 and eps, the norm of all gradients clipped at
 * options->clip. The sum of their squares is left in QN_BUF_GRAD_SUMSQ; when it is not finite
 * nothing changes. A working copy of the parameters is rounded as options->weight_rounding says,
 * stochastically with the numbers of (options->seed, step, element). The model is a QN_PLAN_TRAIN
 * one that qn_optimizer_check has passed. */
qn_status qn_optimizer_step(const qn_optimizer *optimizer, qn_model *model,
                            const qn_train_options *options, int64_t step, double lr);

/* Refuses, as QN_CODE_USAGE, stochastic rounding where a plan has no working copy to round. */
qn_status qn_optimizer_check(const qn_plan_options *plan, const qn_train_options *options);

/* Enqueues what makes the working copy, after the parameters of step `step` were loaded, the bits
 * that the update of that step left: loading rounds to nearest even, as initial values are. */
qn_status qn_optimizer_resume(qn_model *model, const qn_train_options *options, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
