/* invariants_scores.c: what rotation and the choice of a basis do to scores and to figures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planted/invariants.h"
#include "quern/activations.h"

/* What rounding does to an fp32 score of head_dim terms, as a share of the largest. */
#define ROUNDING 2e-6

/* ---- place and distance ---------------------------------------------------------------------- */

/* Scores of head 0 of layer 0 where all tokens are one, of sequence 0: (T,T). */
static qn_status read_scores(qn_model *model, double *scores) {
    const qn_plan *plan = qn_model_plan(model);
    const int64_t T = plan->options.seq_len, B = plan->options.batch_size;
    const int64_t H = plan->config.n_heads, D = plan->config.head_dim, width = H * D;
    float *q = malloc((size_t)(2 * B * T * width) * sizeof *q), *k = q ? q + B * T * width : NULL;
    if (!q) return qn_error(QN_CODE_MEMORY, "no memory for queries");
    qn_status status = qn_model_read_heads(model, 0, QN_HEAD_Q, q);
    if (!status) status = qn_model_read_heads(model, 0, QN_HEAD_K, k);
    for (int64_t at = 0; !status && at < T * T; at++) {
        scores[at] = 0;
        for (int64_t d = 0; d < D; d++)
            scores[at] += (double)q[at / T * width + d] * (double)k[at % T * width + d];
    }
    free(q);
    return status;
}

/* The largest change of a score by moving its query and its key, in parts of the largest score. */
static double largest_change(const double *scores, int64_t T, int64_t move_query,
                             int64_t move_key) {
    double change = 0, largest = 0;
    for (int64_t i = 1; i + 1 < T; i++)
        for (int64_t j = 1; j + 1 < T; j++) {
            const double moved = scores[(i + move_query) * T + j + move_key];
            change = qn_worse(change, fabs(moved - scores[i * T + j]));
            largest = qn_worse(largest, fabs(scores[i * T + j]));
        }
    return change / largest;
}

/* Where all tokens are one, their score is a function of the distance, which the lens's profile
 * has: its largest distance from that, in parts of the largest score. */
static double profile_distance(const qn_lens_figures *figures, const double *scores, int64_t T,
                               double scale) {
    const double *last = scores + (T - 1) * T;
    double largest = 0, distance = 0;
    int64_t found = 0;
    for (int64_t j = 0; j < T; j++) largest = qn_worse(largest, fabs(scale * last[j]));
    for (int64_t i = 0; i < figures->count; i++) {
        const qn_lens_figure *f = &figures->items[i];
        if (f->layer || f->head || strcmp(f->metric, "profile")) continue;
        distance = qn_worse(distance, fabs(f->value - scale * last[T - 1 - f->at]));
        found++;
    }
    return found ? distance / largest : (double)NAN;
}

static qn_status check_profile(qn_garden *garden, qn_model *model, const qn_batch *batch,
                               const double *scores) {
    const qn_plan *plan = qn_model_plan(model);
    const qn_probe_text text = {batch, 1};
    qn_lens_figures figures = {0};
    const double scale = 1 / sqrt((double)plan->config.head_dim);
    qn_status status = qn_probe_distance(model, &text, &figures);
    const qn_lens_figure *share = qn_lens_find(&figures, "position_share", 0, 0);
    const double position = share ? share->value : (double)NAN;
    const double distance = profile_distance(&figures, scores, plan->options.seq_len, scale);
    if (!status)
        status = qn_check(garden, T5, distance, 0, ROUNDING,
                          "one token: distance of the profile from its scores, of the largest");
    if (!status)
        status = qn_check(garden, T5, position, 1 - ROUNDING, 1 + ROUNDING,
                          "one token: share of position in its scores");
    qn_lens_figures_free(&figures);
    return status;
}

static qn_status check_scores(qn_garden *garden, qn_model *model, double *scores, int32_t *tokens,
                              int32_t *targets) {
    const qn_plan *plan = qn_model_plan(model);
    const int64_t T = plan->options.seq_len, N = plan->options.batch_size * T;
    const qn_batch batch = {tokens, targets, NULL};
    double loss;
    for (int64_t i = 0; i < N; i++) tokens[i] = targets[i] = 1;
    QN_TRY(qn_model_evaluate(model, &batch, &loss));
    QN_TRY(read_scores(model, scores));
    QN_TRY(qn_check(garden, T5, largest_change(scores, T, 1, 1), 0, ROUNDING,
                    "change of scores when both positions move, of the largest"));
    QN_TRY(qn_check(garden, T5, largest_change(scores, T, 0, 1), 0.01, INFINITY,
                    "change of scores when one of them does, of the largest"));
    return check_profile(garden, model, &batch, scores);
}

qn_status qn_check_shift(qn_garden *garden) {
    qn_trained t;
    QN_TRY(qn_untrained(garden, QN_PLAN_INSPECT, &t));
    const qn_plan_options *plan = &qn_model_plan(t.model)->options;
    const int64_t T = plan->seq_len, N = plan->batch_size * T;
    double *scores = malloc((size_t)(T * T) * sizeof *scores);
    int32_t *tokens = malloc((size_t)(2 * N) * sizeof *tokens);
    qn_status status = scores && tokens ? QN_OK : qn_error(QN_CODE_MEMORY, "no memory for scores");
    if (!status) status = check_scores(garden, t.model, scores, tokens, tokens + N);
    free(scores);
    free(tokens);
    qn_trained_free(&t);
    return status;
}

/* ---- the choice of a basis ------------------------------------------------------------------- */

/* Powers of two, which change exponents alone. */
#define SCALE 4.0f

typedef struct view {
    double loss;
    qn_lens_figures figures;
} view;

static qn_status look(qn_garden *garden, qn_model *model, view *out) {
    const qn_task task = qn_copier_task();
    qn_task_batches batches;
    QN_TRY(qn_task_batches_make(&task, garden->options->seed,
                                qn_model_plan(model)->options.batch_size, 1, &batches));
    qn_status status = qn_model_evaluate(model, batches.items, &out->loss);
    if (!status) status = qn_probe_geometry(model, &batches.text, &out->figures);
    if (!status) status = qn_copy_patterns(model, garden->options->seed, &out->figures);
    qn_task_batches_free(&batches);
    return status;
}

/* The largest relative distance of a figure from `factor` times what it was; of those whose metric
 * is `metric`, or of all that are no norms. */
static double largest_distance(const view *before, const view *after, const char *metric,
                               double factor) {
    double largest = before->figures.count == after->figures.count ? 0 : (double)NAN;
    int64_t found = 0;
    for (int64_t i = 0; i < before->figures.count; i++) {
        const qn_lens_figure *b = &before->figures.items[i];
        if (metric ? strcmp(b->metric, metric) : strstr(b->metric, "_norm") != NULL) continue;
        const double distance = fabs(after->figures.items[i].value / (factor * b->value) - 1);
        largest = qn_worse(largest, distance);
        found++;
    }
    return found ? largest : (double)NAN;
}

static qn_status compare(qn_garden *garden, const view *before, const view *after) {
    QN_TRY(qn_check(garden, T5, after->loss - before->loss, 0, 0,
                    "q times 4, k over 4: change of the loss"));
    QN_TRY(qn_check(garden, T5, largest_distance(before, after, "q_norm", SCALE), 0, ROUNDING,
                    "relative distance of norms of q from 4 times"));
    QN_TRY(qn_check(garden, T5, largest_distance(before, after, "k_norm", 1 / SCALE), 0, ROUNDING,
                    "relative distance of norms of k from a fourth"));
    return qn_check(garden, T5, largest_distance(before, after, NULL, 1), 0, ROUNDING,
                    "relative change of every other figure of heads");
}

qn_status qn_check_gauge(qn_garden *garden) {
    qn_trained t;
    view before = {0}, after = {0};
    QN_TRY(qn_untrained(garden, QN_PLAN_INSPECT, &t));
    qn_status status = look(garden, t.model, &before);
    if (!status) status = qn_scale_role(t.model, QN_Q_W, SCALE);
    if (!status) status = qn_scale_role(t.model, QN_K_W, 1 / SCALE);
    if (!status) status = look(garden, t.model, &after);
    if (!status) status = compare(garden, &before, &after);
    qn_lens_figures_free(&before.figures);
    qn_lens_figures_free(&after.figures);
    qn_trained_free(&t);
    return status;
}
