/* run_log.h: log.jsonl, one JSON object a line, in ascending steps. */
#ifndef QUERN_RUN_LOG_H
#define QUERN_RUN_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_run_log {
    int file;
    char *path;
} qn_run_log;

/* Opens or creates the file, without the lines of steps after `last_step` (0: all) and
 * without a last line that was cut off. */
qn_status qn_run_log_open(const char *path, int64_t last_step, qn_run_log *out);
/* Only cuts a file of such lines, which may not be there. */
qn_status qn_run_log_cut(const char *path, int64_t last_step);
void qn_run_log_close(qn_run_log *log);

/* Appends one line, given without its newline. */
qn_status qn_run_log_append(qn_run_log *log, const char *line);
/* Appends whole lines, `length` bytes with the newline of each. */
qn_status qn_run_log_write(qn_run_log *log, const char *lines, size_t length);
/* Waits until all lines are on disk. */
qn_status qn_run_log_sync(qn_run_log *log);

#ifdef __cplusplus
}
#endif
#endif
