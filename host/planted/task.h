/* task.h: tasks that models are trained on, as data folders and as batches. */
#ifndef QUERN_PLANTED_TASK_H
#define QUERN_PLANTED_TASK_H

#include "planted/draws.h"
#include "quern/examples.h"
#include "quern/probe.h"

typedef struct qn_task qn_task;
struct qn_task {
    int64_t vocab_size;
    qn_examples examples;
    /* Draws one example: examples.length tokens. */
    void (*draw)(const qn_task *task, qn_draws *draws, int32_t *tokens);
    int32_t least_period, most_period; /* of a copying task */
};

/* What numbers of a seed are for: no two uses have the same. */
typedef enum qn_task_use {
    QN_TASK_TRAIN,
    QN_TASK_HELD_OUT,
    QN_TASK_INSPECT,
    QN_TASK_PAIRING
} qn_task_use;

/* Writes a data folder with `train` examples and `held_out` others. */
qn_status qn_task_write(const qn_task *task, const char *dir, uint64_t seed, int64_t train,
                        int64_t held_out);

/* Examples in host memory, as batches of B sequences. */
typedef struct qn_task_batches {
    int32_t *tokens, *targets; /* (count, B, T) */
    qn_batch *items;
    qn_probe_text text; /* the same */
} qn_task_batches;

qn_status qn_task_batches_make(const qn_task *task, uint64_t seed, int64_t batch_size,
                               int64_t count, qn_task_batches *out);
void qn_task_batches_free(qn_task_batches *batches);

#endif
