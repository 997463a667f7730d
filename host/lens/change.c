/* change.c: how far the parameters of q, k and the embeddings have come from where they began. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quern/activations.h"
#include "quern/probe.h"

/* Columns [first, first + count) of a matrix; of GPT-2's q, k and v in one. */
typedef struct part {
    const char *metric;
    const qn_param *param;
    int64_t first, count;
} part;

struct qn_probe_origin {
    const qn_model *model;
    int n_parts;
    part *parts;
    float **values; /* of each part's whole parameter */
};

/* ---- what is watched ------------------------------------------------------------------------- */

static void add(qn_probe_origin *o, const char *metric, const qn_param *p, int64_t first,
                int64_t count) {
    o->parts[o->n_parts++] = (part){metric, p, first, count};
}

static void list_parts(qn_probe_origin *o) {
    const qn_params *params = qn_model_params(o->model);
    const int64_t C = qn_model_plan(o->model)->config.hidden_size;
    for (int64_t l = 0; l < params->n_layers; l++) {
        const qn_param *fused = qn_params_find(params, QN_QKV_W, l);
        if (fused) {
            add(o, "change_q", fused, 0, C);
            add(o, "change_k", fused, C, C);
        } else {
            add(o, "change_q", qn_params_find(params, QN_Q_W, l), 0, C);
            add(o, "change_k", qn_params_find(params, QN_K_W, l), 0, C);
        }
    }
    add(o, "change_embedding", qn_params_find(params, QN_WTE, -1), 0, C);
}

static qn_status read(qn_model *model, const part *p, float **out) {
    *out = malloc((size_t)p->param->count * sizeof **out);
    if (!*out) return qn_error(QN_CODE_MEMORY, "%s: no host memory for a copy", p->param->name);
    return qn_model_read_param(model, p->param, *out);
}

qn_status qn_probe_origin_take(qn_model *model, qn_probe_origin **out) {
    const size_t most = 2 * (size_t)qn_model_params(model)->n_layers + 1;
    qn_probe_origin *o = calloc(1, sizeof *o);
    *out = o;
    if (o)
        *o = (qn_probe_origin){model, 0, calloc(most, sizeof *o->parts),
                               calloc(most, sizeof *o->values)};
    qn_status status = o && o->parts && o->values
                           ? QN_OK
                           : qn_error(QN_CODE_MEMORY, "no memory for a list of parameters");
    if (!status) list_parts(o);
    for (int i = 0; !status && i < o->n_parts; i++)
        status = read(model, &o->parts[i], &o->values[i]);
    if (!status) return QN_OK;
    qn_probe_origin_free(o);
    *out = NULL;
    return status;
}

void qn_probe_origin_free(qn_probe_origin *o) {
    if (!o) return;
    for (int i = 0; i < o->n_parts && o->values; i++) free(o->values[i]);
    free(o->values);
    free(o->parts);
    free(o);
}

/* ---- how far it is from there ---------------------------------------------------------------- */

static double relative_change(const part *p, const float *before, const float *now) {
    const int64_t width = p->param->shape[1], rows = p->param->shape[0];
    double moved = 0, norm = 0;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = p->first; j < p->first + p->count; j++) {
            const double w = (double)before[i * width + j], d = (double)now[i * width + j] - w;
            moved += d * d;
            norm += w * w;
        }
    }
    return norm > 0 ? sqrt(moved / norm) : (double)NAN;
}

qn_status qn_probe_change(qn_model *model, const qn_probe_origin *o, qn_lens_figures *out) {
    for (int i = 0; i < o->n_parts; i++) {
        const part *p = &o->parts[i];
        float *now = NULL;
        qn_status status = read(model, p, &now);
        if (!status) {
            status =
                qn_lens_add(out, (qn_lens_figure){.layer = p->param->layer,
                                                  .head = -1,
                                                  .metric = p->metric,
                                                  .value = relative_change(p, o->values[i], now),
                                                  .baseline = 0,
                                                  .n = p->param->shape[0] * p->count,
                                                  .at = -1,
                                                  .error = (double)NAN});
        }
        free(now);
        if (status) return status;
    }
    return QN_OK;
}
