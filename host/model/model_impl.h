/* model_impl.h: what the files of this folder share about a model. */
#ifndef QUERN_MODEL_IMPL_H
#define QUERN_MODEL_IMPL_H

#include "quern/model.h"

struct qn_model {
    qn_backend *backend;
    const qn_ops *ops;
    qn_stream *stream;
    qn_config config;
    qn_params params;
    qn_plan plan;
    char *arena;          /* (device) */
    int32_t *positions;   /* host copy of what QN_BUF_POSITIONS holds */
    int64_t B, T;         /* of the pass under way; at most the plan's */
    int64_t start;        /* position of the first token; other than 0 only with a cache */
    qn_attn_stats *stats; /* per layer, or NULL */
    float *result;        /* page-locked: loss sums of the micro-steps, gradient's sum of squares */
};

/* (device) One layer's copy of a buffer; NULL when the plan has none. */
static inline void *qn_buffer_at(const qn_model *m, qn_buffer_id id, int64_t layer) {
    const qn_buffer *b = &m->plan.buffers[id];
    if (!b->name) return NULL;
    return m->arena + b->offset + (b->copies > 1 ? (size_t)layer * b->stride : 0);
}

/* A buffer of activations as (N, cols) of the pass under way; absent when there is none. */
static inline qn_tensor qn_activation(const qn_model *m, qn_buffer_id id, int64_t layer,
                                      int64_t cols) {
    return qn_tensor_2d(qn_buffer_at(m, id, layer), m->plan.buffers[id].dtype, m->B * m->T, cols);
}

/* A buffer with one value a token, (N). */
static inline qn_tensor qn_per_token(const qn_model *m, qn_buffer_id id, int64_t layer) {
    return qn_tensor_1d(qn_buffer_at(m, id, layer), m->plan.buffers[id].dtype, m->B * m->T);
}

/* The same view, begun `elements` further on. */
static inline qn_tensor qn_from(qn_tensor t, int64_t elements) {
    if (t.data) t.data = (char *)t.data + (size_t)elements * qn_dtype_size(t.dtype);
    return t;
}

/* Columns [first, first + heads·D) of an activation, as heads: (N, heads, D). */
static inline qn_tensor qn_head_columns(const qn_model *m, qn_tensor x, int64_t first,
                                        int64_t heads) {
    const int64_t D = m->config.head_dim;
    qn_tensor t = qn_tensor_3d(x.data, x.dtype, x.shape[0], heads, D);
    t.stride[0] = x.stride[0];
    return qn_from(t, first);
}

static inline qn_tensor qn_param_view(const qn_model *m, qn_buffer_id id, qn_role role,
                                      int64_t layer) {
    const qn_param *p = qn_params_find(&m->params, role, layer);
    const qn_buffer *b = &m->plan.buffers[id];
    qn_tensor none = {0};
    if (!p || !b->name) return none;
    char *data = (char *)qn_buffer_at(m, id, 0) + (size_t)p->offset * qn_dtype_size(b->dtype);
    return qn_tensor_make(data, b->dtype, p->rank, p->shape);
}

/* A parameter as operations read it: of the working copy where there is one, else of the
 * masters; absent when the model has none. */
static inline qn_tensor qn_weight(const qn_model *m, qn_role role, int64_t layer) {
    const bool copy = m->plan.buffers[QN_BUF_WEIGHTS].name != NULL;
    return qn_param_view(m, copy ? QN_BUF_WEIGHTS : QN_BUF_PARAMS, role, layer);
}

/* Its gradient; absent when the model has none. */
static inline qn_tensor qn_weight_grad(const qn_model *m, qn_role role, int64_t layer) {
    return qn_param_view(m, QN_BUF_GRADS, role, layer);
}

/* The table that makes logits, and its gradient, with the rows behind it that are no words. */
static inline qn_tensor qn_with_padding(qn_tensor table) {
    table.shape[0] = qn_table_rows(table.shape[0]);
    return table;
}
static inline qn_role qn_head_role(const qn_model *m) {
    return m->config.tie_embeddings ? QN_WTE : QN_LM_HEAD_W;
}
static inline qn_tensor qn_head(const qn_model *m) {
    return qn_with_padding(qn_weight(m, qn_head_role(m), -1));
}
static inline qn_tensor qn_head_grad(const qn_model *m) {
    return qn_with_padding(qn_weight_grad(m, qn_head_role(m), -1));
}

/* model.c: an error unless the model is planned for training; `pass` begins its message. */
qn_status qn_check_training(const qn_model *m, const char *pass);

/* weights.c: gives elements [first, first + count) of a parameter their values (fp32, host memory)
 * in the masters, or in the working copy where that is all there is: then they are rounded in
 * place, and lost to the caller. Waits for the device. */
qn_status qn_set_param(qn_model *m, const qn_param *p, int64_t first, float *values, int64_t count);

/* logits.c: logits (rows,V), in host memory, of rows (rows,C) that the final norm made; at most
 * qn_logit_rows of the plan. Waits for the device. */
qn_status qn_read_logits(qn_model *m, qn_tensor x, float *logits);

/* transformer.c: the passes over the blocks. The batch lies in the device's buffers. */
qn_status qn_forward_blocks(qn_model *m);
/* The sum of the losses goes to element `slot` of QN_BUF_LOSS_SUMS. */
qn_status qn_forward_loss(qn_model *m, int64_t slot, float grad_scale, bool train);

#endif
