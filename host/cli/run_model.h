/* run_model.h: opening a trained model: a run's checkpoint or a Hugging Face folder. */
#ifndef QUERN_CLI_RUN_MODEL_H
#define QUERN_CLI_RUN_MODEL_H

#include "quern/model.h"
#include "quern/tokenizer.h"

typedef struct qn_model_choice {
    const char *run;    /* a run folder, or NULL */
    const char *model;  /* a folder with config.json and weights, or NULL */
    int64_t checkpoint; /* step of the run's checkpoint; -1: the newest */
    const char *backend;
    int threads;
    qn_precision precision;
    int64_t longest; /* what a seq_len of 0 is cut to; 0: 2,048 */
} qn_model_choice;

/* Nothing chosen yet. */
#define QN_MODEL_CHOICE                                                                            \
    { .checkpoint = -1, .backend = "auto" }

/* The folder that holds the weights, malloc'ed; notes about damaged checkpoints go to stderr. */
qn_status qn_choice_folder(const qn_model_choice *choice, char **folder);

typedef struct qn_opened_model {
    qn_backend *backend;
    qn_model *model;
    char *folder;
} qn_opened_model;

/* Loads the chosen weights into a model with these plan options, but for the dtypes, which follow
 * from the choice's precision. A seq_len of 0 becomes the longest that the model knows, at most
 * choice->longest. */
qn_status qn_open_model(const qn_model_choice *choice, const qn_plan_options *options,
                        qn_opened_model *out);
void qn_close_model(qn_opened_model *opened);

#endif
