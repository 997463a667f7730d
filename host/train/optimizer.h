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

qn_status qn_optimizer_make(const qn_params *params, double weight_decay, qn_optimizer *out);
void qn_optimizer_free(qn_optimizer *optimizer);

/* One update of step `step` (from 1) at rate `lr`, with the norm of all gradients clipped. The
 * sum of their squares is left in QN_BUF_GRAD_SUMSQ; when it is not finite nothing changes. */
qn_status qn_optimizer_step(const qn_optimizer *optimizer, qn_model *model,
                            const qn_train_options *options, int64_t step, double lr);

#ifdef __cplusplus
}
#endif
#endif
