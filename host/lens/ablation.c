/* ablation.c: what a head is worth: the loss without it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lens/probe_text.h"
#include "quern/activations.h"

/* ---- without a head -------------------------------------------------------------------------- */

struct qn_ablation {
    qn_model *model;
    const qn_param *param;
    float *values; /* as they were */
};

/* Sets what reads channels [first, first + D) of attention's output to 0: columns of Llama's
 * (C,Hq·D), rows of GPT-2's (Hq·D,C). */
static void clear_head(float *values, const qn_param *p, bool columns, int64_t first, int64_t D) {
    const int64_t rows = p->shape[0], width = p->shape[1];
    if (!columns) {
        memset(values + first * width, 0, (size_t)(D * width) * sizeof *values);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        memset(values + i * width + first, 0, (size_t)D * sizeof *values);
}

qn_status qn_check_head(const qn_config *c, int64_t layer, int64_t head) {
    if (layer >= 0 && layer < c->n_layers && head >= 0 && head < c->n_heads) return QN_OK;
    return qn_error(
        QN_CODE_USAGE, "head %lld of layer %lld: the model has layers 0 to %lld of heads 0 to %lld",
        (long long)head, (long long)layer, (long long)c->n_layers - 1, (long long)c->n_heads - 1);
}

qn_status qn_ablate_head(qn_model *model, int64_t layer, int64_t head, qn_ablation **out) {
    const qn_config *c = &qn_model_plan(model)->config;
    *out = NULL;
    QN_TRY(qn_check_head(c, layer, head));
    const qn_param *p = qn_params_find(qn_model_params(model), QN_O_W, layer);
    const size_t bytes = (size_t)p->count * sizeof(float);
    qn_ablation *a = calloc(1, sizeof *a);
    float *cleared = malloc(bytes);
    if (a) *a = (qn_ablation){model, p, malloc(bytes)};
    qn_status status = a && a->values && cleared
                           ? qn_model_read_param(model, p, a->values)
                           : qn_error(QN_CODE_MEMORY, "%s: no host memory for a copy", p->name);
    if (!status) {
        memcpy(cleared, a->values, bytes);
        clear_head(cleared, p, c->arch == QN_ARCH_LLAMA, head * c->head_dim, c->head_dim);
        status = qn_model_write_param(model, p, cleared);
    }
    free(cleared);
    if (!status) {
        *out = a;
        return QN_OK;
    }
    if (a) free(a->values);
    free(a);
    return status;
}

qn_status qn_ablation_undo(qn_ablation *a) {
    qn_status status = qn_model_write_param(a->model, a->param, a->values);
    free(a->values);
    free(a);
    return status;
}

/* ---- losses ---------------------------------------------------------------------------------- */

/* Sums of the losses of each batch (nullable), and their mean over all targets. */
static qn_status measure(qn_model *model, const qn_probe_text *text, double *of_batch,
                         double *mean) {
    const int64_t count = qn_text_tokens(model, text);
    double sum = 0;
    for (int64_t i = 0; i < text->n_batches; i++) {
        double loss;
        QN_TRY(qn_model_evaluate(model, &text->batches[i], &loss));
        if (of_batch) of_batch[i] = loss;
        sum += loss;
    }
    *mean = count ? sum / (double)count : (double)NAN;
    return QN_OK;
}

qn_status qn_probe_loss(qn_model *model, const qn_probe_text *text, double *loss) {
    return measure(model, text, NULL, loss);
}

/* ---- the probe ------------------------------------------------------------------------------- */

typedef struct probe {
    qn_model *model;
    const qn_probe_text *text;
    double *with, *without; /* sums of each batch */
    int64_t targets;
} probe;

/* Standard error of the mean difference a token, from the batches' differences, which count as
 * equally long. */
static double error_of(const probe *p) {
    const double n = (double)p->text->n_batches, tokens = (double)p->targets / n;
    double sum = 0, square = 0;
    if (n < 2) return (double)NAN;
    for (int64_t i = 0; i < p->text->n_batches; i++) {
        const double d = (p->without[i] - p->with[i]) / tokens;
        sum += d;
        square += d * d;
    }
    const double spread = square - sum * sum / n;
    return sqrt((spread < 0 ? 0 : spread) / (n * (n - 1)));
}

static qn_status measure_head(probe *p, int64_t layer, int64_t head, double loss,
                              qn_lens_figures *out) {
    qn_ablation *ablation;
    double without;
    QN_TRY(qn_ablate_head(p->model, layer, head, &ablation));
    qn_status status = measure(p->model, p->text, p->without, &without);
    qn_status undone = qn_ablation_undo(ablation);
    if (status) qn_status_free(undone);
    QN_TRY(status ? status : undone);
    return qn_lens_add(out, (qn_lens_figure){.layer = layer,
                                             .head = head,
                                             .metric = "ablation",
                                             .value = without - loss,
                                             .baseline = 0,
                                             .n = p->targets,
                                             .at = -1,
                                             .error = error_of(p)});
}

static qn_status measure_heads(probe *p, int64_t layer, int64_t head, qn_lens_figures *out) {
    const qn_config *c = &qn_model_plan(p->model)->config;
    double loss;
    QN_TRY(measure(p->model, p->text, p->with, &loss));
    p->targets = qn_text_tokens(p->model, p->text);
    if (layer != -1) return measure_head(p, layer, head, loss, out);
    for (int64_t l = 0; l < c->n_layers; l++)
        for (int64_t h = 0; h < c->n_heads; h++) QN_TRY(measure_head(p, l, h, loss, out));
    return QN_OK;
}

qn_status qn_probe_ablation(qn_model *model, const qn_probe_text *text, int64_t layer, int64_t head,
                            qn_lens_figures *out) {
    const size_t bytes = (size_t)text->n_batches * sizeof(double);
    probe p = {model, text, malloc(bytes), malloc(bytes), 0};
    qn_status status = p.with && p.without ? measure_heads(&p, layer, head, out)
                                           : qn_error(QN_CODE_MEMORY, "no host memory for losses");
    free(p.with);
    free(p.without);
    return status;
}
