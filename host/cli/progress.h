/* progress.h: the line that a training run shows while it works. */
#ifndef QUERN_CLI_PROGRESS_H
#define QUERN_CLI_PROGRESS_H

#include "quern/train.h"

typedef struct qn_progress {
    bool terminal;                  /* standard error is one: otherwise nothing is shown */
    double peak;                    /* operations per second of a matrix product; 0: unknown */
    double val_loss, bits_per_byte; /* of the last evaluation; NaN before it */
    double tokens_per_s;            /* smoothed */
    double begun;                   /* clock at the first report */
    int64_t first_step;
} qn_progress;

/* Measures the peak on the named backend when there is a terminal to show it on. */
qn_status qn_progress_open(const qn_train_options *options, qn_progress *out);
void qn_progress_show(qn_progress *progress, const qn_step_report *report);
/* A line of its own above the progress line. */
void qn_progress_note(qn_progress *progress, const char *message);
/* Clears the line. */
void qn_progress_close(qn_progress *progress);

/* "1h02m", "3m12s", "8s". */
void qn_format_duration(double seconds, char *text, size_t size);

#endif
