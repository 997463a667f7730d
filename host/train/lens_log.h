/* lens_log.h: what the lens sees of a run, in its lens.jsonl. */
#ifndef QUERN_TRAIN_LENS_LOG_H
#define QUERN_TRAIN_LENS_LOG_H

#include "quern/lens.h"
#include "train/run_log.h"

/* Appends the last sample of the lens, taken in step `step` after `tokens` tokens in all, to the
 * log: a line a figure,
 * {"step":…,"tokens":…,"layer":…,"head":…,"metric":"…","value":…,"baseline":…,"n":…}, with null for
 * a number that there is not. */
qn_status qn_lens_log(qn_lens *lens, int64_t step, int64_t tokens, qn_run_log *log);

#endif
