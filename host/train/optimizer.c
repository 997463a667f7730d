#include "quern/optimizer.h"

#include <stdlib.h>

#include "quern/adamw.h"

static qn_status upload_table(qn_model *model, double weight_decay) {
    const qn_params *params = qn_model_params(model);
    const qn_ops *ops = qn_model_backend(model)->ops;
    const size_t bytes = (size_t)params->count * sizeof(qn_adamw_segment);
    qn_adamw_segment *segments = malloc(bytes);
    if (!segments) {
        return qn_error(QN_CODE_MEMORY, "no memory for the optimizer's table of %d parameters",
                        params->count);
    }
    for (int i = 0; i < params->count; i++) {
        const qn_param *p = &params->items[i];
        segments[i] = (qn_adamw_segment){.offset = p->offset,
                                         .count = p->count,
                                         .weight_decay = p->decay ? (float)weight_decay : 0};
    }
    qn_stream *stream = qn_model_stream(model);
    qn_status status = ops->copy(stream, qn_model_buffer(model, QN_BUF_ADAM_SEGMENTS), segments,
                                 bytes, QN_COPY_TO_DEVICE);
    if (!status) status = ops->stream_sync(stream);
    free(segments);
    return status;
}

qn_status qn_optimizer_open(qn_model *model, const qn_train_options *options, qn_optimizer *out) {
    qn_backend *backend = qn_model_backend(model);
    *out = (qn_optimizer){.model = model, .options = options};
    QN_TRY(upload_table(model, options->weight_decay));
    return backend->ops->host_alloc(backend, sizeof *out->rate, (void **)&out->rate);
}

void qn_optimizer_close(qn_optimizer *optimizer) {
    if (optimizer->rate) {
        qn_backend *backend = qn_model_backend(optimizer->model);
        backend->ops->host_free(backend, optimizer->rate);
    }
    *optimizer = (qn_optimizer){0};
}

void qn_optimizer_schedule(qn_optimizer *optimizer, int64_t step, double lr) {
    const qn_train_options *o = optimizer->options;
    *optimizer->rate = qn_adamw_rate_of((float)lr, (float)o->beta1, (float)o->beta2, step);
}

qn_status qn_optimizer_update(qn_optimizer *optimizer) {
    qn_model *model = optimizer->model;
    const qn_train_options *options = optimizer->options;
    const qn_params *params = qn_model_params(model);
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_stream *stream = qn_model_stream(model);
    float *grads = qn_model_buffer(model, QN_BUF_GRADS);
    float *sumsq = qn_model_buffer(model, QN_BUF_GRAD_SUMSQ);
    qn_adamw_rate *rate = qn_model_buffer(model, QN_BUF_ADAM_RATE);
    QN_TRY(ops->copy(stream, rate, optimizer->rate, sizeof *rate, QN_COPY_TO_DEVICE));
    QN_TRY(ops->sum_squares(stream, qn_tensor_1d(grads, QN_F32, params->n_elements), sumsq));
    qn_adamw_args args = {.param = qn_model_buffer(model, QN_BUF_PARAMS),
                          .grad = grads,
                          .m = qn_model_buffer(model, QN_BUF_ADAM_M),
                          .v = qn_model_buffer(model, QN_BUF_ADAM_V),
                          .weights = qn_model_buffer(model, QN_BUF_WEIGHTS),
                          .weights_dtype = qn_model_plan(model)->options.storage,
                          .count = params->n_elements,
                          .segments = qn_model_buffer(model, QN_BUF_ADAM_SEGMENTS),
                          .n_segments = params->count,
                          .grad_sumsq = sumsq,
                          .rate = rate,
                          .grad_scale = 1,
                          .clip = (float)options->clip,
                          .beta1 = (float)options->beta1,
                          .beta2 = (float)options->beta2,
                          .eps = (float)options->eps,
                          .stochastic_rounding = options->weight_rounding == QN_ROUND_STOCHASTIC,
                          .seed = (uint64_t)options->seed};
    return ops->adamw(stream, &args);
}

qn_status qn_optimizer_check(const qn_plan_options *plan, const qn_train_options *options) {
    if (options->weight_rounding == QN_ROUND_NEAREST || plan->storage != QN_F32) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "--weight-rounding is stochastic, but this run stores its weights in fp32, "
                    "which nothing rounds: say --weight-rounding nearest, or take --precision bf16 "
                    "on a backend that stores bf16, which the CPU does not");
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
