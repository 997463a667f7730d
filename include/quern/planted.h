/* planted.h: experiments whose outcome is known, which show whether the lens is honest: models are
 * trained on planted tasks as `quern train` trains, and the lens must say what was planted.
 *
 *   T1  induction: tokens that repeat at a random period
 *   T2  the trap of position: the same at one period, which needs no induction
 *   T3  synonyms: keys that are interchangeable
 *   T4  noise: nothing to learn
 *   T5  invariants of what the lens measures */
#ifndef QUERN_PLANTED_H
#define QUERN_PLANTED_H

#include "quern/train.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { QN_PLANTED_EXPERIMENTS = 5 };

/* One thing that must hold: least ≤ measured ≤ most, where an infinite bound is none. */
typedef struct qn_planted_check {
    int experiment; /* from 1 */
    char what[128];
    double measured, least, most;
    bool passed; /* never where `measured` is not a number */
} qn_planted_check;

/* What the caller may see; every member is nullable. */
typedef struct qn_planted_hooks {
    void *context;
    bool (*should_stop)(void *context); /* asked after each step of training */
    void (*on_training)(void *context, const char *name, const qn_train_options *options);
    void (*on_step)(void *context, const qn_step_report *report);
    void (*on_check)(void *context, const qn_planted_check *check);
} qn_planted_hooks;

typedef struct qn_planted_options {
    uint64_t seed;                    /* of the tasks and of the models; at most 2^53 */
    bool run[QN_PLANTED_EXPERIMENTS]; /* which */
    const char *folder;               /* of data and runs, made where there is none */
    const char *backend;              /* as qn_backend_open has it */
    int64_t threads;
} qn_planted_options;

typedef struct qn_planted_result {
    qn_planted_check *checks; /* in the order in which they were made */
    int64_t count, capacity;
    int64_t failed;
} qn_planted_result;

/* Runs the experiments. A check that fails is no error. *out has the checks that were made, also
 * after an error, and is freed with qn_planted_free. */
qn_status qn_planted_run(const qn_planted_options *options, const qn_planted_hooks *hooks,
                         qn_planted_result *out);
void qn_planted_free(qn_planted_result *result);

#ifdef __cplusplus
}
#endif
#endif
