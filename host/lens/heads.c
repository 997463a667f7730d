#include "lens/heads.h"

#include <math.h>
#include <stdlib.h>

qn_status qn_heads_open(qn_model *model, qn_heads *out) {
    const qn_plan *plan = qn_model_plan(model);
    const qn_config *c = &plan->config;
    const size_t N = (size_t)(plan->options.batch_size * plan->options.seq_len);
    *out = (qn_heads){.model = model,
                      .B = plan->options.batch_size,
                      .T = plan->options.seq_len,
                      .n_heads = c->n_heads,
                      .n_kv_heads = c->n_kv_heads,
                      .head_dim = c->head_dim,
                      .window = c->sliding_window,
                      .scale = 1 / sqrt((double)c->head_dim)};
    out->q = malloc(N * (size_t)(c->n_heads * c->head_dim) * sizeof *out->q);
    out->k = malloc(N * (size_t)(c->n_kv_heads * c->head_dim) * sizeof *out->k);
    qn_status status =
        out->q && out->k ? qn_rotation_make(plan, &out->rotation)
                         : qn_error(QN_CODE_MEMORY, "no host memory for q and k of %zu tokens", N);
    if (status) qn_heads_close(out);
    return status;
}

void qn_heads_close(qn_heads *heads) {
    qn_rotation_free(&heads->rotation);
    free(heads->q);
    free(heads->k);
    *heads = (qn_heads){0};
}

qn_status qn_heads_read(qn_heads *heads, int64_t layer) {
    QN_TRY(qn_model_read_heads(heads->model, layer, QN_HEAD_Q, heads->q));
    return qn_model_read_heads(heads->model, layer, QN_HEAD_K, heads->k);
}

void qn_heads_turn_back(qn_heads *s) {
    const int64_t D = s->head_dim;
    for (int64_t n = 0; n < s->B * s->T; n++) {
        for (int64_t h = 0; h < s->n_heads; h++)
            qn_rotation_undo(&s->rotation, n % s->T, s->q + (n * s->n_heads + h) * D);
        for (int64_t h = 0; h < s->n_kv_heads; h++)
            qn_rotation_undo(&s->rotation, n % s->T, s->k + (n * s->n_kv_heads + h) * D);
    }
}

int64_t qn_heads_first_key(const qn_heads *s, const int32_t *doc_start, int64_t i) {
    const int64_t document = doc_start ? doc_start[i] : 0;
    const int64_t near = s->window ? i - s->window + 1 : 0;
    return document > near ? document : near;
}

void qn_heads_scores(const qn_heads *s, int64_t head, int64_t b, int64_t i, int64_t first,
                     double *out) {
    const float *q = qn_heads_q(s, b * s->T + i, head);
    for (int64_t j = first; j <= i; j++) {
        const float *k = qn_heads_k(s, b * s->T + j, head);
        double sum = 0;
        for (int64_t d = 0; d < s->head_dim; d++) sum += (double)q[d] * (double)k[d];
        out[j - first] = s->scale * sum;
    }
}

void qn_softmax(double *scores, int64_t count) {
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < count; j++) most = fmax(most, scores[j]);
    for (int64_t j = 0; j < count; j++) sum += scores[j] = exp(scores[j] - most);
    for (int64_t j = 0; j < count; j++) scores[j] /= sum;
}
