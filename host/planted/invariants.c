/* invariants.c (T5): what must hold whatever a model has learnt, and what needs one that has. */
#include "planted/invariants.h"

#include <math.h>
#include <stdlib.h>

#include "quern/activations.h"
#include "quern/label.h"

enum { BATCH = 8 };

/* ---- models -------------------------------------------------------------------------------- */

qn_status qn_untrained(const qn_garden *garden, qn_plan_mode mode, qn_trained *out) {
    const qn_task task = qn_copier_task();
    const qn_planting planting = {
        .name = "t5", .task = &task, .n_layers = 2, .ffn_size = 128, .batch_size = BATCH};
    return qn_plant_nothing(garden, &planting, mode, out);
}

static qn_status scale_param(qn_model *model, const qn_param *param, float factor) {
    float *values = malloc((size_t)param->count * sizeof *values);
    if (!values) return qn_error(QN_CODE_MEMORY, "no memory for %s", param->name);
    qn_status status = qn_model_read_param(model, param, values);
    for (int64_t i = 0; !status && i < param->count; i++) values[i] *= factor;
    if (!status) status = qn_model_write_param(model, param, values);
    free(values);
    return status;
}

qn_status qn_scale_role(qn_model *model, qn_role role, float factor) {
    const qn_params *params = qn_model_params(model);
    for (int64_t l = 0; l < params->n_layers; l++)
        QN_TRY(scale_param(model, qn_params_find(params, role, l), factor));
    return QN_OK;
}

/* ---- of the model that copies ---------------------------------------------------------------- */

/* What the head of the strongest previous-token score costs, more than any other one does on
 * average. (Induction heads are several, and stand in for each other.) NaN where it has another
 * label. */
static double worth_of_previous_token(const qn_lens_figures *patterns,
                                      const qn_lens_figures *ablations) {
    const qn_lens_figure *head = qn_lens_strongest(patterns, "previous_token", -1);
    double own = (double)NAN, others = 0;
    int count = 0;
    if (!head || qn_label_head(patterns, head->layer, head->head, NULL) != QN_LABEL_PREVIOUS_TOKEN)
        return (double)NAN;
    for (int64_t i = 0; i < ablations->count; i++) {
        const qn_lens_figure *f = &ablations->items[i];
        if (f->layer == head->layer && f->head == head->head) {
            own = f->value;
        } else {
            others += f->value;
            count++;
        }
    }
    return own - others / count;
}

static qn_status measure_heads(qn_garden *garden, qn_model *model, qn_lens_figures *patterns,
                               qn_lens_figures *ablations) {
    enum { BATCHES = 2 };
    const qn_task task = qn_copier_task();
    qn_task_batches batches;
    QN_TRY(qn_copy_patterns(model, garden->options->seed, patterns));
    QN_TRY(qn_task_batches_make(&task, garden->options->seed,
                                qn_model_plan(model)->options.batch_size, BATCHES, &batches));
    qn_status status = qn_probe_ablation(model, &batches.text, -1, -1, ablations);
    qn_task_batches_free(&batches);
    return status;
}

static qn_status check_ablation(qn_garden *garden) {
    qn_trained *t = &garden->copier;
    qn_lens_figures patterns = {0}, ablations = {0};
    if (!t->model) QN_TRY(qn_plant_copier(garden, 2, t));
    qn_status status = measure_heads(garden, t->model, &patterns, &ablations);
    if (!status) {
        status = qn_check(garden, T5, worth_of_previous_token(&patterns, &ablations), 0.1, INFINITY,
                          "nats that ablating the previous-token head costs more than another");
    }
    qn_lens_figures_free(&patterns);
    qn_lens_figures_free(&ablations);
    return status;
}

qn_status qn_planted_invariants(qn_garden *garden) {
    QN_TRY(qn_check_extremes(garden));
    QN_TRY(qn_check_bits(garden));
    QN_TRY(qn_check_shift(garden));
    QN_TRY(qn_check_gauge(garden));
    QN_TRY(qn_check_shuffled_synonyms(garden, T5));
    QN_TRY(qn_check_centred_cosines(garden, T5));
    return check_ablation(garden);
}
