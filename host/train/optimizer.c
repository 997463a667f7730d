#include "quern/optimizer.h"

#include <stdlib.h>

#include "quern/adamw.h"
#include "train/freeze.h"

/* A segment for each row that trains: AdamW leaves what lies in none as it is. */
static int fill_segments(const qn_params *params, const qn_train_options *options,
                         qn_adamw_segment *segments) {
    int count = 0;
    for (int i = 0; i < params->count; i++) {
        const qn_param *p = &params->items[i];
        const qn_param_part part = qn_trained_part((qn_freeze)options->freeze, p);
        for (int64_t row = 0; row < part.rows; row++)
            segments[count++] =
                (qn_adamw_segment){.offset = part.offset + row * part.stride,
                                   .count = part.count,
                                   .weight_decay = p->decay ? (float)options->weight_decay : 0};
    }
    return count;
}

static qn_status upload_table(qn_optimizer *optimizer) {
    qn_model *model = optimizer->model;
    const qn_params *params = qn_model_params(model);
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_adamw_segment *segments = malloc((size_t)qn_params_most_segments(params) * sizeof *segments);
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
    QN_TRY(qn_trained_parts(qn_model_params(model), (qn_freeze)options->freeze, &out->trained,
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

/* A part of a flat array of the model. */
static qn_tensor tensor_of(const qn_model *model, qn_buffer_id id, qn_dtype dtype,
                           const qn_param_part *part) {
    char *at = qn_model_buffer(model, id);
    qn_tensor t = qn_tensor_2d(at + (size_t)part->offset * qn_dtype_size(dtype), dtype, part->rows,
                               part->count);
    t.stride[0] = part->stride;
    return t;
}

/* Of the gradients of a part. Rows that lie apart are made dense in the workspace. */
static qn_status sum_part(const qn_model *model, const qn_param_part *part, float *out) {
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_stream *stream = qn_model_stream(model);
    qn_tensor gradients = tensor_of(model, QN_BUF_GRADS, QN_F32, part);
    if (part->rows > 1) {
        qn_tensor dense =
            qn_tensor_2d(qn_model_buffer(model, QN_BUF_WORKSPACE), QN_F32, part->rows, part->count);
        QN_TRY(ops->cast(stream, dense, gradients));
        gradients = dense;
    }
    return ops->sum_squares(stream, gradients, out);
}

/* QN_BUF_GRAD_SUMSQ: of all gradients at once, or of the parts that train. */
static qn_status sum_squares(const qn_optimizer *optimizer, float *out) {
    const qn_model *model = optimizer->model;
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_stream *stream = qn_model_stream(model);
    float *parts = qn_model_buffer(model, QN_BUF_GRAD_PARTS);
    const int n = optimizer->n_trained;
    for (int i = 0; i < n; i++)
        QN_TRY(sum_part(model, &optimizer->trained[i], n == 1 ? out : parts + i));
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

qn_status qn_optimizer_check(const qn_plan_options *plan, const qn_train_options *options) {
    if (options->weight_rounding == QN_ROUND_NEAREST || plan->storage != QN_F32) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "--weight-rounding is stochastic, but this run stores its weights in fp32, "
                    "which nothing rounds: say --weight-rounding nearest, or take --precision bf16 "
                    "on a backend that stores bf16, which the CPU does not");
}

/* ---- going on from a checkpoint ----------------------------------------------------------- */

qn_status qn_optimizer_resume(qn_model *model, const qn_train_options *options, int64_t step) {
    if (options->weight_rounding == QN_ROUND_NEAREST || step == 0) return QN_OK;
    const qn_params *params = qn_model_params(model);
    const qn_ops *ops = qn_model_backend(model)->ops;
    qn_stream *stream = qn_model_stream(model);
    const qn_dtype storage = qn_model_plan(model)->options.storage;
    const qn_param_part all = {.rows = 1, .count = params->n_elements};
    QN_TRY(ops->cast_stochastic(stream, tensor_of(model, QN_BUF_WEIGHTS, storage, &all),
                                tensor_of(model, QN_BUF_PARAMS, QN_F32, &all),
                                (uint64_t)options->seed, step));
    for (int i = 0; i < params->count; i++) {
        const qn_param_part part = qn_frozen_part((qn_freeze)options->freeze, &params->items[i]);
        if (!part.rows) continue;
        QN_TRY(ops->cast(stream, tensor_of(model, QN_BUF_WEIGHTS, storage, &part),
                         tensor_of(model, QN_BUF_PARAMS, QN_F32, &part)));
    }
    return QN_OK;
}
