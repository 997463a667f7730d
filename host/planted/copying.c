#include "planted/copying.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quern/activations.h"

enum { STEPS = 1200, BATCH = 32, WARMUP = 50, SEQ_LEN = 64, LEAST = 8, MOST = 30, FFN = 128 };

/* ---- the task ------------------------------------------------------------------------------ */

static void draw_copies(const qn_task *task, qn_draws *draws, int32_t *tokens) {
    const int32_t range = task->most_period - task->least_period + 1;
    const int64_t length = task->examples.length,
                  period = task->least_period + qn_draw(draws, range);
    int32_t words[QN_COPY_WORDS];
    qn_draw_distinct(draws, QN_COPY_WORDS, (int32_t)period, words);
    tokens[0] = QN_COPY_BOS;
    for (int64_t i = 1; i < length; i++)
        tokens[i] = i <= 2 * period ? words[(i - 1) % period] : qn_draw(draws, QN_COPY_WORDS);
}

qn_task qn_copying_task(int64_t seq_len, int32_t least_period, int32_t most_period) {
    return (qn_task){.vocab_size = QN_COPY_VOCAB,
                     .examples = {.length = seq_len + 1},
                     .draw = draw_copies,
                     .least_period = least_period,
                     .most_period = most_period};
}

qn_task qn_copier_task(void) { return qn_copying_task(SEQ_LEN, LEAST, MOST); }

qn_status qn_plant_copier(qn_garden *garden, int64_t n_layers, qn_trained *out) {
    const qn_task task = qn_copier_task();
    const qn_planting planting = {.name = n_layers == 1 ? "t1-one-layer" : "t1",
                                  .task = &task,
                                  .n_layers = n_layers,
                                  .ffn_size = FFN,
                                  .steps = STEPS,
                                  .batch_size = BATCH,
                                  .warmup = WARMUP,
                                  .lr = 0.003,
                                  .decay = 0.1};
    return qn_plant(garden, &planting, out);
}

/* ---- how well a model copies ----------------------------------------------------------------- */

typedef struct score {
    int64_t right, total;
} score;

static int32_t likeliest(const float *logits, int64_t vocab_size) {
    int32_t best = 0;
    for (int32_t v = 1; v < vocab_size; v++)
        if (logits[v] > logits[best]) best = v;
    return best;
}

/* The words of a period are distinct, so the first one comes again where the second copy begins. */
static int64_t period_of(const int32_t *tokens, int64_t seq_len) {
    int64_t at = 2;
    while (at < seq_len && tokens[at] != tokens[1]) at++;
    return at - 1;
}

static void score_sequence(const int32_t *tokens, const int32_t *targets, const float *logits,
                           int64_t seq_len, int64_t vocab_size, score *s) {
    const int64_t period = period_of(tokens, seq_len);
    for (int64_t i = period + 1; i < 2 * period && i < seq_len; i++) {
        s->right += likeliest(logits + i * vocab_size, vocab_size) == targets[i];
        s->total++;
    }
}

static qn_status score_batch(qn_model *model, const qn_batch *batch, float *logits, score *s) {
    const qn_plan *plan = qn_model_plan(model);
    const int64_t B = plan->options.batch_size, T = plan->options.seq_len;
    const int64_t V = plan->config.vocab_size;
    double loss;
    QN_TRY(qn_model_evaluate(model, batch, &loss));
    QN_TRY(qn_model_read_logits(model, plan->config.n_layers, 0, B * T, logits));
    for (int64_t b = 0; b < B; b++)
        score_sequence(batch->tokens + b * T, batch->targets + b * T, logits + b * T * V, T, V, s);
    return QN_OK;
}

qn_status qn_copy_accuracy(qn_model *model, const qn_task *task, uint64_t seed, double *out) {
    enum { BATCHES = 4 };
    const qn_plan *plan = qn_model_plan(model);
    const int64_t B = plan->options.batch_size, T = plan->options.seq_len;
    score s = {0};
    qn_task_batches batches;
    QN_TRY(qn_task_batches_make(task, seed, B, BATCHES, &batches));
    float *logits = malloc((size_t)(B * T * plan->config.vocab_size) * sizeof *logits);
    qn_status status = logits ? QN_OK : qn_error(QN_CODE_MEMORY, "no memory for logits");
    for (int64_t i = 0; !status && i < BATCHES; i++)
        status = score_batch(model, &batches.items[i], logits, &s);
    free(logits);
    qn_task_batches_free(&batches);
    *out = s.total ? (double)s.right / (double)s.total : (double)NAN;
    return status;
}

/* ---- its heads ------------------------------------------------------------------------------- */

qn_status qn_copy_patterns(qn_model *model, uint64_t seed, qn_lens_figures *out) {
    const qn_probe_tokens tokens = {
        .first = 0, .end = QN_COPY_WORDS, .bos = QN_COPY_BOS, .seed = seed};
    return qn_probe_patterns(model, &tokens, out);
}
