/* induction.c (T1): tokens that repeat at a random period, which two layers learn to copy by a
 * previous-token head and an induction head, and one layer cannot (Olsson et al. 2209.11895). */
#include <math.h>

#include "planted/copying.h"
#include "quern/label.h"

enum { T1 = 1 };

/* ---- the loss: a plateau, then a jump -------------------------------------------------------- */

enum { SMOOTH = 20, AT_FIRST = 100 };

static double mean_of(const double *x, int64_t first, int64_t end) {
    double sum = 0;
    for (int64_t i = first; i < end; i++) sum += x[i];
    return sum / (double)(end - first);
}

/* The first step by which the loss, over SMOOTH steps, has fallen by a share of the way from
 * `plateau` to `end`. */
static int64_t step_of_share(const qn_trained *t, double share, double plateau, double end) {
    int64_t step = SMOOTH;
    while (step < t->n_losses &&
           plateau - mean_of(t->losses, step - SMOOTH, step) < share * (plateau - end))
        step++;
    return step;
}

/* Steps 50 to 100 have learnt which tokens there are and nothing more. The jump is the step of
 * half the fall. */
static qn_status check_jump(qn_garden *garden, const qn_trained *t) {
    const int64_t n = t->n_losses;
    const double plateau = mean_of(t->losses, AT_FIRST / 2, AT_FIRST);
    const double end = mean_of(t->losses, n - AT_FIRST, n), fall = plateau - end;
    const int64_t jump = step_of_share(t, 0.5, plateau, end), before = jump * 3 / 4;
    const int64_t quick =
        step_of_share(t, 0.75, plateau, end) - step_of_share(t, 0.25, plateau, end);
    const double early = plateau - mean_of(t->losses, before - SMOOTH, before);
    QN_TRY(qn_check(garden, T1, plateau, log(QN_COPY_WORDS) - 0.05, log(QN_COPY_WORDS) + 0.05,
                    "loss of the plateau (chance is ln 64)"));
    QN_TRY(qn_check(garden, T1, fall, 0.9, INFINITY, "nats that the loss falls in all"));
    QN_TRY(qn_check(garden, T1, (double)jump, 2 * AT_FIRST, (double)(n - AT_FIRST),
                    "step of the jump: half of the fall"));
    QN_TRY(qn_check(garden, T1, early / fall, -0.05, 0.15,
                    "share of the fall in the first three quarters of the way there"));
    return qn_check(garden, T1, (double)quick, 1, 0.2 * (double)n,
                    "steps from a quarter of the fall to three quarters");
}

/* ---- heads ----------------------------------------------------------------------------------- */

static qn_status check_head(qn_garden *garden, const qn_lens_figures *figures, const char *metric,
                            int64_t layer, double least, qn_head_label label) {
    const qn_lens_figure *f = qn_lens_strongest(figures, metric, layer);
    if (!f) return qn_check(garden, T1, NAN, least, INFINITY, "%s: no figure", metric);
    const qn_head_label found = qn_label_head(figures, f->layer, f->head, NULL);
    QN_TRY(qn_check(garden, T1, f->value, least, INFINITY,
                    "%s score of layer %d head %d (uniform %.3f)", metric, (int)f->layer,
                    (int)f->head, f->baseline));
    return qn_check(garden, T1, found == label, 1, 1, "that head is labelled %s (it is: %s)",
                    qn_label_name(label), qn_label_name(found));
}

static qn_status check_heads(qn_garden *garden, const qn_lens_figures *figures) {
    QN_TRY(check_head(garden, figures, "previous_token", 0, 0.6, QN_LABEL_PREVIOUS_TOKEN));
    return check_head(garden, figures, "induction", -1, 0.7, QN_LABEL_INDUCTION);
}

static qn_status check_two_layers(qn_garden *garden, const qn_task *task) {
    qn_trained *t = &garden->copier;
    qn_lens_figures figures = {0};
    double accuracy;
    if (!t->model) QN_TRY(qn_plant_copier(garden, 2, t));
    QN_TRY(check_jump(garden, t));
    QN_TRY(qn_copy_accuracy(t->model, task, garden->options->seed, &accuracy));
    QN_TRY(qn_check(garden, T1, accuracy, 0.95, 1, "accuracy of copying (chance 1/64)"));
    qn_status status = qn_copy_patterns(t->model, garden->options->seed, &figures);
    if (!status) status = check_heads(garden, &figures);
    qn_lens_figures_free(&figures);
    return status;
}

static qn_status check_one_layer(qn_garden *garden, const qn_task *task) {
    qn_trained t;
    double accuracy;
    QN_TRY(qn_plant_copier(garden, 1, &t));
    qn_status status = qn_copy_accuracy(t.model, task, garden->options->seed, &accuracy);
    if (!status) {
        status = qn_check(garden, T1, accuracy, 0, 0.2,
                          "accuracy of one layer, which cannot copy what it has not matched");
    }
    qn_trained_free(&t);
    return status;
}

qn_status qn_planted_induction(qn_garden *garden) {
    const qn_task task = qn_copier_task();
    QN_TRY(check_two_layers(garden, &task));
    return check_one_layer(garden, &task);
}
