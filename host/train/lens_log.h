/* lens_log.h: figures of the lens as lines of JSON, as docs/lens.md has them. */
#ifndef QUERN_TRAIN_LENS_LOG_H
#define QUERN_TRAIN_LENS_LOG_H

#include <stdio.h>

#include "quern/lens.h"
#include "train/run_log.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes a figure taken when `step` steps were done and `tokens` tokens read, with a newline:
 * {"step":…,"tokens":…,"layer":…,"head":…,"metric":"…","value":…,"baseline":…,"n":…}
 * with null for a layer or head below 0 and for a number that is not finite, and behind n an "at"
 * and an "error" where the figure has them. Errors are those of `out`. */
void qn_lens_write_figure(FILE *out, const qn_lens_figure *figure, int64_t step, int64_t tokens);

/* Appends such lines to a log, all of them in one write. */
qn_status qn_lens_log_figures(const qn_lens_figure *figures, int64_t count, int64_t step,
                              int64_t tokens, qn_run_log *log);

#ifdef __cplusplus
}
#endif
#endif
