/* snapshot.h: the weights of a run at steps that the lens probes (docs/lens.md).
 *
 * RUN/probes/step-N/ holds config.json, model.safetensors and tokenizer.*, as a checkpoint does,
 * and state.json with step, tokens and a checksum of each file and of itself; no optimizer's state.
 * It comes and goes as a checkpoint does: whatever is called step-N is complete. */
#ifndef QUERN_SNAPSHOT_H
#define QUERN_SNAPSHOT_H

#include "quern/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a run of `last` steps leaves a snapshot after `step` of them: 0, 1, 2, 4, … 512, as
 * Pythia does (Biderman et al. 2304.01373), then multiples of `every`, and the last. every 0: none.
 */
bool qn_snapshot_due(int64_t step, int64_t every, int64_t last);

/* Writes and publishes RUN/probes/step-N, in place of one that is there, of a QN_PLAN_TRAIN model
 * after `step` steps and `tokens` tokens, with a copy of tokenizer_dir's tokenizer files
 * (nullable). */
qn_status qn_snapshot_save(const char *run, const qn_model *model, int64_t step, int64_t tokens,
                           const char *tokenizer_dir);

/* The steps of a run's snapshots, ascending. *steps is malloc'ed; NULL where there are none. */
qn_status qn_snapshot_steps(const char *run, int64_t **steps, int64_t *count);

/* The folder of a snapshot (malloc'ed) and its tokens (nullable), when its files agree with their
 * checksums: QN_CODE_INVALID where one does not, QN_CODE_USAGE where the run has none of `step`. */
qn_status qn_snapshot_find(const char *run, int64_t step, char **path, int64_t *tokens);

/* Before a run goes on from `step`: removes what an interrupted save left, and the snapshots beyond
 * `step`. They are of steps that are taken again, whose last bits another device, another number of
 * threads or another build may not repeat; the logs are cut back to the same step. */
qn_status qn_snapshot_clean(const char *run, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
