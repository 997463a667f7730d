#include "quern/activations.h"

#include <stdlib.h>
#include <string.h>

#include "model/model_impl.h"
#include "model/workspace.h"
#include "quern/bf16.h"

/* ---- misuse -------------------------------------------------------------------------------- */

static qn_status check_inspected(const qn_model *m, const char *what, int64_t at, int64_t most) {
    if (m->plan.options.mode != QN_PLAN_INSPECT) {
        return qn_error(QN_CODE_INVALID, "%s: expected a model planned for QN_PLAN_INSPECT", what);
    }
    if (at >= 0 && at <= most) return QN_OK;
    return qn_error(QN_CODE_INVALID, "%s of layer %lld: expected 0 to %lld", what, (long long)at,
                    (long long)most);
}

/* ---- values on their way to the host --------------------------------------------------------- */

static qn_status no_memory(const char *what, int64_t count) {
    return qn_error(QN_CODE_MEMORY, "%s: no host memory for %lld values", what, (long long)count);
}

/* `count` values that lie next to each other in device memory, as fp32. */
static qn_status fetch(qn_model *m, const void *from, qn_dtype dtype, int64_t count, float *out) {
    const size_t bytes = (size_t)count * qn_dtype_size(dtype);
    uint16_t *words = dtype == QN_BF16 ? malloc(bytes) : NULL;
    if (dtype == QN_BF16 && !words) return no_memory("bf16", count);
    qn_status status =
        m->ops->copy(m->stream, words ? (void *)words : out, from, bytes, QN_COPY_TO_HOST);
    if (!status) status = m->ops->stream_sync(m->stream);
    for (int64_t i = 0; words && !status && i < count; i++) out[i] = qn_float_of_bf16(words[i]);
    free(words);
    return status;
}

/* Columns [first, first + cols) of an activation, dense. */
static qn_status fetch_columns(qn_model *m, qn_tensor x, int64_t first, int64_t cols, float *out) {
    const int64_t rows = x.shape[0], width = x.shape[1];
    float *whole = malloc((size_t)(rows * width) * sizeof *whole);
    if (!whole) return no_memory("activations", rows * width);
    qn_status status = fetch(m, x.data, x.dtype, rows * width, whole);
    for (int64_t n = 0; n < rows && !status; n++) {
        memcpy(out + n * cols, whole + n * width + first, (size_t)cols * sizeof *out);
    }
    free(whole);
    return status;
}

/* ---- heads ----------------------------------------------------------------------------------- */

qn_status qn_model_read_heads(qn_model *m, int64_t layer, qn_head_part part, float *out) {
    const qn_config *c = &m->config;
    const int64_t q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim;
    QN_TRY(check_inspected(m, "heads", layer, c->n_layers - 1));
    const qn_tensor qkv = qn_activation(m, QN_BUF_QKV, layer, q + 2 * kv);
    const qn_tensor qk = c->qk_norm ? qn_activation(m, QN_BUF_QK, layer, q + kv) : qkv;
    switch (part) {
    case QN_HEAD_Q:
        return fetch_columns(m, qk, 0, q, out);
    case QN_HEAD_K:
        return fetch_columns(m, qk, q, kv, out);
    case QN_HEAD_V:
        return fetch_columns(m, qkv, q + kv, kv, out);
    }
    return qn_error(QN_CODE_INVALID, "part %d of heads: expected q, k or v", (int)part);
}

/* ---- the residual stream --------------------------------------------------------------------- */

static qn_tensor residual(const qn_model *m, int64_t depth) {
    const bool last = depth == m->config.n_layers;
    return qn_activation(m, last ? QN_BUF_RESID_OUT : QN_BUF_RESID_IN, last ? 0 : depth,
                         m->config.hidden_size);
}

qn_status qn_model_read_residual(qn_model *m, int64_t depth, float *out) {
    QN_TRY(check_inspected(m, "residual stream", depth, m->config.n_layers));
    const qn_tensor x = residual(m, depth);
    return fetch(m, x.data, x.dtype, x.shape[0] * x.shape[1], out);
}

static qn_tensor rows_of(qn_tensor x, int64_t first, int64_t count) {
    x = qn_from(x, first * x.stride[0]);
    x.shape[0] = count;
    return x;
}

/* The final norm of rows of the residual stream, left where the evaluation has its own. */
static qn_status final_norm(qn_model *m, qn_tensor x, qn_tensor *out) {
    const int64_t rows = x.shape[0];
    *out = rows_of(qn_activation(m, QN_BUF_FINAL_NORM, 0, m->config.hidden_size), 0, rows);
    qn_tensor mean = qn_per_token(m, QN_BUF_FINAL_MEAN, 0);
    qn_tensor rstd = qn_per_token(m, QN_BUF_FINAL_RSTD, 0);
    mean.shape[0] = rstd.shape[0] = rows;
    const qn_norm_args args = {.x = x,
                               .weight = qn_weight(m, QN_FINAL_NORM_W, -1),
                               .bias = qn_weight(m, QN_FINAL_NORM_B, -1),
                               .mean = mean,
                               .rstd = rstd,
                               .eps = (float)m->config.norm_eps,
                               .out = *out,
                               .workspace = qn_buffer_at(m, QN_BUF_WORKSPACE, 0)};
    return m->config.arch == QN_ARCH_GPT2 ? m->ops->layernorm_forward(m->stream, &args)
                                          : m->ops->rmsnorm_forward(m->stream, &args);
}

qn_status qn_model_read_logits(qn_model *m, int64_t depth, int64_t first, int64_t count,
                               float *out) {
    const int64_t N = m->B * m->T, room = qn_logit_rows(&m->plan.options);
    QN_TRY(check_inspected(m, "logits", depth, m->config.n_layers));
    if (first < 0 || count < 0 || count > N || first > N - count) {
        return qn_error(QN_CODE_INVALID, "logits of %lld tokens from %lld on: the pass had %lld",
                        (long long)count, (long long)first, (long long)N);
    }
    for (int64_t at = 0; at < count; at += room) {
        const int64_t rows = count - at < room ? count - at : room;
        qn_tensor normed;
        QN_TRY(final_norm(m, rows_of(residual(m, depth), first + at, rows), &normed));
        QN_TRY(qn_read_logits(m, normed, out + at * m->config.vocab_size));
    }
    return QN_OK;
}

/* ---- parameters ------------------------------------------------------------------------------ */

qn_status qn_model_read_param(qn_model *m, const qn_param *param, float *out) {
    const qn_buffer_id id = m->plan.buffers[QN_BUF_PARAMS].name ? QN_BUF_PARAMS : QN_BUF_WEIGHTS;
    const qn_tensor from = qn_param_view(m, id, param->role, param->layer);
    return fetch(m, from.data, from.dtype, param->count, out);
}

qn_status qn_model_write_param(qn_model *m, const qn_param *param, const float *values) {
    const size_t bytes = (size_t)param->count * sizeof *values;
    float *copy = malloc(bytes); /* where the plan keeps bf16 alone, it is rounded in place */
    if (!copy) return no_memory(param->name, param->count);
    memcpy(copy, values, bytes);
    qn_status status = qn_set_param(m, param, 0, copy, param->count);
    free(copy);
    return status ? status : qn_model_refresh_weights(m);
}
