/* noise.c (T4): tokens at random, of which nothing can be learnt. */
#include <math.h>

#include "planted/copying.h"
#include "quern/label.h"

/* Nothing predicts noise better than ln V, and what was fitted to the noise seen makes it worse on
 * other noise, by parameters in use over twice the tokens seen: at most V² / (2·STEPS·BATCH·T) for
 * pairs of words. */
#define DEAREST_FIT 0.0033

enum { T4 = 4, WORDS = QN_COPY_WORDS, SEQ_LEN = 64, BATCH = 32, STEPS = 300 };

static void draw_noise(const qn_task *task, qn_draws *draws, int32_t *tokens) {
    tokens[0] = QN_COPY_BOS;
    for (int64_t i = 1; i < task->examples.length; i++) tokens[i] = qn_draw(draws, WORDS);
}

static const qn_task noise = {
    .vocab_size = QN_COPY_VOCAB, .examples = {.length = SEQ_LEN + 1}, .draw = draw_noise};

/* ---- the loss ----------------------------------------------------------------------------- */

/* Mean loss of batches in nats a token, and its standard error. */
static qn_status measure_loss(qn_model *model, const qn_task_batches *batches, double *mean,
                              double *error) {
    const int64_t n = batches->text.n_batches;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        double loss;
        QN_TRY(qn_model_evaluate(model, &batches->items[i], &loss));
        loss /= BATCH * SEQ_LEN;
        sum += loss;
        squares += loss * loss;
    }
    *mean = sum / (double)n;
    *error = sqrt((squares - sum * *mean) / (double)(n * (n - 1)));
    return QN_OK;
}

static qn_status check_loss(qn_garden *garden, const qn_trained *t) {
    enum { BATCHES = 16 };
    const double chance = log(WORDS);
    double mean, error;
    qn_task_batches batches;
    QN_TRY(qn_task_batches_make(&noise, garden->options->seed, BATCH, BATCHES, &batches));
    qn_status status = measure_loss(t->model, &batches, &mean, &error);
    qn_task_batches_free(&batches);
    if (status) return status;
    QN_TRY(qn_check(garden, T4, (mean - chance) / error, -2.5, INFINITY,
                    "loss %.5f less ln 64, in standard errors of %.5f", mean, error));
    return qn_check(garden, T4, mean - chance, -INFINITY, DEAREST_FIT, "the same in nats");
}

/* ---- the heads ----------------------------------------------------------------------------- */

static qn_status check_heads(qn_garden *garden, const qn_trained *t) {
    qn_lens_figures figures = {0};
    const qn_config *config = &qn_model_plan(t->model)->config;
    int labelled = 0;
    qn_status status = qn_copy_patterns(t->model, garden->options->seed, &figures);
    for (int64_t l = 0; l < config->n_layers; l++)
        for (int64_t h = 0; h < config->n_heads; h++)
            labelled += qn_label_head(&figures, l, h, NULL) != QN_LABEL_NONE;
    qn_lens_figures_free(&figures);
    if (status) return status;
    return qn_check(garden, T4, labelled, 0, 0, "heads with a label");
}

qn_status qn_planted_noise(qn_garden *garden) {
    const qn_planting planting = {.name = "t4",
                                  .task = &noise,
                                  .n_layers = 2,
                                  .ffn_size = 128,
                                  .steps = STEPS,
                                  .batch_size = BATCH,
                                  .warmup = 50,
                                  .lr = 0.001,
                                  .decay = 0.6,
                                  .weight_decay = 0.1};
    qn_trained t;
    QN_TRY(qn_plant(garden, &planting, &t));
    qn_status status = check_loss(garden, &t);
    if (!status) status = check_heads(garden, &t);
    qn_trained_free(&t);
    return status;
}
