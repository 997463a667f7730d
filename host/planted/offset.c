/* offset.c (T2): the trap of position. Where all sequences repeat at one period, copying needs no
 * induction: a head that looks 15 back does it, and must not be taken for an induction head. */
#include <math.h>

#include "planted/copying.h"
#include "quern/label.h"

enum { T2 = 2, PERIOD = 16, SEQ_LEN = 2 * PERIOD, STEPS = 400, BATCH = 32 };

static qn_status check_copying(qn_garden *garden, const qn_trained *t) {
    const qn_task planted = qn_copying_task(SEQ_LEN, PERIOD, PERIOD);
    const qn_task shorter = qn_copying_task(SEQ_LEN, 8, PERIOD - 1);
    const uint64_t seed = garden->options->seed;
    double accuracy, other;
    QN_TRY(qn_copy_accuracy(t->model, &planted, seed, &accuracy));
    QN_TRY(qn_check(garden, T2, accuracy, 0.95, 1, "accuracy of copying at period %d", PERIOD));
    QN_TRY(qn_copy_accuracy(t->model, &shorter, seed, &other));
    return qn_check(garden, T2, other, 0, 0.2, "accuracy at periods 8 to %d", PERIOD - 1);
}

/* Heads of a label; of offsets, at a distance. */
static int count_labels(const qn_lens_figures *figures, const qn_config *c, qn_head_label label,
                        int64_t distance) {
    int count = 0;
    for (int64_t l = 0; l < c->n_layers; l++)
        for (int64_t h = 0; h < c->n_heads; h++) {
            int64_t at;
            const bool same = qn_label_head(figures, l, h, &at) == label;
            count += same && (label != QN_LABEL_OFFSET || at == distance);
        }
    return count;
}

static double largest_induction(const qn_lens_figures *figures, const qn_config *c) {
    double largest = 0;
    for (int64_t l = 0; l < c->n_layers; l++)
        for (int64_t h = 0; h < c->n_heads; h++) {
            int64_t at;
            if (qn_label_head(figures, l, h, &at) != QN_LABEL_OFFSET || at != PERIOD - 1) continue;
            largest = fmax(largest, qn_lens_find(figures, "induction", l, h)->value);
        }
    return largest;
}

static qn_status check_heads(qn_garden *garden, const qn_lens_figures *figures,
                             const qn_config *config) {
    const int offsets = count_labels(figures, config, QN_LABEL_OFFSET, PERIOD - 1);
    QN_TRY(qn_check(garden, T2, offsets, 1, INFINITY, "heads labelled offset %d", PERIOD - 1));
    QN_TRY(qn_check(garden, T2, count_labels(figures, config, QN_LABEL_INDUCTION, -1), 0, 0,
                    "heads labelled induction"));
    return qn_check(garden, T2, largest_induction(figures, config), 0, 0.01,
                    "induction score of heads labelled offset %d, at other periods", PERIOD - 1);
}

static qn_status check_model(qn_garden *garden, const qn_trained *t) {
    qn_lens_figures figures = {0};
    QN_TRY(check_copying(garden, t));
    qn_status status = qn_copy_patterns(t->model, garden->options->seed, &figures);
    if (!status) status = check_heads(garden, &figures, &qn_model_plan(t->model)->config);
    qn_lens_figures_free(&figures);
    return status;
}

qn_status qn_planted_offset(qn_garden *garden) {
    const qn_task task = qn_copying_task(SEQ_LEN, PERIOD, PERIOD);
    const qn_planting planting = {.name = "t2",
                                  .task = &task,
                                  .n_layers = 2,
                                  .ffn_size = 128,
                                  .steps = STEPS,
                                  .batch_size = BATCH,
                                  .warmup = 50,
                                  .lr = 0.003,
                                  .decay = 0.1};
    qn_trained t;
    QN_TRY(qn_plant(garden, &planting, &t));
    qn_status status = check_model(garden, &t);
    qn_trained_free(&t);
    return status;
}
