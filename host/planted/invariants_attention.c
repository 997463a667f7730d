/* invariants_attention.c: what attention leaves for the lens in known cases, and that it leaves
 * everything else alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planted/invariants.h"

/* What rounding does to sums of a thousand fp32 terms near 1. */
#define ROUNDING 2e-6

static qn_status make_batch(qn_garden *garden, const qn_model *model, qn_task_batches *out) {
    const qn_task task = qn_copier_task();
    return qn_task_batches_make(&task, garden->options->seed,
                                qn_model_plan(model)->options.batch_size, 1, out);
}

/* One pass under the lens, whose figures are the lens's. */
static qn_status sample(qn_garden *garden, qn_model *model, qn_lens *lens,
                        const qn_lens_figure **figures, int64_t *count) {
    qn_task_batches batches;
    double sum;
    QN_TRY(make_batch(garden, model, &batches));
    qn_status status = qn_lens_begin(lens);
    if (!status) status = qn_model_forward(model, batches.items, 0, 1);
    if (!status) status = qn_lens_end(lens);
    if (!status) status = qn_lens_read(lens, figures, count);
    if (!status) status = qn_model_loss_sum(model, 1, &sum);
    qn_task_batches_free(&batches);
    return status;
}

/* ---- uniform and one-hot attention ----------------------------------------------------------- */

/* The largest difference of a metric from its baseline, as a share of that. */
static double distance_from_baseline(const qn_lens_figure *figures, int64_t count,
                                     const char *metric) {
    double largest = 0;
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        if (strcmp(figures[i].metric, metric)) continue;
        largest = qn_worse(largest, fabs(figures[i].value / figures[i].baseline - 1));
        found++;
    }
    return found ? largest : (double)NAN;
}

static qn_status check_uniform(qn_garden *garden, const qn_lens_figure *figures, int64_t count) {
    static const char *const metrics[] = {"entropy", "p_max", "distance", "sink", "local"};
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        QN_TRY(qn_check(garden, T5, distance_from_baseline(figures, count, metrics[i]), 0, ROUNDING,
                        "equal logits: relative distance of %s from its baseline", metrics[i]));
    return QN_OK;
}

static double largest_of(const qn_lens_figure *figures, int64_t count, const char *metric) {
    double largest = -INFINITY;
    for (int64_t i = 0; i < count; i++)
        if (!strcmp(figures[i].metric, metric)) largest = qn_worse(largest, figures[i].value);
    return largest;
}

/* Scores that lie far apart leave one key to each row. */
enum { FAR = 10000 };

static qn_status check_with_lens(qn_garden *garden, qn_model *model, qn_lens *lens) {
    const qn_lens_figure *figures;
    int64_t count;
    QN_TRY(qn_scale_role(model, QN_Q_W, FAR));
    QN_TRY(qn_scale_role(model, QN_K_W, FAR));
    QN_TRY(sample(garden, model, lens, &figures, &count));
    QN_TRY(qn_check(garden, T5, largest_of(figures, count, "entropy"), 0, ROUNDING,
                    "one-hot attention: largest entropy of a head"));
    QN_TRY(qn_scale_role(model, QN_Q_W, 0));
    QN_TRY(sample(garden, model, lens, &figures, &count));
    return check_uniform(garden, figures, count);
}

/* The probes, too, give uniform attention its baselines. */
static qn_status check_probes(qn_garden *garden) {
    qn_trained t;
    qn_lens_figures figures = {0};
    QN_TRY(qn_untrained(garden, QN_PLAN_INSPECT, &t));
    qn_status status = qn_scale_role(t.model, QN_Q_W, 0);
    if (!status) status = qn_copy_patterns(t.model, garden->options->seed, &figures);
    static const char *const metrics[] = {"previous_token", "induction", "offset"};
    for (int i = 0; !status && i < 3; i++)
        status = qn_check(
            garden, T5, distance_from_baseline(figures.items, figures.count, metrics[i]), 0,
            ROUNDING, "equal logits: relative distance of %s from its baseline", metrics[i]);
    qn_lens_figures_free(&figures);
    qn_trained_free(&t);
    return status;
}

qn_status qn_check_extremes(qn_garden *garden) {
    qn_trained t;
    qn_lens *lens = NULL;
    QN_TRY(qn_untrained(garden, QN_PLAN_TRAIN, &t));
    qn_status status = qn_lens_open(t.model, &lens);
    if (!status) status = check_with_lens(garden, t.model, lens);
    qn_lens_close(lens);
    qn_trained_free(&t);
    return status ? status : check_probes(garden);
}

/* ---- the same bits with statistics and without ----------------------------------------------- */

/* What a pass left in a buffer, all layers. */
static qn_status read_buffer(qn_model *model, qn_buffer_id id, char **out, size_t *bytes) {
    const qn_buffer *b = &qn_model_plan(model)->buffers[id];
    const qn_ops *ops = qn_model_backend(model)->ops;
    *bytes = b->stride * (size_t)b->copies;
    *out = malloc(*bytes);
    if (!*out) return qn_error(QN_CODE_MEMORY, "no memory for %s", b->name);
    qn_status status = ops->copy(qn_model_stream(model), *out, qn_model_buffer(model, id), *bytes,
                                 QN_COPY_TO_HOST);
    if (!status) status = ops->stream_sync(qn_model_stream(model));
    return status;
}

/* Passes without the lens and under it: bytes of a buffer that differ. */
static qn_status compare_passes(qn_garden *garden, qn_model *model, qn_lens *lens,
                                const qn_batch *batch, qn_buffer_id id, double *differ) {
    const qn_lens_figure *figures;
    char *without = NULL, *with = NULL;
    int64_t count;
    size_t bytes = 0;
    *differ = 0;
    qn_status status = qn_model_forward(model, batch, 0, 1);
    if (!status) status = read_buffer(model, id, &without, &bytes);
    if (!status) status = sample(garden, model, lens, &figures, &count);
    if (!status) status = read_buffer(model, id, &with, &bytes);
    for (size_t i = 0; !status && i < bytes; i++) *differ += without[i] != with[i];
    free(without);
    free(with);
    return status;
}

static qn_status check_buffers(qn_garden *garden, qn_model *model, qn_lens *lens) {
    static const struct {
        qn_buffer_id id;
        const char *name;
    } buffers[] = {{QN_BUF_ATT, "o"}, {QN_BUF_LSE, "lse"}, {QN_BUF_LOSSES, "losses"}};
    qn_task_batches batches;
    double differ;
    QN_TRY(make_batch(garden, model, &batches));
    qn_status status = QN_OK;
    for (int i = 0; !status && i < 3; i++) {
        status = compare_passes(garden, model, lens, batches.items, buffers[i].id, &differ);
        if (!status)
            status = qn_check(garden, T5, differ, 0, 0, "bytes of %s that statistics change",
                              buffers[i].name);
    }
    qn_task_batches_free(&batches);
    return status;
}

static qn_status check_passes(qn_garden *garden) {
    qn_trained t;
    qn_lens *lens = NULL;
    QN_TRY(qn_untrained(garden, QN_PLAN_TRAIN, &t));
    qn_status status = qn_lens_open(t.model, &lens);
    if (!status) status = check_buffers(garden, t.model, lens);
    qn_lens_close(lens);
    qn_trained_free(&t);
    return status;
}

static qn_status train_briefly(qn_garden *garden, const char *name, int64_t lens_every,
                               qn_trained *out) {
    const qn_task task = qn_copier_task();
    const qn_planting planting = {.name = name,
                                  .task = &task,
                                  .n_layers = 2,
                                  .ffn_size = 128,
                                  .steps = 20,
                                  .batch_size = 8,
                                  .warmup = 5,
                                  .lr = 0.003,
                                  .lens_every = lens_every};
    return qn_plant(garden, &planting, out);
}

static qn_status check_training(qn_garden *garden) {
    qn_trained without, with;
    int differ = 0;
    QN_TRY(train_briefly(garden, "t5", 0, &without));
    qn_status status = train_briefly(garden, "t5-sampled", 1, &with);
    if (!status) {
        for (int64_t i = 0; i < without.n_losses; i++)
            differ += without.losses[i] != with.losses[i];
        status = qn_check(garden, T5, differ, 0, 0, "losses of %d steps that sampling changes",
                          (int)without.n_losses);
        qn_trained_free(&with);
    }
    qn_trained_free(&without);
    return status;
}

qn_status qn_check_bits(qn_garden *garden) {
    QN_TRY(check_passes(garden));
    return check_training(garden);
}
