/* trace.h: what ran on a device, by name, and how long it ran anything at all. */
#ifndef QUERN_TRACE_H
#define QUERN_TRACE_H

#include "quern/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Equal work: one kernel, launched in one range. */
typedef struct qn_trace_row {
    const char *kernel; /* its function's name, without namespaces, template arguments and
                           parameters; "memcpy" and "memset" for what is no kernel */
    const char *op;     /* the innermost range (ops.h) in which the host launched it, or the graph
                           that it is part of; NULL: none */
    int64_t launches;
    double seconds; /* on the device, of all launches together */
} qn_trace_row;

typedef struct qn_trace_reading {
    const qn_trace_row *rows; /* most time first; the trace's, until it starts again */
    int n_rows;
    double busy_seconds; /* the length of the union of all intervals in which anything ran */
    double span_seconds; /* from start to stop; the device was idle for the rest of it */
} qn_trace_reading;

typedef struct qn_trace_ops {
    /* Waits for the device and begins to record; forgets what was recorded before. */
    qn_status (*start)(qn_trace *);
    /* Waits for the device and ends it. QN_CODE_MEMORY when something that ran is missing from the
     * record, for which neither rows nor busy_seconds would be true. */
    qn_status (*stop)(qn_trace *);
    /* What was recorded between the last start and its stop. */
    qn_status (*read)(qn_trace *, qn_trace_reading *out);
    void (*close)(qn_trace *);
} qn_trace_ops;

struct qn_trace {
    const qn_trace_ops *ops;
};

#ifdef __cplusplus
}
#endif
#endif
