/* synonyms.c (T3): keys that are interchangeable. Where the data give two words the same meaning,
 * the lens must see it in q and k; where they do not, it must not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planted/copying.h"
#include "quern/activations.h"

enum { T3 = 3, VALUES = 16, PAIRS = 4, QUERIES = 8, STEPS = 600, BATCH = 64 };
enum { SYNONYM_CLASSES = 8, CONTROL_KEYS = 64 };
enum { LENGTH = 2 * (PAIRS + QUERIES) + 1 };

/* ---- the tasks ---------------------------------------------------------------------------------
 * BOS, then pairs of a key and its value, then queries by a key of the same class and the value to
 * predict. Ids: keys, then values, then BOS. */

static void draw_pairs(int32_t n_classes, int32_t class_size, qn_draws *draws, int32_t *tokens) {
    const int32_t n_keys = n_classes * class_size, bos = n_keys + VALUES;
    int32_t classes[CONTROL_KEYS], values[PAIRS];
    qn_draw_distinct(draws, n_classes, PAIRS, classes);
    *tokens++ = bos;
    for (int i = 0; i < PAIRS; i++) {
        values[i] = n_keys + qn_draw(draws, VALUES);
        *tokens++ = classes[i] * class_size + qn_draw(draws, class_size);
        *tokens++ = values[i];
    }
    for (int i = 0; i < QUERIES; i++) {
        const int32_t asked = qn_draw(draws, PAIRS);
        *tokens++ = classes[asked] * class_size + qn_draw(draws, class_size);
        *tokens++ = values[asked];
    }
}

static void draw_synonyms(const qn_task *task, qn_draws *draws, int32_t *tokens) {
    (void)task;
    draw_pairs(SYNONYM_CLASSES, 2, draws, tokens);
}

static void draw_independent(const qn_task *task, qn_draws *draws, int32_t *tokens) {
    (void)task;
    draw_pairs(CONTROL_KEYS, 1, draws, tokens);
}

static int64_t answers[QUERIES] = {10, 12, 14, 16, 18, 20, 22, 24};

static const qn_task synonyms = {.vocab_size = 2 * SYNONYM_CLASSES + VALUES + 1,
                                 .examples = {LENGTH, answers, QUERIES},
                                 .draw = draw_synonyms};
static const qn_task control = {.vocab_size = CONTROL_KEYS + VALUES + 1,
                                .examples = {LENGTH, answers, QUERIES},
                                .draw = draw_independent};

static qn_status plant(qn_garden *garden, const char *name, const qn_task *task, qn_trained *out) {
    const qn_planting planting = {.name = name,
                                  .task = task,
                                  .n_layers = 2,
                                  .ffn_size = 128,
                                  .steps = STEPS,
                                  .batch_size = BATCH,
                                  .warmup = 50,
                                  .lr = 0.003,
                                  .decay = 0.1};
    return qn_plant(garden, &planting, out);
}

/* ---- pairs ----------------------------------------------------------------------------------- */

/* The words of a class; of the control, any two that are not to be alike. */
static qn_status probe(qn_garden *garden, const qn_trained *t, const qn_task *task,
                       const qn_word_pairs *pairs, qn_lens_figures *out) {
    enum { BATCHES = 8 };
    const qn_word_pairs none = {0};
    qn_task_batches batches;
    qn_task whole = *task; /* every token is one to look at */
    whole.examples.targets = NULL;
    QN_TRY(qn_task_batches_make(&whole, garden->options->seed, BATCH, BATCHES, &batches));
    qn_status status =
        qn_probe_synonyms(t->model, &batches.text, pairs, &none, garden->options->seed, out);
    qn_task_batches_free(&batches);
    return status;
}

/* The second words of the pairs of `shift` classes further on are nobody's synonyms. */
static qn_status probe_shifted(qn_garden *garden, int32_t shift, qn_lens_figures *out) {
    qn_word_pair items[SYNONYM_CLASSES];
    const qn_word_pairs pairs = {items, SYNONYM_CLASSES};
    qn_trained *t = &garden->synonyms;
    for (int32_t i = 0; i < SYNONYM_CLASSES; i++)
        items[i] = (qn_word_pair){2 * i, 2 * ((i + shift) % SYNONYM_CLASSES) + 1};
    if (!t->model) QN_TRY(plant(garden, "t3", &synonyms, t));
    return probe(garden, t, &synonyms, &pairs, out);
}

static qn_status probe_control(qn_garden *garden, const qn_trained *t, qn_lens_figures *out) {
    int32_t keys[CONTROL_KEYS];
    qn_word_pair items[CONTROL_KEYS / 2];
    const qn_word_pairs pairs = {items, CONTROL_KEYS / 2};
    qn_draws draws = {.seed = garden->options->seed, .stream = QN_TASK_PAIRING};
    qn_draw_distinct(&draws, CONTROL_KEYS, CONTROL_KEYS, keys);
    for (int i = 0; i < CONTROL_KEYS / 2; i++)
        items[i] = (qn_word_pair){keys[2 * i], keys[2 * i + 1]};
    return probe(garden, t, &control, &pairs, out);
}

/* ---- checks, of all heads of the layer that matches keys ----------------------------------- */

enum { MATCHING_LAYER = 1 };

typedef struct summary {
    double least, mean, error; /* over the heads: least value, and means */
    int heads;
} summary;

static summary summarise(const qn_lens_figures *figures, const char *metric) {
    summary s = {.least = INFINITY};
    for (int64_t i = 0; i < figures->count; i++) {
        const qn_lens_figure *f = &figures->items[i];
        if (strcmp(f->metric, metric) || f->layer != MATCHING_LAYER) continue;
        s.least = fmin(s.least, f->value);
        s.mean += f->value;
        s.error += f->error;
        s.heads++;
    }
    s.least = s.heads ? s.least : (double)NAN;
    s.mean /= s.heads;
    s.error /= s.heads;
    return s;
}

static const char *const cosines[] = {"q_synonym_cosine", "k_synonym_cosine"};

static qn_status check_synonyms(qn_garden *garden, const qn_lens_figures *figures) {
    static const char *const aucs[] = {"q_synonym_auc", "k_synonym_auc"};
    for (int i = 0; i < 2; i++) {
        QN_TRY(qn_check(garden, T3, summarise(figures, cosines[i]).least, 0.8, 1,
                        "least %s of a head of layer 1", cosines[i]));
        QN_TRY(qn_check(garden, T3, summarise(figures, aucs[i]).least, 0.98, 1,
                        "least %s of a head of layer 1", aucs[i]));
    }
    return QN_OK;
}

/* Every first word with every second one of another class. n vectors whose sum is 0, as those of n
 * classes are when centred, have a mean cosine of -1 / (n - 1) where they are equally long. */
static qn_status check_two_classes(qn_garden *garden) {
    const double expected = -1.0 / (SYNONYM_CLASSES - 1);
    double mean[2] = {0};
    for (int32_t shift = 1; shift < SYNONYM_CLASSES; shift++) {
        qn_lens_figures figures = {0};
        qn_status status = probe_shifted(garden, shift, &figures);
        for (int i = 0; i < 2; i++)
            mean[i] += summarise(&figures, cosines[i]).mean / (SYNONYM_CLASSES - 1);
        qn_lens_figures_free(&figures);
        QN_TRY(status);
    }
    for (int i = 0; i < 2; i++) {
        QN_TRY(qn_check(garden, T3, mean[i], expected - 0.1, expected + 0.1,
                        "mean %s of words of two classes", cosines[i]));
    }
    return QN_OK;
}

/* Pairs that mean nothing: neither alike nor unlike. */
static qn_status check_unrelated(qn_garden *garden, int experiment, const char *which,
                                 const qn_lens_figures *figures) {
    static const char *const aucs[] = {"q_synonym_auc", "k_synonym_auc"};
    for (int i = 0; i < 2; i++) {
        const summary s = summarise(figures, aucs[i]);
        QN_TRY(qn_check(garden, experiment, (s.mean - 0.5) / s.error, -2.5, 2.5,
                        "%s: mean %s %.3f less 0.5, in errors of %.3f", which, aucs[i], s.mean,
                        s.error));
    }
    return QN_OK;
}

/* A loss this small is answers that are nearly always right. */
static qn_status check_loss(qn_garden *garden, const qn_trained *t, const char *of) {
    return qn_check(garden, T3, t->held_out, 0, 0.1, "held-out loss of answers, %s (chance ln 16)",
                    of);
}

/* ---- the experiment -------------------------------------------------------------------------- */

static qn_status run_synonyms(qn_garden *garden) {
    qn_lens_figures figures = {0};
    qn_status status = probe_shifted(garden, 0, &figures);
    if (!status) status = check_loss(garden, &garden->synonyms, "synonyms");
    if (!status) status = check_synonyms(garden, &figures);
    if (!status) status = check_two_classes(garden);
    qn_lens_figures_free(&figures);
    return status;
}

static qn_status run_control(qn_garden *garden) {
    qn_lens_figures figures = {0};
    qn_trained t;
    QN_TRY(plant(garden, "t3-control", &control, &t));
    qn_status status = check_loss(garden, &t, "control");
    if (!status) status = probe_control(garden, &t, &figures);
    if (!status) status = check_unrelated(garden, T3, "control", &figures);
    qn_lens_figures_free(&figures);
    qn_trained_free(&t);
    return status;
}

/* ---- centring -------------------------------------------------------------------------------- */

static qn_status shift_embeddings(qn_model *model, float by) {
    const qn_param *table = qn_params_find(qn_model_params(model), QN_WTE, -1);
    float *values = malloc((size_t)table->count * sizeof *values);
    if (!values) return qn_error(QN_CODE_MEMORY, "no memory for %s", table->name);
    qn_status status = qn_model_read_param(model, table, values);
    for (int64_t i = 0; !status && i < table->count; i++) values[i] += by;
    if (!status) status = qn_model_write_param(model, table, values);
    free(values);
    return status;
}

qn_status qn_check_centred_cosines(qn_garden *garden, int experiment) {
    static const char metric[] = "embedding_synonym_cosine";
    qn_lens_figures before = {0}, after = {0};
    qn_status status = probe_shifted(garden, 0, &before);
    if (!status) status = shift_embeddings(garden->synonyms.model, 1);
    if (!status) status = probe_shifted(garden, 0, &after);
    if (!status) status = shift_embeddings(garden->synonyms.model, -1);
    const qn_lens_figure *b = qn_lens_find(&before, metric, -1, -1);
    const qn_lens_figure *a = qn_lens_find(&after, metric, -1, -1);
    const double change = a && b ? fabs(a->value - b->value) : (double)NAN;
    if (!status)
        status = qn_check(garden, experiment, change, 0, 1e-5,
                          "one vector added to all embeddings: change of their cosine");
    qn_lens_figures_free(&before);
    qn_lens_figures_free(&after);
    return status;
}

qn_status qn_check_shuffled_synonyms(qn_garden *garden, int experiment) {
    qn_lens_figures figures = {0};
    qn_draws draws = {.seed = garden->options->seed, .stream = QN_TASK_PAIRING};
    const int32_t shift = 1 + qn_draw(&draws, SYNONYM_CLASSES - 1);
    qn_status status = probe_shifted(garden, shift, &figures);
    if (!status) status = check_unrelated(garden, experiment, "labels shuffled", &figures);
    qn_lens_figures_free(&figures);
    return status;
}

qn_status qn_planted_synonyms(qn_garden *garden) {
    QN_TRY(run_synonyms(garden));
    return run_control(garden);
}
