/* experiment.h: what the experiments share: the folder, the checks, and trained models. */
#ifndef QUERN_PLANTED_EXPERIMENT_H
#define QUERN_PLANTED_EXPERIMENT_H

#include "planted/task.h"
#include "quern/planted.h"

/* A model to look at and, if it was trained, how it came there. */
typedef struct qn_trained {
    qn_backend *backend;
    qn_model *model; /* NULL: there is none yet */
    double *losses;  /* of each step */
    int64_t n_losses;
    double held_out;
} qn_trained;

/* How a model is trained on a task. */
typedef struct qn_planting {
    const char *name; /* of its folders, and to people */
    const qn_task *task;
    int64_t n_layers, ffn_size;
    int64_t steps, batch_size, warmup;
    double lr, decay, weight_decay; /* as qn_train_options has them */
    int64_t lens_every;
} qn_planting;

/* Experiments under way. Models that more than one looks at are trained once. */
typedef struct qn_garden {
    const qn_planted_options *options;
    const qn_planted_hooks *hooks;
    qn_planted_result *result;
    qn_trained copier;   /* T1's, of two layers */
    qn_trained synonyms; /* T3's */
} qn_garden;

/* Writes the data, trains, and opens the last checkpoint for QN_PLAN_INSPECT. */
qn_status qn_plant(qn_garden *garden, const qn_planting *planting, qn_trained *out);
/* Opens the model with the values that training would begin with. */
qn_status qn_plant_nothing(const qn_garden *garden, const qn_planting *planting, qn_plan_mode mode,
                           qn_trained *out);
void qn_trained_free(qn_trained *trained);

/* Notes a check. */
qn_status qn_check(qn_garden *garden, int experiment, double measured, double least, double most,
                   const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Checks that pairs which are no synonyms do not come out as such in T3's model, which it trains
 * if it is not. */
qn_status qn_check_shuffled_synonyms(qn_garden *garden, int experiment);
/* Checks that cosines are of centred vectors, on the same model. */
qn_status qn_check_centred_cosines(qn_garden *garden, int experiment);

/* The experiments; each makes its checks. */
qn_status qn_planted_induction(qn_garden *garden);
qn_status qn_planted_offset(qn_garden *garden);
qn_status qn_planted_synonyms(qn_garden *garden);
qn_status qn_planted_noise(qn_garden *garden);
qn_status qn_planted_invariants(qn_garden *garden);

#endif
