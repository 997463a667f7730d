/* optimizer.h: AdamW over the parameters of a model. */
#ifndef QUERN_OPTIMIZER_H
#define QUERN_OPTIMIZER_H

#include "quern/model.h"
#include "quern/options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_optimizer {
    qn_model *model;
    const qn_train_options *options;
    qn_adamw_rate *rate; /* page-locked: of the update to be enqueued */
    struct qn_param_part *trained;
    int n_trained, n_segments;
} qn_optimizer;

/* Gives the model's table of the optimizer its rows: matrices decay by options->weight_decay,
 * vectors do not, and what options->freeze names has none. Model, a QN_PLAN_TRAIN one that
 * qn_optimizer_check has passed, and options outlive the optimizer. */
qn_status qn_optimizer_open(qn_model *model, const qn_train_options *options, qn_optimizer *out);
void qn_optimizer_close(qn_optimizer *optimizer);

/* The next update is that of step `step` (from 1) at rate `lr`. The device has read what the last
 * call set: its update is done. */
void qn_optimizer_schedule(qn_optimizer *optimizer, int64_t step, double lr);

/* Enqueues an update by AdamW (Loshchilov & Hutter 1711.05101) with options->beta1, beta2 and eps,
 * the norm of the gradients of all that trains clipped at options->clip. The sum of their squares
 * is left in QN_BUF_GRAD_SUMSQ; when it is not finite nothing changes. Frozen parameters, their
 * moments (zero) and their working copy stay the bits that they are. A working copy of the
 * parameters is rounded as options->weight_rounding says, stochastically with the numbers of
 * (options->seed, step, element). A recorded update is at the rate that is scheduled when it is
 * launched. */
qn_status qn_optimizer_update(qn_optimizer *optimizer);

/* Refuses, as QN_CODE_USAGE, stochastic rounding where a plan has no working copy to round. */
qn_status qn_optimizer_check(const qn_plan_options *plan, const qn_train_options *options);

/* Enqueues what makes the working copy, after the parameters of step `step` were loaded, the bits
 * that the update of that step left: loading rounds to nearest even, as initial values are, and
 * as what is frozen stays. */
qn_status qn_optimizer_resume(qn_model *model, const qn_train_options *options, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
