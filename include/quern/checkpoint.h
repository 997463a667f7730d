/* checkpoint.h: what a run needs to go on as if it had never stopped.
 *
 * RUN/checkpoints/step-N/ holds config.json, model.safetensors and tokenizer.* (which
 * `transformers` opens), optimizer.safetensors (exp_avg.<name>, exp_avg_sq.<name>) and
 * state.json with the position, the fingerprint of the data and a checksum of each file and
 * of itself. The folder is
 * written under another name, synced, and renamed, and renamed again before it is removed:
 * whatever is called step-N is complete. */
#ifndef QUERN_CHECKPOINT_H
#define QUERN_CHECKPOINT_H

#include "quern/loader.h"
#include "quern/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_train_state {
    int64_t step;        /* steps done */
    int64_t tokens;      /* tokens trained on, over all ranks */
    int64_t sequences;   /* sequences taken from the loader: its position */
    double seconds;      /* of training */
    qn_fingerprint data; /* of the text trained on */
} qn_train_state;

/* Writes and publishes RUN/checkpoints/step-N for a QN_PLAN_TRAIN model, with a copy of
 * tokenizer_dir's tokenizer files (nullable); then removes checkpoints but the newest
 * keep_last and those at multiples of keep_every (0: none). */
qn_status qn_checkpoint_save(const char *run, const qn_model *model, const qn_train_state *state,
                             const char *tokenizer_dir, int64_t keep_last, int64_t keep_every);

/* Finds the newest checkpoint of a run whose files agree with their checksums, or the one of
 * `step` (-1: newest). *path is malloc'ed; NULL, with success, when the run has none at all. Each
 * damaged one that was passed over is told to `note` (nullable); when all are damaged, that is
 * an error. */
qn_status qn_checkpoint_find(const char *run, int64_t step,
                             void (*note)(void *context, const char *message), void *context,
                             char **path);

/* Reads a checkpoint's position; data.shards is 0 where it does not tell its data. */
qn_status qn_checkpoint_state(const char *path, qn_train_state *out);

/* Fills parameters and optimizer state of a QN_PLAN_TRAIN model. */
qn_status qn_checkpoint_load(const char *path, qn_model *model);

/* Before a run goes on from `step`: removes what an interrupted save left, and renames
 * checkpoints beyond `step`, which are damaged, to step-N.damaged. */
qn_status qn_checkpoint_clean(const char *run, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
