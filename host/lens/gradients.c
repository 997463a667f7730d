/* gradients.c: how much gradient reaches Wq, Wk and the embeddings. */
#include <math.h>
#include <stdlib.h>

#include "quern/lens.h"

/* Sums of squares under way: the device's, in the order of their figures. */
typedef struct summer {
    qn_model *model;
    const qn_ops *ops;
    qn_stream *stream;
    float *grads, *sums;
    int64_t count;
} summer;

static summer summer_of(qn_model *model) {
    return (summer){.model = model,
                    .ops = qn_model_backend(model)->ops,
                    .stream = qn_model_stream(model),
                    .grads = qn_model_buffer(model, QN_BUF_GRADS),
                    .sums = qn_model_buffer(model, QN_BUF_GRAD_PARTS)};
}

static qn_status sum(summer *s, qn_tensor gradient) {
    return s->ops->sum_squares(s->stream, gradient, s->sums + s->count++);
}

static qn_status sum_parameter(summer *s, const qn_param *p) {
    return sum(s, qn_tensor_1d(s->grads + p->offset, QN_F32, p->count));
}

/* GPT-2: columns [first, first + C) of the (C,3C) of q, k and v, made dense in the workspace. */
static qn_status sum_columns(summer *s, const qn_param *qkv, int64_t first) {
    const int64_t C = qkv->shape[0];
    qn_tensor columns = qn_tensor_2d(s->grads + qkv->offset + first, QN_F32, C, C);
    columns.stride[0] = qkv->shape[1];
    qn_tensor dense = qn_tensor_2d(qn_model_buffer(s->model, QN_BUF_WORKSPACE), QN_F32, C, C);
    QN_TRY(s->ops->cast(s->stream, dense, columns));
    return sum(s, dense);
}

static qn_status sum_layer(summer *s, int64_t layer) {
    const qn_params *params = qn_model_params(s->model);
    const qn_param *qkv = qn_params_find(params, QN_QKV_W, layer);
    if (qkv) {
        QN_TRY(sum_columns(s, qkv, 0));
        return sum_columns(s, qkv, qkv->shape[0]);
    }
    QN_TRY(sum_parameter(s, qn_params_find(params, QN_Q_W, layer)));
    return sum_parameter(s, qn_params_find(params, QN_K_W, layer));
}

static qn_status sum_all(summer *s) {
    const qn_params *params = qn_model_params(s->model);
    for (int64_t l = 0; l < params->n_layers; l++) QN_TRY(sum_layer(s, l));
    return sum_parameter(s, qn_params_find(params, QN_WTE, -1));
}

/* ---- figures ------------------------------------------------------------------------------- */

static qn_status add(qn_lens_figures *out, int64_t layer, const char *metric, float sum,
                     int64_t n) {
    return qn_lens_add(out, (qn_lens_figure){.layer = layer,
                                             .head = -1,
                                             .metric = metric,
                                             .value = sqrt((double)sum),
                                             .baseline = NAN,
                                             .n = n,
                                             .at = -1,
                                             .error = NAN});
}

static qn_status add_all(const qn_model *model, const float *sums, qn_lens_figures *out) {
    const qn_config *c = &qn_model_plan(model)->config;
    const int64_t q = c->n_heads * c->head_dim * c->hidden_size;
    const int64_t k = c->n_kv_heads * c->head_dim * c->hidden_size;
    for (int64_t l = 0; l < c->n_layers; l++) {
        QN_TRY(add(out, l, "grad_norm_q", sums[2 * l], q));
        QN_TRY(add(out, l, "grad_norm_k", sums[2 * l + 1], k));
    }
    return add(out, -1, "grad_norm_embedding", sums[2 * c->n_layers],
               c->vocab_size * c->hidden_size);
}

qn_status qn_lens_gradients(qn_model *model, qn_lens_figures *out) {
    summer s = summer_of(model);
    QN_TRY(sum_all(&s));
    const size_t bytes = (size_t)s.count * sizeof(float);
    float *sums = malloc(bytes);
    if (!sums)
        return qn_error(QN_CODE_MEMORY, "no memory for the norms of %lld gradients",
                        (long long)s.count);
    qn_status status = s.ops->copy(s.stream, sums, s.sums, bytes, QN_COPY_TO_HOST);
    if (!status) status = s.ops->stream_sync(s.stream);
    if (!status) status = add_all(model, sums, out);
    free(sums);
    return status;
}
