/* trace.h: what the backend tells its trace. */
#ifndef QUERN_CUDA_TRACE_H
#define QUERN_CUDA_TRACE_H

#include "quern/trace.h"

/* What this thread launches is, until the matching pop, work of `name`, which outlives the trace.
 * Both do nothing without a trace. */
void qn_cuda_trace_push(qn_trace *, const char *name);
void qn_cuda_trace_pop(qn_trace *);

#endif
