/* rows.h: from records to the rows and times of a trace. */
#ifndef QUERN_CUDA_TRACE_ROWS_H
#define QUERN_CUDA_TRACE_ROWS_H

#include "quern/trace.h"
#include "trace/activities.h"

typedef struct qn_trace_rows {
    qn_trace_row *items; /* each with a name of its own */
    int count;
} qn_trace_rows;

/* The rows of all that ran, most time first. ranges[i] is the name of range i + 1. Both sort what
 * is in `a`. */
qn_status qn_trace_rows_make(qn_activities *a, const char *const *ranges, size_t n_ranges,
                             qn_trace_rows *out);
void qn_trace_rows_free(qn_trace_rows *rows);

/* The ns between `begin` and `end` in which anything ran. */
uint64_t qn_busy_time(qn_activities *a, uint64_t begin, uint64_t end);

#endif
