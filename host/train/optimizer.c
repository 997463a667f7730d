#include "quern/optimizer.h"

#include <stdlib.h>

#include "quern/adamw.h"
#include "train/freeze.h"

/* A segment for each parameter that trains: AdamW leaves what lies in none as it is. */
static int fill_segments(const qn_params *params, const qn_train_options *options,
                         qn_adamw_segment *segments) {
    int count = 0;
    for (int i = 0; i < params->count; i++) {
        const qn_param *p = &params->items[i];
        if (qn_is_frozen((qn_freeze)options->freeze, p)) continue;
        segments[count++] =
            (qn_adamw_segment){.offset = p->offset,
                               .count = p->count,
                               .weight_decay = p->decay ? (float)options->weight_decay : 0};
    }
    return count;
}

static qn_status upload_table(qn_optimizer *optimizer) {
    qn_model *model = optimizer->model;
    const qn_params *params = qn_model_params(model);
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_adamw_segment *segments = malloc((size_t)params->count * sizeof *segments);
    if (!segments) {
        return qn_error(QN_CODE_MEMORY, "no memory for the optimizer's table of %d parameters",
                        params->count);
    }
    optimizer->n_segments = fill_segments(params, optimizer->options, segments);
    qn_stream *stream = qn_model_stream(model);
    qn_status status =
        ops->copy(stream, qn_model_buffer(model, QN_BUF_ADAM_SEGMENTS), segments,
                  (size_t)optimizer->n_segments * sizeof *segments, QN_COPY_TO_DEVICE);
    if (!status) status = ops->stream_sync(stream);
    free(segments);
    return status;
}

qn_status qn_optimizer_open(qn_model *model, const qn_train_options *options, qn_optimizer *out) {
    qn_backend *backend = qn_model_backend(model);
    *out = (qn_optimizer){.model = model, .options = options};
    QN_TRY(qn_trained_spans(qn_model_params(model), (qn_freeze)options->freeze, &out->trained,
                            &out->n_trained));
    QN_TRY(upload_table(out));
    return backend->ops->host_alloc(backend, sizeof *out->rate, (void **)&out->rate);
}

void qn_optimizer_close(qn_optimizer *optimizer) {
    if (optimizer->rate) {
        qn_backend *backend = qn_model_backend(optimizer->model);
        backend->ops->host_free(backend, optimizer->rate);
    }
    free(optimizer->trained);
    *optimizer = (qn_optimizer){0};
}

void qn_optimizer_schedule(qn_optimizer *optimizer, int64_t step, double lr) {
    const qn_train_options *o = optimizer->options;
    *optimizer->rate = qn_adamw_rate_of((float)lr, (float)o->beta1, (float)o->beta2, step);
}

/* QN_BUF_GRAD_SUMSQ: of all gradients at once, or of the spans that train. */
static qn_status sum_squares(const qn_optimizer *optimizer, float *out) {
    const qn_model *model = optimizer->model;
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_stream *stream = qn_model_stream(model);
    float *grads = qn_model_buffer(model, QN_BUF_GRADS);
    float *parts = qn_model_buffer(model, QN_BUF_GRAD_PARTS);
    const int n = optimizer->n_trained;
    for (int i = 0; i < n; i++) {
        const qn_span *span = &optimizer->trained[i];
        QN_TRY(ops->sum_squares(stream, qn_tensor_1d(grads + span->offset, QN_F32, span->count),
                                n == 1 ? out : parts + i));
    }
    return n == 1 ? QN_OK : ops->sum(stream, qn_tensor_1d(parts, QN_F32, n), out);
}

qn_status qn_optimizer_update(qn_optimizer *optimizer) {
    qn_model *model = optimizer->model;
    const qn_train_options *options = optimizer->options;
    const qn_params *params = qn_model_params(model);
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_stream *stream = qn_model_stream(model);
    float *sumsq = qn_model_buffer(model, QN_BUF_GRAD_SUMSQ);
    qn_adamw_rate *rate = qn_model_buffer(model, QN_BUF_ADAM_RATE);
    QN_TRY(ops->copy(stream, rate, optimizer->rate, sizeof *rate, QN_COPY_TO_DEVICE));
    QN_TRY(sum_squares(optimizer, sumsq));
    qn_adamw_args args = {.param = qn_model_buffer(model, QN_BUF_PARAMS),
                          .grad = qn_model_buffer(model, QN_BUF_GRADS),
                          .m = qn_model_buffer(model, QN_BUF_ADAM_M),
                          .v = qn_model_buffer(model, QN_BUF_ADAM_V),
                          .weights = qn_model_buffer(model, QN_BUF_WEIGHTS),
                          .weights_dtype = qn_model_plan(model)->options.storage,
                          .count = params->n_elements,
                          .segments = qn_model_buffer(model, QN_BUF_ADAM_SEGMENTS),
                          .n_segments = optimizer->n_segments,
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

qn_status qn_optimizer_check(const qn_config *config, const qn_plan_options *plan,
                             const qn_train_options *options) {
    QN_TRY(qn_freeze_check(config, (qn_freeze)options->freeze));
    if (options->weight_rounding == QN_ROUND_NEAREST || plan->storage != QN_F32) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "--weight-rounding is stochastic, but this run stores its weights in fp32, "
                    "which nothing rounds: say --weight-rounding nearest, or take --precision bf16 "
                    "on a backend that stores bf16, which the CPU does not");
}

/* ---- going on from a checkpoint ----------------------------------------------------------- */

/* A run of masters, and the same of the working copy. */
static qn_tensor masters_of(const qn_model *model, int64_t offset, int64_t count) {
    float *params = qn_model_buffer(model, QN_BUF_PARAMS);
    return qn_tensor_1d(params + offset, QN_F32, count);
}

static qn_tensor weights_of(const qn_model *model, int64_t offset, int64_t count) {
    const qn_dtype storage = qn_model_plan(model)->options.storage;
    char *weights = qn_model_buffer(model, QN_BUF_WEIGHTS);
    return qn_tensor_1d(weights + (size_t)offset * qn_dtype_size(storage), storage, count);
}

qn_status qn_optimizer_resume(qn_model *model, const qn_train_options *options, int64_t step) {
    if (options->weight_rounding == QN_ROUND_NEAREST || step == 0) return QN_OK;
    const qn_params *params = qn_model_params(model);
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_stream *stream = qn_model_stream(model);
    QN_TRY(ops->cast_stochastic(stream, weights_of(model, 0, params->n_elements),
                                masters_of(model, 0, params->n_elements), (uint64_t)options->seed,
                                step));
    for (int i = 0; i < params->count; i++) {
        const qn_param *p = &params->items[i];
        if (!qn_is_frozen((qn_freeze)options->freeze, p)) continue;
        QN_TRY(ops->cast(stream, weights_of(model, p->offset, p->count),
                         masters_of(model, p->offset, p->count)));
    }
    return QN_OK;
}
