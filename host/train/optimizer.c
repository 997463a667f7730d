#include "quern/optimizer.h"

#include <stdlib.h>

qn_status qn_optimizer_make(const qn_params *params, double weight_decay, qn_optimizer *out) {
    out->n_segments = params->count;
    out->segments = malloc((size_t)params->count * sizeof *out->segments);
    if (!out->segments) {
        return qn_error(QN_CODE_MEMORY, "no memory for the optimizer's table of %d parameters",
                        params->count);
    }
    for (int i = 0; i < params->count; i++) {
        const qn_param *p = &params->items[i];
        out->segments[i] = (qn_adamw_segment){.offset = p->offset,
                                              .count = p->count,
                                              .weight_decay = p->decay ? (float)weight_decay : 0};
    }
    return QN_OK;
}

void qn_optimizer_free(qn_optimizer *optimizer) {
    free(optimizer->segments);
    *optimizer = (qn_optimizer){0};
}

qn_status qn_optimizer_step(const qn_optimizer *optimizer, qn_model *model,
                            const qn_train_options *options, int64_t step, double lr) {
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_stream *stream = qn_model_stream(model);
    const int64_t count = qn_model_params(model)->n_elements;
    float *grads = qn_model_buffer(model, QN_BUF_GRADS);
    float *sumsq = qn_model_buffer(model, QN_BUF_GRAD_SUMSQ);
    QN_TRY(ops->sum_squares(stream, qn_tensor_1d(grads, QN_F32, count), sumsq));
    qn_adamw_args args = {.param = qn_model_buffer(model, QN_BUF_PARAMS),
                          .grad = grads,
                          .m = qn_model_buffer(model, QN_BUF_ADAM_M),
                          .v = qn_model_buffer(model, QN_BUF_ADAM_V),
                          .weights = qn_model_buffer(model, QN_BUF_WEIGHTS),
                          .weights_dtype = qn_model_plan(model)->options.storage,
                          .count = count,
                          .segments = optimizer->segments,
                          .n_segments = optimizer->n_segments,
                          .grad_sumsq = sumsq,
                          .grad_scale = 1,
                          .clip = (float)options->clip,
                          .lr = (float)lr,
                          .beta1 = (float)options->beta1,
                          .beta2 = (float)options->beta2,
                          .eps = (float)options->eps,
                          .step = step,
                          .stochastic_rounding = options->weight_rounding == QN_ROUND_STOCHASTIC,
                          .seed = (uint64_t)options->seed};
    return ops->adamw(stream, &args);
}

qn_status qn_optimizer_check(const qn_plan_options *plan, const qn_train_options *options) {
    if (options->weight_rounding == QN_ROUND_NEAREST || plan->storage != QN_F32) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "--weight-rounding is stochastic, but this run stores its weights in fp32, "
                    "which nothing rounds: leave the flag out, or take --precision bf16 on a "
                    "backend that stores bf16, which the CPU does not");
}

qn_status qn_optimizer_resume(qn_model *model, const qn_train_options *options, int64_t step) {
    if (options->weight_rounding == QN_ROUND_NEAREST || step == 0) return QN_OK;
    const int64_t count = qn_model_params(model)->n_elements;
    return qn_model_backend(model)->ops->cast_stochastic(
        qn_model_stream(model),
        qn_tensor_1d(qn_model_buffer(model, QN_BUF_WEIGHTS), qn_model_plan(model)->options.storage,
                     count),
        qn_tensor_1d(qn_model_buffer(model, QN_BUF_PARAMS), QN_F32, count), (uint64_t)options->seed,
        step);
}
