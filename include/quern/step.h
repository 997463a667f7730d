/* step.h: a training step: the passes of its micro-steps, and the update. */
#ifndef QUERN_STEP_H
#define QUERN_STEP_H

#include "quern/comm.h"
#include "quern/model.h"
#include "quern/options.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Takes the steps of one model. Where the backend records graphs, a micro-step is soon one launch:
 * the upload of its batch and both passes, in the first of a step the clearing
 * of the gradients before them, in the last the update behind them. So with --grad-accum 1 a whole
 * step is one launch. */
typedef struct qn_stepper qn_stepper;

/* Batches per micro-step, their number and what the update needs are those of `options`, which the
 * model was planned with (qn_options_plan); model, options and comm outlive the stepper. `targets`:
 * how many each sequence has, seq_len unless some do not count in the loss. */
qn_status qn_stepper_open(qn_model *model, const qn_train_options *options, int64_t targets,
                          qn_comm *comm, qn_stepper **out);
void qn_stepper_close(qn_stepper *stepper);

/* Page-locked memory, (B,T) each, for the micro-batch that comes next: the caller fills it. Waits
 * until the device has read the one before the last. */
qn_status qn_stepper_input(qn_stepper *stepper, int32_t **tokens, int32_t **targets,
                           int32_t **doc_start);

/* Enqueues micro-step `micro_step` (0 … grad_accum − 1, in turn) of step `step` (from 1) on what
 * was filled in; the last one with the update at rate `lr`. The gradient is that of the mean loss
 * over all targets of the step, of all ranks. */
qn_status qn_stepper_pass(qn_stepper *stepper, int64_t micro_step, int64_t step, double lr);

/* Waits for the step: the sum of its losses over all ranks, in nats, and the norm of its gradient
 * before clipping. When the norm is not finite the parameters are as they were. */
qn_status qn_stepper_result(qn_stepper *stepper, double *loss_sum, double *grad_norm);

/* The first steps of a stepper that set up what later ones use, or record it: not those to time. */
int64_t qn_stepper_warm_steps(const qn_stepper *stepper);

/* Targets of a step, over all ranks. */
int64_t qn_stepper_targets(const qn_stepper *stepper);

/* Tokens of a step, over all ranks. */
int64_t qn_step_tokens(const qn_train_options *options, const qn_comm *comm);

#ifdef __cplusplus
}
#endif
#endif
