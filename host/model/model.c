#include "quern/model.h"

#include <math.h>
#include <stdlib.h>

#include "model/model_impl.h"
#include "quern/fit.h"

const qn_plan *qn_model_plan(const qn_model *m) { return &m->plan; }
const qn_params *qn_model_params(const qn_model *m) { return &m->params; }
qn_backend *qn_model_backend(const qn_model *m) { return m->backend; }
qn_stream *qn_model_stream(const qn_model *m) { return m->stream; }
void *qn_model_buffer(const qn_model *m, qn_buffer_id id) { return qn_buffer_at(m, id, 0); }
void qn_model_set_stats(qn_model *m, qn_attn_stats *per_layer) { m->stats = per_layer; }
const qn_attn_stats *qn_model_stats(const qn_model *m) { return m->stats; }

/* ---- creation ---------------------------------------------------------------------- */

static qn_status does_not_fit(const qn_model *m, const qn_device_info *device) {
    qn_fit fit;
    char remedy[QN_FIT_TEXT];
    QN_TRY(qn_fit_find(m->backend, &m->params, &m->plan, device->memory_free, &fit));
    return qn_error(QN_CODE_MEMORY, "the plan needs %.2f GB and %s has %.2f GB free; %s",
                    1e-9 * (double)m->plan.total_bytes, device->name,
                    1e-9 * (double)device->memory_free, qn_fit_describe(&fit, &m->plan, remedy));
}

static qn_status check_device(qn_model *m) {
    qn_device_info info;
    QN_TRY(m->ops->device_info(m->backend, &info));
    return m->plan.total_bytes <= info.memory_free ? QN_OK : does_not_fit(m, &info);
}

/* The positions of the pass under way, B times start … start + T − 1. */
static qn_status set_positions(qn_model *m, int64_t B, int64_t T, int64_t start) {
    if (m->B == B && m->T == T && m->start == start) return QN_OK;
    m->B = B;
    m->T = T;
    m->start = start;
    for (int64_t n = 0; n < B * T; n++) m->positions[n] = (int32_t)(start + n % T);
    return m->ops->copy(m->stream, qn_buffer_at(m, QN_BUF_POSITIONS, 0), m->positions,
                        (size_t)(B * T) * sizeof *m->positions, QN_COPY_TO_DEVICE);
}

static qn_status prepare(qn_model *m) {
    const qn_plan_options *o = &m->plan.options;
    QN_TRY(check_device(m));
    m->positions = malloc((size_t)(o->batch_size * o->seq_len) * sizeof *m->positions);
    if (!m->positions) {
        return qn_error(QN_CODE_MEMORY, "no host memory for the positions of %lld tokens",
                        (long long)(o->batch_size * o->seq_len));
    }
    QN_TRY(m->ops->stream_create(m->backend, &m->stream));
    QN_TRY(m->ops->alloc(m->backend, m->plan.total_bytes, (void **)&m->arena));
    /* What lies between parameters, rows of tables that are no words too, stays zero. */
    for (qn_buffer_id id = QN_BUF_PARAMS; id <= QN_BUF_ADAM_V; id++) {
        if (!m->plan.buffers[id].name) continue;
        QN_TRY(m->ops->zero(m->stream, qn_buffer_at(m, id, 0), m->plan.buffers[id].stride));
    }
    if (m->config.arch == QN_ARCH_LLAMA) {
        QN_TRY(m->ops->rope_table(
            m->stream,
            qn_tensor_2d(qn_buffer_at(m, QN_BUF_ROPE, 0), QN_F32, o->seq_len, m->config.head_dim),
            m->config.rope_theta));
    }
    if (m->plan.buffers[QN_BUF_LOSS_SUMS].name) {
        QN_TRY(m->ops->host_alloc(m->backend, (size_t)(o->grad_accum + 1) * sizeof *m->result,
                                  (void **)&m->result));
    }
    return set_positions(m, o->batch_size, o->seq_len, 0);
}

qn_status qn_model_create(qn_backend *backend, const qn_config *config,
                          const qn_plan_options *options, qn_model **out) {
    *out = NULL;
    QN_TRY(qn_config_check(config, "model"));
    qn_model *m = calloc(1, sizeof *m);
    if (!m) return qn_error(QN_CODE_MEMORY, "no memory for a model's description");
    m->backend = backend;
    m->ops = backend->ops;
    m->config = *config;
    qn_status status;
    QN_TRY_GOTO(status, failed, qn_params_make(config, &m->params));
    QN_TRY_GOTO(status, failed, qn_plan_make(backend, config, &m->params, options, &m->plan));
    QN_TRY_GOTO(status, failed, prepare(m));
    *out = m;
    return QN_OK;
failed:
    qn_model_destroy(m);
    return status;
}

void qn_model_destroy(qn_model *m) {
    if (!m) return;
    if (m->result) m->ops->host_free(m->backend, m->result);
    if (m->arena) m->ops->free(m->backend, m->arena);
    if (m->stream) m->ops->stream_destroy(m->stream);
    qn_params_free(&m->params);
    free(m->positions);
    free(m);
}

/* ---- misuse -------------------------------------------------------------------------- */

static qn_status wrong_mode(const qn_model *m, const char *pass, const char *expected) {
    static const char *const names[] = {"QN_PLAN_TRAIN", "QN_PLAN_EVAL", "QN_PLAN_INSPECT",
                                        "QN_PLAN_GENERATE"};
    return qn_error(QN_CODE_INVALID, "%s: the model is planned for %s; expected %s", pass,
                    names[m->plan.options.mode], expected);
}

qn_status qn_check_training(const qn_model *m, const char *pass) {
    return m->plan.options.mode == QN_PLAN_TRAIN ? QN_OK : wrong_mode(m, pass, "QN_PLAN_TRAIN");
}

/* ---- parameters ---------------------------------------------------------------------- */

qn_status qn_model_init(qn_model *m, uint64_t seed) {
    for (int i = 0; i < m->params.count; i++) {
        const qn_param *p = &m->params.items[i];
        float *values = malloc((size_t)p->count * sizeof *values);
        if (!values) {
            return qn_error(QN_CODE_MEMORY, "%s: no host memory for %lld initial values", p->name,
                            (long long)p->count);
        }
        qn_param_init(&m->params, i, seed, values);
        qn_status status = qn_set_param(m, p, 0, values, p->count);
        free(values);
        if (status) return status;
    }
    return qn_model_refresh_weights(m);
}

qn_status qn_model_refresh_weights(qn_model *m) {
    const qn_buffer *masters = &m->plan.buffers[QN_BUF_PARAMS];
    const qn_buffer *copy = &m->plan.buffers[QN_BUF_WEIGHTS];
    if (!masters->name || !copy->name) return QN_OK;
    return m->ops->cast(
        m->stream, qn_tensor_1d(qn_buffer_at(m, QN_BUF_WEIGHTS, 0), copy->dtype, copy->count),
        qn_tensor_1d(qn_buffer_at(m, QN_BUF_PARAMS, 0), masters->dtype, masters->count));
}

qn_status qn_model_zero_grads(qn_model *m) {
    QN_TRY(qn_check_training(m, "zeroing gradients"));
    return m->ops->zero(m->stream, qn_buffer_at(m, QN_BUF_GRADS, 0),
                        m->plan.buffers[QN_BUF_GRADS].stride);
}

/* ---- passes ---------------------------------------------------------------------------- */

static qn_status upload(qn_model *m, qn_buffer_id id, const int32_t *values, int64_t count) {
    if (!m->plan.buffers[id].name) return QN_OK;
    return m->ops->copy(m->stream, qn_buffer_at(m, id, 0), values, (size_t)count * sizeof *values,
                        QN_COPY_TO_DEVICE);
}

static qn_status upload_batch(qn_model *m, const qn_batch *batch) {
    const qn_plan_options *o = &m->plan.options;
    const int64_t N = o->batch_size * o->seq_len;
    QN_TRY(set_positions(m, o->batch_size, o->seq_len, 0));
    QN_TRY(upload(m, QN_BUF_TOKENS, batch->tokens, N));
    QN_TRY(upload(m, QN_BUF_TARGETS, batch->targets, N));
    return upload(m, QN_BUF_DOC_START, batch->doc_start, N);
}

static qn_status check_slot(const qn_model *m, int64_t slot) {
    const int64_t spare = m->plan.options.grad_accum;
    if (slot >= 0 && slot <= spare) return QN_OK;
    return qn_error(QN_CODE_INVALID,
                    "slot %lld of the losses: expected a micro-step, 0 to %lld as the plan has "
                    "it, or %lld, the spare one",
                    (long long)slot, (long long)spare - 1, (long long)spare);
}

qn_status qn_model_forward(qn_model *m, const qn_batch *batch, int64_t slot, float grad_scale) {
    QN_TRY(qn_check_training(m, "forward pass"));
    QN_TRY(check_slot(m, slot));
    QN_TRY(upload_batch(m, batch));
    return qn_forward_loss(m, slot, grad_scale, true);
}

/* ---- results ---------------------------------------------------------------------------- */

static qn_status fetch_losses(qn_model *m, int64_t n_micro_steps) {
    const float *sums = qn_buffer_at(m, QN_BUF_LOSS_SUMS, 0);
    const int64_t most = sums ? m->plan.options.grad_accum : 0;
    if (n_micro_steps < 0 || n_micro_steps > most) {
        return qn_error(QN_CODE_INVALID, "losses of %lld micro-steps: the plan has %lld",
                        (long long)n_micro_steps, (long long)most);
    }
    return m->ops->copy(m->stream, m->result, sums, (size_t)n_micro_steps * sizeof *sums,
                        QN_COPY_TO_HOST);
}

static qn_status wait_for_losses(qn_model *m, int64_t n_micro_steps, double *out) {
    *out = 0;
    QN_TRY(m->ops->stream_sync(m->stream));
    for (int64_t i = 0; i < n_micro_steps; i++) *out += m->result[i];
    return QN_OK;
}

qn_status qn_model_loss_sum(qn_model *m, int64_t n_micro_steps, double *out) {
    *out = 0;
    QN_TRY(fetch_losses(m, n_micro_steps));
    return wait_for_losses(m, n_micro_steps, out);
}

/* Behind the losses, in page-locked memory. */
static float *fetched_sum_squares(const qn_model *m) {
    return m->result + m->plan.options.grad_accum;
}

qn_status qn_model_fetch_result(qn_model *m) {
    QN_TRY(qn_check_training(m, "result of a step"));
    QN_TRY(fetch_losses(m, m->plan.options.grad_accum));
    return m->ops->copy(m->stream, fetched_sum_squares(m), qn_buffer_at(m, QN_BUF_GRAD_SUMSQ, 0),
                        sizeof(float), QN_COPY_TO_HOST);
}

qn_status qn_model_step_result(qn_model *m, double *loss_sum, double *grad_norm) {
    QN_TRY(qn_check_training(m, "result of a step"));
    QN_TRY(wait_for_losses(m, m->plan.options.grad_accum, loss_sum));
    *grad_norm = sqrt(*fetched_sum_squares(m));
    return QN_OK;
}

qn_status qn_model_evaluate(qn_model *m, const qn_batch *batch, double *loss_sum) {
    if (m->plan.options.mode == QN_PLAN_GENERATE) {
        return wrong_mode(m, "evaluation", "QN_PLAN_EVAL or QN_PLAN_TRAIN");
    }
    QN_TRY(upload_batch(m, batch));
    QN_TRY(qn_forward_loss(m, 0, 0, false));
    return qn_model_loss_sum(m, 1, loss_sum);
}

/* ---- generation -------------------------------------------------------------------------- */

qn_status qn_model_extend(qn_model *m, const int32_t *tokens, int64_t start, int64_t count,
                          float *logits) {
    const qn_plan_options *o = &m->plan.options;
    const int64_t B = o->batch_size, C = m->config.hidden_size;
    if (o->mode != QN_PLAN_GENERATE) return wrong_mode(m, "generation", "QN_PLAN_GENERATE");
    if (start < 0 || start >= o->seq_len || count < 1 || count > o->seq_len - start) {
        return qn_error(QN_CODE_INVALID, "%lld tokens from position %lld on: the cache holds %lld",
                        (long long)count, (long long)start, (long long)o->seq_len);
    }
    QN_TRY(set_positions(m, B, count, start));
    QN_TRY(upload(m, QN_BUF_TOKENS, tokens, B * count));
    QN_TRY(qn_forward_blocks(m));
    qn_tensor last = qn_activation(m, QN_BUF_FINAL_NORM, 0, C);
    last = qn_from(last, (count - 1) * C);
    last.shape[0] = B;
    last.stride[0] = count * C;
    return qn_read_logits(m, last, logits);
}
